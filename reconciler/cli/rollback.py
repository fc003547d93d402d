"""``reconcile rollback``: the inverse of a run, planned from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.apply import perform, refused_while_frozen, say_interrupted
from reconciler.cli.interface import DONE, FAILED, Interface
from reconciler.cycle.rollback import rolled_back
from reconciler.errors import ReconcileError
from reconciler.plan.document import save
from reconciler.store import Journal, store_of
from reconciler.store.names import USAGE, scope_name


def rollback(
    run: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run of `reconcile history`.")],
    config_path: options.ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Only save the plan, for `reconcile apply FILE`.", show_default=False)
    ] = None,
    while_frozen: Annotated[
        bool, typer.Option("--while-frozen", help="Go on although apply is frozen, so that it undoes nothing of this.")
    ] = False,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Stream one JSON event per line.")] = False,
    allow: options.AllowOption = None,
    no_color: options.NoColorOption = False,
) -> None:
    """Plan the inverse of a run from the values it found, show it, ask, and apply it under the same guards.

    What was changed since the run is left alone and shown. Orders, usage and what else Waldur was told stay as
    they are. Waldur still wants what the run did, so change it there, or freeze first:

    \b
      reconcile freeze --reason "rolled back RUN_ID"
      reconcile rollback RUN_ID --while-frozen
    """
    config = options.configuration(config_path)
    if out is None:
        options.require_answer(auto_approve=auto_approve, json_output=json_output)
    interface = Interface(json_output=json_output, no_color=no_color)
    allowed = options.allowed_guards(allow)
    known = [r for r in Journal(store_of(config), "").runs(limit=1_000_000) if r.id == run]
    if not known:
        raise ReconcileError(f"{run}: no such run", "reconcile history lists them.")
    found = [c for c in options.chosen_clusters(config, "") if c.label == known[0].cluster]
    if known[0].cluster.startswith(USAGE):
        raise ReconcileError(f"{run}: told Waldur of usage, which is never taken back", "See reconcile usage.")
    if not found:
        raise ReconcileError(f"{run}: was on {scope_name(known[0].cluster)}, which the configuration lacks")
    cluster = found[0]
    with cluster.locked():
        say_interrupted(cluster, interface)
        planned = rolled_back(cluster, run, allowed=allowed)
        whole = "All of it is as it was before that run."
        left = "What is listed above is left as that run made it."
        interface.plan(planned.plan, nothing=f"No changes. {left if planned.plan.refused else whole}")
        if out is not None:
            save([planned.plan], out)
            if not json_output:
                interface.say(f"Saved the plan to: {out}\nTo perform it: reconcile apply {out}")
            raise typer.Exit(FAILED if interface.faults.found else DONE)
        if not while_frozen and (code := refused_while_frozen(cluster, interface, planned.plan)):
            raise typer.Exit(code)
        if not auto_approve and planned.plan.changes and not planned.plan.refusals and not interface.agreed():
            raise typer.Exit(FAILED)
        if problem := cluster.remember(refused=True):
            interface.warn(problem)
        raise typer.Exit(
            perform(cluster, planned.plan, interface, planned, again=not auto_approve, while_frozen=while_frozen)
        )
