"""``reconcile limits``: what periodic policies give each account, and what another policy would give."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.interface import FAILED, Interface
from reconciler.cycle import allowances, simulation
from reconciler.cycle.allowances import Allotted
from reconciler.cycle.simulation import Simulation
from reconciler.errors import ReconcileError
from reconciler.plan.model import Plan
from reconciler.render import limits as render

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Periodic limits: what may be used in a period, how much of it is, and what another policy would give.",
)
AccountArgument = Annotated[str, typer.Argument(help="Only this account (or resource).", show_default=False)]


@app.command()
def show(
    account: AccountArgument = "",
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    period: Annotated[
        str, typer.Option("--period", help="Another period than today's: 2026-10, 2026-Q3 or 2026.", show_default=False)
    ] = "",
    json_output: options.JsonOption = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Show per account and component what was bought, carried over and used, and when thresholds are reached.

    Changes nothing. Amounts are in Waldur's units, limits and thresholds in the cluster's.
    """
    config = options.configuration(config_path)
    rows: list[Allotted] = []
    problems: list[ReconcileError] = []
    for cluster in options.chosen_clusters(config, offering):
        try:
            with options.progress(verbose=False) as progress:
                planned = cluster.plan(usage=False, counts=True, progress=progress)
                if planned.world is not None:
                    found = allowances.allotted(
                        cluster.site, planned.world, planned.built.allocations, period, only=account
                    )
                    rows += found.rows
                    problems += [ReconcileError(text) for text in found.problems]
        except ReconcileError as error:
            problems.append(ReconcileError(f"cluster {cluster.label}: {error.message}", error.hint))
    if account and not rows and not problems:
        problems.append(ReconcileError(f"account {account!r} has no periodic limits", "Names: reconcile limits show"))
    interface = Interface(json_output=False, no_color=no_color)
    if json_output:
        typer.echo(render.document(rows, [str(p) for p in problems]))
    elif csv_output:
        typer.echo(render.csv_text(rows), nl=False)
    elif rows:
        if period:
            interface.say(f"{period}, as today's limits and policy would have it\n")
        interface.table("the limits", lambda: render.components(rows))
        interface.say("")
        interface.table("the thresholds", lambda: render.thresholds(rows))
    elif not problems:
        interface.say("No account has periodic limits.")
    for problem in problems:
        options.complain(problem.message, problem.hint)
    raise typer.Exit(FAILED if problems or interface.faults.found else 0)


@app.command()
def simulate(
    account: AccountArgument = "",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="grace_ratio=0.1, limits.cpu=500, ...; repeatable."),
    ] = None,
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Show the plan that another policy would make, against what today's leaves. Touches nothing.

    Keys: grace_ratio, carryover_factor (percent), carryover_enabled, limit_type, tres_billing_enabled, period,
    tres_billing_weights.NAME, limits.COMPONENT (of ACCOUNT, or of all).

    Examples:

    \b
      reconcile limits simulate --set grace_ratio=0.1 --set carryover_factor=25
      reconcile limits simulate hpc_climate --set limits.cpu=2000
    """
    config = options.configuration(config_path)
    wanted = simulation.settings(given or ())
    found: list[Simulation] = []
    problems: list[ReconcileError] = []
    for cluster in options.chosen_clusters(config, offering):
        try:
            with options.progress(verbose=False) as progress:
                planned = cluster.plan(usage=False, counts=True, progress=progress)
                if planned.world is not None:
                    found.append(simulation.simulated(planned.world, wanted, account))
        except ReconcileError as error:
            problems.append(ReconcileError(f"cluster {cluster.label}: {error.message}", error.hint))
    interface = Interface(json_output=False, no_color=no_color)
    if json_output:
        typer.echo(render.simulation_document(found, given or (), [str(p) for p in problems]))
    else:
        for one, reached_, unruled in ((s.plan, s.reached, s.unruled) for s in found):
            title = f"Simulation for {one.title}: {', '.join(given or ()) or 'the policy of today'}"
            interface.plan(one, title=title, nothing="No changes: this policy gives every account what it has.")
            for line in render.reached(reached_):
                interface.say(line)
            if unruled:
                interface.say(f"Without periodic limits, so that nothing is simulated: {', '.join(unruled)}")
            interface.say(_summary(one))
    for problem in problems:
        options.complain(problem.message, problem.hint)
    raise typer.Exit(FAILED if problems or interface.faults.found else 0)


def _summary(plan: Plan) -> str:
    """How many accounts get what otherwise."""
    changes = (*plan.changes, *plan.blocked)
    counts: dict[str, int] = {}
    for change in changes:
        for name in change.changed():
            title = change.kind.field(name).title
            counts[title] = counts.get(title, 0) + 1
    listed = ", ".join(f"{title} of {count}" for title, count in counts.items())
    return (
        f"{len(changes)} of {plan.resources} accounts would change{f': {listed}' if listed else ''}. Nothing is done."
    )
