"""``reconcile apply``: make it so, and prove it by reading again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import typer

from reconciler.apply.record import Outcome
from reconciler.cli import options
from reconciler.cli.freezing import freezer
from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED, STOPPED, Interface, worst
from reconciler.cli.stopping import stopping
from reconciler.config import Config
from reconciler.cycle.scope import Planned, Scope
from reconciler.cycle.scopes import offering_name, serving
from reconciler.errors import ReconcileError
from reconciler.plan.document import load
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.store.freezes import Frozen
from reconciler.store.names import USAGE, scope_name


class Asked(TypedDict):
    """What an operator asked of a cycle."""

    targets: Sequence[str]
    offering: str
    mode: Mode
    ask: bool
    verbose: bool


def apply(
    plan_file: Annotated[
        Path | None,
        typer.Argument(metavar="[PLANFILE]", help="A plan saved by `plan --out`.", show_default=False),
    ] = None,
    config_path: options.ConfigOption = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")] = False,
    offering: options.OfferingOption = "",
    target: options.TargetOption = None,
    mode: options.ModeOption = Mode.ALL,
    json_output: Annotated[bool, typer.Option("--json", help="Stream one JSON event per line.")] = False,
    allow: options.AllowOption = None,
    allow_decrease: options.DecreaseOption = False,
    accept_shrink: options.ShrinkOption = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Make the cluster what Waldur says. Shows the plan, asks, applies, and reads again.

    Exit codes: 0 converged, 1 error, 3 refused by a guard, 4 applied but blocked objects remain.

    Examples:

    \b
      reconcile apply
      reconcile apply --auto-approve          from a systemd timer
      reconcile apply climate.plan            exactly a saved plan
    """
    config = options.configuration(config_path)
    if plan_file is not None and (target or offering or mode is not Mode.ALL):
        raise ReconcileError("--target, --offering and --mode belong to planning; a saved plan is applied as it is")
    if plan_file is None:
        options.require_answer(auto_approve=auto_approve, json_output=json_output)
    interface = Interface(json_output=json_output, no_color=no_color)
    allowed = options.allowed_guards(allow, decrease=allow_decrease, shrink=accept_shrink)
    if plan_file is not None:
        raise typer.Exit(_saved(config, plan_file, interface, allowed))
    asked = Asked(
        targets=target or (),
        offering=offering_name(config, offering) if offering else "",
        mode=mode,
        ask=not auto_approve,
        verbose=verbose,
    )
    raise typer.Exit(cycles(options.chosen(config, offering, mode), interface, allowed, **asked))


def cycles(scopes: Iterable[Scope], interface: Interface, allowed: frozenset[str], **asked: Unpack[Asked]) -> int:
    """A cycle for each of them; the exit code. An error of one does not stop the others, a signal does."""
    codes: list[int] = []
    for one in scopes:
        if any(code > STOPPED for code in codes):
            break
        try:
            with one.locked():
                codes.append(cycle(one, interface, allowed, **asked))
        except ReconcileError as error:
            interface.problem(f"{scope_name(one.label)}: {error.message}", error.hint)
            codes.append(FAILED)
    return worst(codes)


def cycle(
    cluster: Scope,
    interface: Interface,
    allowed: frozenset[str],
    *,
    targets: Sequence[str],
    offering: str,
    mode: Mode,
    ask: bool,
    verbose: bool,
) -> int:
    """Plan one cluster, or usage, and make it so; the exit code."""
    say_interrupted(cluster, interface)
    with options.progress(verbose=verbose) as progress:
        planned = cluster.plan(targets=targets, offering=offering, mode=mode, allowed=allowed, progress=progress)
    interface.plan(planned.plan)
    if code := refused_while_frozen(cluster, interface, planned.plan):
        return code
    if ask and planned.plan.changes and not planned.plan.refusals and not interface.agreed():
        return FAILED
    if problem := cluster.remember(planned, refused=bool(planned.plan.refusals)):
        interface.warn(problem)
    # while a person thinks the world moves on, so then the preconditions are checked again
    return perform(cluster, planned.plan, interface, planned, again=ask)


def say_interrupted(cluster: Scope, interface: Interface) -> None:
    """Say what runs that died left half done; to be called under the lock."""
    try:
        for text in cluster.interrupted():
            interface.warn(text)
    except ReconcileError as error:
        interface.warn(f"the journal of earlier runs cannot be read: {error}")


def frozen_now(cluster: Scope, plan: Plan) -> Frozen | None:
    """Why a plan may not be applied now, if so."""
    # without a configured name a cluster is known by another before SLURM is asked
    names = cluster.names | {plan.cluster.removeprefix(USAGE)}
    return freezer(cluster.config).frozen(names, datetime.now(UTC))


def refused_while_frozen(cluster: Scope, interface: Interface, plan: Plan) -> int:
    """Nothing is applied while frozen: the exit code then, otherwise 0. An empty plan needs no leave."""
    if not plan.changes:
        return DONE
    frozen = frozen_now(cluster, plan)
    if frozen is None:
        return DONE
    interface.problem(f"{frozen.text}; nothing was done", f"To go on: {frozen.lifted_by}")
    return REFUSED


def perform(
    cluster: Scope,
    plan: Plan,
    interface: Interface,
    planned: Planned | None = None,
    *,
    again: bool = False,
    while_frozen: bool = False,
    saved: bool = False,
) -> int:
    """Apply a plan that was shown; the exit code. One that was ``saved`` is applied whole or not at all."""
    # somebody may have frozen it while the question was open
    if not while_frozen and (code := refused_while_frozen(cluster, interface, plan)):
        return code
    if plan.refusals:
        for refusal in plan.refusals:
            interface.problem(f"refused: {refusal.text}; nothing was done", f"To allow it: {refusal.lifted_by}")
        return REFUSED
    if plan.changes:
        with stopping() as stop:
            outcome = interface.run(
                plan,
                lambda listener: cluster.apply(
                    plan, planned=planned, again=again, saved=saved, listener=listener, stop=stop
                ),
            )
        interface.result(outcome)
        if stop():
            left = len(plan.changes) - len(outcome.applied)
            text = f"{left} of {len(plan.changes)} changes are left" if left else "all changes of this plan are made"
            interface.problem(f"stopped by {stop()}: {text}", "The next apply goes on from what is there.")
            return stop.code
        if outcome.failures:
            return FAILED
    elif interface.json:
        interface.result(Outcome())
    return FAILED if plan.unread else BLOCKED if plan.stuck else DONE


def _saved(config: Config, path: Path, interface: Interface, allowed: frozenset[str]) -> int:
    plans = load(path)
    if any(p.config_digest != config.digest for p in plans):
        raise ReconcileError(
            f"{path}: the plan was made with another configuration than {config.path}", "Make a new plan."
        )
    pairs: list[tuple[Scope, Plan]] = []
    for plan in plans:
        found = serving(config, plan)
        if found is None:
            raise ReconcileError(f"{path}: the plan is for {scope_name(plan.cluster)}, which the configuration lacks")
        pairs.append((found, plan))
    for cluster, plan in pairs:  # all or nothing: no cluster is touched while another's plan is stale
        cluster.require_fresh(plan)
    codes: list[int] = []
    for cluster, plan in pairs:
        if any(code > STOPPED for code in codes):
            break
        left = tuple(r for r in plan.refusals if not r.allowed(allowed))
        with cluster.locked():
            say_interrupted(cluster, interface)
            interface.plan(plan)
            if code := refused_while_frozen(cluster, interface, plan):
                codes.append(code)
                continue
            if problem := cluster.remember(refused=True):
                interface.warn(problem)
            if not left:
                cluster.journal.close()
            codes.append(perform(cluster, replace(plan, refusals=left), interface, saved=True))
    return worst(codes)
