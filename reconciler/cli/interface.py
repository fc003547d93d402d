"""What an operator sees of a change underway: text with a progress bar, clean lines, or event lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.cli import options
from reconciler.outcome import Event, Listener, Outcome
from reconciler.plan import Plan
from reconciler.render import events
from reconciler.render.text import plan_text, printable
from reconciler.state.diff import Action, Change

DONE, FAILED, REFUSED, BLOCKED = 0, 1, 3, 4
STOPPED = 128  # and the number of the signal
_DOING = {Action.CREATE: "Creating", Action.UPDATE: "Modifying", Action.DELETE: "Destroying"}
_DID = {Action.CREATE: "Creation", Action.UPDATE: "Modifications", Action.DELETE: "Destruction"}


class Interface:
    """What the operator sees: text with a progress bar, or event lines."""

    def __init__(self, *, json_output: bool, no_color: bool) -> None:
        self.json = json_output
        self.console: Console = options.output(no_color=no_color)
        self.bar: Progress | None = None
        if json_output:
            typer.echo(events.version())

    def plan(self, plan: Plan, title: str = "", nothing: str = "") -> None:
        """Show a plan, before anything is done."""
        if not self.json:
            self.console.print(f"{title or plan.title}\n", style="bold")
            self.console.print(plan_text(plan, nothing))
            return
        for change in (*plan.changes, *plan.blocked):
            typer.echo(events.planned(change))
        for note in (*plan.refused, *plan.waiting, *plan.warnings):
            typer.echo(events.diagnostic("warning", f"{note.address}: {note.text}"))
        for note in plan.orphans:
            typer.echo(events.diagnostic("warning", f"{note.address}: orphan, left alone: {note.text}"))
        for refusal in plan.refusals:
            typer.echo(events.diagnostic("warning", f"guard: {refusal.text}", refusal.lifted_by))
        typer.echo(events.plan_summary(plan))

    def agreed(self) -> bool:
        """Ask whether to go on."""
        answer = self.console.input("Do you want to perform these actions? Only 'yes' will be accepted: ")
        if answer.strip() != "yes":
            self.console.print("Apply cancelled; nothing was done.")
        return answer.strip() == "yes"

    def problem(self, text: str, hint: str = "") -> None:
        """Say what went wrong, and what to do."""
        text, hint = options.HIDDEN.text(text), options.HIDDEN.text(hint)
        if self.json:
            typer.echo(events.diagnostic("error", text, hint))
        else:
            options.errors().print(f"Error: {printable_lines(text)}" + (f"\n  {hint}" if hint else ""), style="red")

    def warn(self, text: str) -> None:
        """Say what should be known."""
        text = options.HIDDEN.text(text)
        if self.json:
            typer.echo(events.diagnostic("warning", text))
        else:
            options.errors().print(f"Warning: {printable_lines(text)}", style="yellow")

    def run(self, plan: Plan, work: Callable[[Listener], Outcome]) -> Outcome:
        """Do the work, and show it as it goes."""
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
        """How it ended."""
        added, changed, removed = (outcome.count(a) for a in Action)
        failed = len(outcome.failures.keys() - outcome.stopped)
        for offering, fields in sorted(outcome.absent.items()):
            names = ", ".join(sorted(fields))
            text = f"offering {offering}: this Waldur has no place for {names} of resources; not tried again for a week"
            self.warn(text)
        if self.json:
            typer.echo(events.change_summary("apply", added, changed, removed, failed))
            return
        word = events.outcome_words(failed) if failed or not outcome.stopped else "Apply stopped."
        self.console.print(
            f"\n{word} Resources: {added} added, {changed} changed, {removed} destroyed.",
            style="bold red" if outcome.failures else "bold green",
        )


def printable_lines(text: str) -> str:
    """Several lines, each without control characters."""
    return "\n".join(printable(line) for line in text.split("\n"))


def worst(codes: Sequence[int]) -> int:
    """The exit code of several clusters: an error before a refusal before what is blocked."""
    stopped = [c for c in codes if c > STOPPED]
    return stopped[0] if stopped else next((c for c in (FAILED, REFUSED, BLOCKED) if c in codes), DONE)
