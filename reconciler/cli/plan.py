"""``reconcile plan``: what would change, and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.apply import frozen_now
from reconciler.clusters import Scope, offering_name
from reconciler.errors import ReconcileError
from reconciler.plan import Mode, Plan
from reconciler.planfile import document, save
from reconciler.render.script import script as render_script
from reconciler.render.text import plan_text


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

    Reads Waldur and SLURM, compares, and prints one block per object: + create, ~ update, - destroy.

    Examples:

    \b
      reconcile plan --detailed-exitcode
      reconcile plan --target 'slurm.account[hpc_climate*]' --out climate.plan
      reconcile plan --script > review.sh
    """
    config = options.configuration(config_path)
    allowed = options.allowed_guards(allow, decrease=allow_decrease, shrink=accept_shrink)
    console = options.output(no_color=no_color)
    plans: list[Plan] = []
    problems: list[str] = []
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
            problems.append(f"cluster {cluster.label}: {error}")
    if json_output:
        typer.echo(json.dumps(document(plans, problems), indent=2))
    elif script:
        for one, cluster in zip(plans, served, strict=True):
            typer.echo(render_script(one, cluster.runner.argv), nl=False)
    else:
        for one in plans:
            console.print(f"{one.title}\n", style="bold")
            console.print(plan_text(one))
    _say_frozen(served, plans)
    for problem in problems:
        options.errors().print(f"Error: {problem}", style="red")
    if problems:
        raise typer.Exit(1)
    if out is not None:
        save(plans, out)
        if not json_output:
            console.print(f"Saved the plan to: {out}\nTo perform exactly these actions: reconcile apply {out}")
    if detailed_exitcode and any(p.refusals or not p.empty for p in plans):
        raise typer.Exit(2)


def _say_frozen(served: Sequence[Scope], plans: Sequence[Plan]) -> None:
    for cluster, plan in zip(served, plans, strict=True):
        try:
            frozen = frozen_now(cluster, plan)
        except ReconcileError as error:  # a plan needs no leave
            options.errors().print(f"Warning: {error}", style="yellow")
            continue
        if frozen is not None:
            said = f"Warning: cluster {plan.cluster} is {frozen.text}. Apply does nothing; to go on: {frozen.lifted_by}"
            options.errors().print(said, style="yellow")
