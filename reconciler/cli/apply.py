"""``reconcile apply``: make it so, and prove it by reading again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.cli import options
from reconciler.config import Config
from reconciler.cycle import Cluster, offering_name
from reconciler.errors import ReconcileError
from reconciler.outcome import Event, Listener, Outcome
from reconciler.plan import Plan
from reconciler.planfile import load
from reconciler.providers.slurm.read import Reading
from reconciler.render import events
from reconciler.render.text import plan_text, printable
from reconciler.state.diff import Action, Change

DONE, FAILED, REFUSED, BLOCKED = 0, 1, 3, 4
_DOING = {Action.CREATE: "Creating", Action.UPDATE: "Modifying", Action.DELETE: "Destroying"}
_DID = {Action.CREATE: "Creation", Action.UPDATE: "Modifications", Action.DELETE: "Destruction"}


class _Interface:
    """What the operator sees: text with a progress bar, or event lines."""

    def __init__(self, *, json_output: bool, no_color: bool) -> None:
        self.json = json_output
        self.console: Console = options.output(no_color=no_color)
        self.bar: Progress | None = None
        if json_output:
            typer.echo(events.version())

    def plan(self, plan: Plan) -> None:
        if not self.json:
            self.console.print(f"Cluster {plan.cluster}, offerings: {', '.join(plan.offerings)}\n", style="bold")
            self.console.print(plan_text(plan))
            return
        for change in (*plan.changes, *plan.blocked):
            typer.echo(events.planned(change))
        for note in plan.refused:
            typer.echo(events.diagnostic("warning", f"{note.address}: {note.text}"))
        typer.echo(events.plan_summary(plan))

    def problem(self, text: str, hint: str = "") -> None:
        if self.json:
            typer.echo(events.diagnostic("error", text, hint))
        else:
            options.errors().print(f"Error: {printable_lines(text)}" + (f"\n  {hint}" if hint else ""), style="red")

    def run(self, plan: Plan, work: Callable[[Listener], Outcome]) -> Outcome:
        if self.json:
            return work(lambda e, c, s, t: typer.echo(events.hook(e, c, s, t)))
        if not self.console.is_terminal:
            return work(self._line)
        columns = (TextColumn("applying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("apply", total=len(plan.changes))

            def listen(event: Event, change: Change, seconds: float, text: str) -> None:
                if event in (Event.PROGRESS, Event.ERRORED):
                    bar.advance(task)
                self._line(event, change, seconds, text)

            return work(listen)

    def _line(self, event: Event, change: Change, seconds: float, text: str) -> None:
        if event is Event.START:
            self.console.print(f"{change.address}: {_DOING[change.action]}...")
        elif event is Event.PROGRESS and text:
            self.console.print(f"{change.address}: {printable_lines(text)}", style="yellow")
        elif event is Event.COMPLETE:
            self.console.print(f"{change.address}: {_DID[change.action]} complete after {seconds:.1f}s")
        elif event is Event.ERRORED:
            self.console.print(f"{change.address}: failed after {seconds:.1f}s: {printable_lines(text)}", style="red")

    def result(self, outcome: Outcome) -> None:
        added, changed, removed = (outcome.count(a) for a in Action)
        if self.json:
            typer.echo(events.change_summary("apply", added, changed, removed, len(outcome.failures)))
            return
        word = events.outcome_words(len(outcome.failures))
        self.console.print(
            f"\n{word} Resources: {added} added, {changed} changed, {removed} destroyed.",
            style="bold red" if outcome.failures else "bold green",
        )


def printable_lines(text: str) -> str:
    """Several lines, each without control characters."""
    return "\n".join(printable(line) for line in text.split("\n"))


def apply(
    plan_file: Annotated[
        Path | None,
        typer.Argument(metavar="[PLANFILE]", help="A plan saved by `plan --out`.", show_default=False),
    ] = None,
    config_path: options.ConfigOption = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")] = False,
    offering: options.OfferingOption = "",
    target: options.TargetOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="Stream one JSON event per line.")] = False,
    allow: options.AllowOption = None,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Make the cluster what Waldur says. Shows the plan, asks, applies, and reads again.

    Exit codes: 0 converged, 1 error, 3 refused by a guard, 4 applied but blocked objects remain.

    Examples:

      reconcile apply
      reconcile apply --auto-approve          from a systemd timer
      reconcile apply climate.plan            exactly a saved plan
    """
    config = options.configuration(config_path)
    if plan_file is not None and (target or offering):
        raise ReconcileError("--target and --offering belong to planning; a saved plan is applied as it is")
    if json_output and not auto_approve and plan_file is None:
        raise ReconcileError("--json cannot ask a question", "Add --auto-approve, or apply a saved plan.")
    if not auto_approve and plan_file is None and not options.interactive():
        raise ReconcileError("nobody can answer here: standard input is no terminal", "Add --auto-approve.")
    interface = _Interface(json_output=json_output, no_color=no_color)
    allowed = options.allowed_guards(allow)
    if plan_file is not None:
        raise typer.Exit(_saved(config, plan_file, interface, allowed))
    codes = []
    for cluster in options.chosen(config, offering):
        try:
            with cluster.locked():
                codes.append(
                    _cycle(
                        cluster,
                        interface,
                        allowed,
                        targets=target or (),
                        offering=offering_name(config, offering) if offering else "",
                        ask=not auto_approve,
                        verbose=verbose,
                    )
                )
        except ReconcileError as error:
            interface.problem(f"cluster {cluster.label}: {error.message}", error.hint)
            codes.append(FAILED)
    raise typer.Exit(worst(codes))


def worst(codes: Sequence[int]) -> int:
    """The exit code of several clusters: an error before a refusal before what is blocked."""
    return next((c for c in (FAILED, REFUSED, BLOCKED) if c in codes), DONE)


def _cycle(
    cluster: Cluster,
    interface: _Interface,
    allowed: frozenset[str],
    *,
    targets: Sequence[str],
    offering: str,
    ask: bool,
    verbose: bool,
) -> int:
    with options.progress(verbose=verbose) as progress:
        planned = cluster.plan(targets=targets, offering=offering, allowed=allowed, progress=progress)
    interface.plan(planned.plan)
    if ask and planned.plan.changes and not planned.plan.refusals:
        answer = interface.console.input("Do you want to perform these actions? Only 'yes' will be accepted: ")
        if answer.strip() != "yes":
            interface.console.print("Apply cancelled; nothing was done.")
            return FAILED
    cluster.remember()
    # while a person thinks the world moves on, so then the preconditions are checked again
    return _perform(cluster, planned.plan, interface, None if ask else planned.reading)


def _perform(cluster: Cluster, plan: Plan, interface: _Interface, reading: Reading | None) -> int:
    if plan.refusals:
        for refusal in plan.refusals:
            interface.problem(f"refused: {refusal.text}; nothing was done", f"To allow it: {refusal.lifted_by}")
        return REFUSED
    if plan.changes:
        outcome = interface.run(plan, lambda listener: cluster.apply(plan, reading=reading, listener=listener))
        interface.result(outcome)
        if outcome.failures:
            return FAILED
    elif interface.json:
        interface.result(Outcome())
    return BLOCKED if plan.stuck else DONE


def _saved(config: Config, path: Path, interface: _Interface, allowed: frozenset[str]) -> int:
    plans = load(path)
    if any(p.config_digest != config.digest for p in plans):
        raise ReconcileError(
            f"{path}: the plan was made with another configuration than {config.path}", "Make a new plan."
        )
    pairs: list[tuple[Cluster, Plan]] = []
    for plan in plans:
        found = [c for c in options.chosen(config, "") if (c.reader.cluster or plan.cluster).lower() == plan.cluster]
        if not found:
            raise ReconcileError(f"{path}: the plan is for cluster {plan.cluster!r}, which the configuration lacks")
        pairs.append((found[0], plan))
    for cluster, plan in pairs:  # all or nothing: no cluster is touched while another's plan is stale
        cluster.require_fresh(plan)
    codes = []
    for cluster, plan in pairs:
        left = tuple(r for r in plan.refusals if r.key not in allowed)
        with cluster.locked():
            interface.plan(plan)
            codes.append(_perform(cluster, replace(plan, refusals=left), interface, None))
    return worst(codes)
