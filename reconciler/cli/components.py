"""``reconcile components``: an offering's components in Waldur, made what the configuration says."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.freezing import require_thawed
from reconciler.cli.interface import DONE, FAILED, Interface, worst
from reconciler.config import Config
from reconciler.cycle.components import OfferingComponents
from reconciler.cycle.scopes import offering_name
from reconciler.errors import ConfigError, ReconcileError
from reconciler.plan.document import document
from reconciler.store import store_of

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare the components of offerings in Waldur with the configuration, and push what differs.",
)
NOTHING = "No changes. Waldur has the components as configured."
DeleteOption = Annotated[
    bool, typer.Option("--delete", help="Also remove components that the configuration lacks and nothing uses.")
]


def _chosen(config: Config, offering: str) -> list[OfferingComponents]:
    name = offering_name(config, offering)
    found = [
        OfferingComponents(config, o) for o in config.offerings if (not offering and not o.from_file) or o.name == name
    ]
    if not found:
        known = ", ".join(o.name for o in config.offerings)
        raise ConfigError(f"{config.path}: no offering {offering!r} with a portal; offerings here: {known}")
    return found


@app.command()
def plan(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    delete: DeleteOption = False,
    json_output: options.JsonOption = False,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 for changes.")] = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Show which components of the offerings would change in Waldur. Changes nothing."""
    config = options.configuration(config_path)
    plans = [o.plan(delete=delete) for o in _chosen(config, offering)]
    interface = Interface(json_output=False, no_color=no_color)
    faults = interface.faults
    if json_output:
        typer.echo(json.dumps(document(plans, (), faults), indent=2))
    else:
        for one in plans:
            interface.plan(one, title=f"Offering {one.cluster}", nothing=NOTHING)
    if faults.found:
        raise typer.Exit(FAILED)
    if detailed_exitcode and any(not p.empty for p in plans):
        raise typer.Exit(2)


@app.command()
def push(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    delete: DeleteOption = False,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Stream one JSON event per line.")] = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Make the components in Waldur what the configuration says: plan, ask, push, read again."""
    config = options.configuration(config_path)
    options.require_answer(auto_approve=auto_approve, json_output=json_output)
    interface = Interface(json_output=json_output, no_color=no_color)
    require_thawed(config, offering_name(config, offering) if offering else "")
    codes = []
    for one in _chosen(config, offering):
        try:
            codes.append(_push(config, one, interface, delete=delete, ask=not auto_approve))
        except ReconcileError as error:
            interface.problem(f"offering {one.offering.name}: {error.message}", error.hint)
            codes.append(FAILED)
    raise typer.Exit(worst(codes))


def _push(config: Config, one: OfferingComponents, interface: Interface, *, delete: bool, ask: bool) -> int:
    with store_of(config).locked(f"components-{one.offering.waldur_offering_uuid}"):
        wanted = one.plan(delete=delete)
        interface.plan(wanted, title=f"Offering {wanted.cluster}", nothing=NOTHING)
        if not wanted.changes:
            return DONE
        if ask and not interface.agreed():
            return FAILED
        outcome = interface.run(wanted, lambda listener: one.push(wanted, listener))
        interface.result(outcome)
        return FAILED if outcome.failures else DONE
