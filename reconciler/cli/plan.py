"""``reconcile plan``: what would change, and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.apply import frozen_now
from reconciler.cli.interface import FAILED, Interface
from reconciler.cycle.scope import Scope
from reconciler.cycle.scopes import offering_name
from reconciler.errors import ReconcileError
from reconciler.plan.document import document, save
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.render.script import script as render_script
from reconciler.store.names import scope_name


def plan(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    target: options.TargetOption = None,
    mode: options.ModeOption = Mode.ALL,
    json_output: options.JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Save the plan for `reconcile apply FILE`.", show_default=False),
    ] = None,
    script: Annotated[bool, typer.Option("--script", help="Print the plan as a shell script.")] = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit with 0: nothing to do, 1: error, 2: changes or blocked ones."),
    ] = False,
    allow: options.AllowOption = None,
    allow_decrease: options.DecreaseOption = False,
    accept_shrink: options.ShrinkOption = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show what would change on the cluster, and why. Changes nothing.

    Reads Waldur and the cluster, compares, and prints one block per object: + create, ~ update, - destroy.

    Examples:

    \b
      reconcile plan --detailed-exitcode
      reconcile plan --target 'slurm.account[hpc_climate*]' --out climate.plan
      reconcile plan --script > review.sh
    """
    config = options.configuration(config_path)
    allowed = options.allowed_guards(allow, decrease=allow_decrease, shrink=accept_shrink)
    plans: list[Plan] = []
    problems: list[ReconcileError] = []
    served: list[Scope] = []
    for cluster in options.chosen(config, offering, mode):
        try:
            with options.progress(verbose=verbose) as progress:
                planned = cluster.plan(
                    targets=target or (),
                    offering=offering_name(config, offering) if offering else "",
                    mode=mode,
                    allowed=allowed,
                    progress=progress,
                )
            plans.append(planned.plan)
            served.append(cluster)
        except ReconcileError as error:
            # another cluster may be fine; this one is not planned
            problems.append(ReconcileError(f"{scope_name(cluster.label)}: {error.message}", error.hint))
    interface = Interface(json_output=False, no_color=no_color)
    if json_output:
        typer.echo(json.dumps(document(plans, [str(p) for p in problems], interface.faults), indent=2))
    else:
        for one, cluster in zip(plans, served, strict=True):
            if script:
                typer.echo(render_script(one, cluster.cluster, interface.faults), nl=False)
            else:
                interface.plan(one)
    _say_frozen(served, plans)
    for problem in problems:
        options.complain(problem.message, problem.hint)
    if problems:
        raise typer.Exit(FAILED)
    if out is not None:
        _save(plans, out, interface, quiet=json_output)
    if interface.faults.found:
        raise typer.Exit(FAILED)
    raise typer.Exit(_code(plans, detailed=detailed_exitcode))


def _code(plans: Sequence[Plan], *, detailed: bool) -> int:
    """A plan that could not read a part of the world is shown and saved, and an error all the same."""
    if any(p.unread for p in plans):
        return FAILED
    return 2 if detailed and any(p.refusals or not p.empty for p in plans) else 0


def _save(plans: Sequence[Plan], path: Path, interface: Interface, *, quiet: bool) -> None:
    save(plans, path)
    if not quiet:
        interface.say(f"Saved the plan to: {path}\nTo perform exactly these actions: reconcile apply {path}")


def _say_frozen(served: Sequence[Scope], plans: Sequence[Plan]) -> None:
    for cluster, plan in zip(served, plans, strict=True):
        try:
            frozen = frozen_now(cluster, plan)
        except ReconcileError as error:  # a plan needs no leave
            options.warn(str(error))
            continue
        if frozen is not None:
            said = f"{scope_name(plan.cluster)} is {frozen.text}. Apply does nothing; to go on: {frozen.lifted_by}"
            options.warn(said)
