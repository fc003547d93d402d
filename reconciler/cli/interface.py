"""What an operator sees of a change underway: text with a progress bar, clean lines, or event lines.

Whatever goes wrong here is told and degrades to plain lines; it never reaches the work that is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.apply.record import Event, Listener, Outcome
from reconciler.cli import options
from reconciler.errors import ReconcileError
from reconciler.faults import Fault
from reconciler.plan.model import Plan
from reconciler.render import events
from reconciler.render.text import address_text, plan_text, printable_lines
from reconciler.state.diff import Action, Change
from reconciler.state.model import Note

DONE, FAILED, REFUSED, BLOCKED = 0, 1, 3, 4
SILENT = 5  # the source of usage answered, and knows nothing of anybody
STOPPED = 128  # and the number of the signal
_DOING = {Action.CREATE: "Creating", Action.UPDATE: "Modifying", Action.DELETE: "Destroying"}
_DID = {Action.CREATE: "Creation", Action.UPDATE: "Modifications", Action.DELETE: "Destruction"}


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Interface:
    """What the operator sees: text with a progress bar, or event lines. ``faults``: what could not be shown."""

    def __init__(self, *, json_output: bool, no_color: bool) -> None:
        self.json = json_output
        self.faults = options.faults()
        self.console: Console = options.output(no_color=no_color)
        if json_output:
            self._show("the version", lambda: _write(events.version()), "")

    def _show(self, what: str, show: Callable[[], None], plain: str) -> None:
        """Show something, or at least a plain line."""

        def bare(fault: Fault) -> None:
            if plain and not self.json:
                self.faults.attempt(what, lambda: _write(plain), lambda again: None)

        self.faults.attempt(what, show, bare)

    def say(self, text: str, style: str | None = None) -> None:
        """A line or several."""
        self._show("a line", lambda: self.console.print(printable_lines(text), style=style), text)

    def table(self, what: str, drawn: Callable[[], RenderableType]) -> None:
        """Something that fits itself to the terminal."""
        self._show(what, lambda: self.console.print(drawn()), "")

    def plan(self, plan: Plan, title: str = "", nothing: str = "") -> None:
        """Show a plan, before anything is done."""
        counts = ", ".join(f"{plan.count(a)} to {a.value}" for a in Action)
        self._show("the plan", lambda: self._plan(plan, title, nothing), f"Plan: {counts}.")

    def _plan(self, plan: Plan, title: str, nothing: str) -> None:
        if not self.json:
            self.console.print(f"{printable_lines(title or plan.title)}\n", style="bold")
            self.console.print(plan_text(plan, self.faults, nothing))
            return
        for change in (*plan.changes, *plan.blocked):
            self._event(change, "planned_change", lambda change=change: events.planned(change))  # type: ignore[misc]  # of a default
        for note in (*plan.refused, *plan.waiting, *plan.warnings):
            self._diagnostic(note, note.text)
        for note in plan.orphans:
            self._diagnostic(note, f"orphan, left alone: {note.text}")
        for refusal in plan.refusals:
            _write(events.diagnostic("warning", f"guard: {refusal.text}", refusal.lifted_by))
        _write(events.plan_summary(plan))

    def _event(self, change: Change, kind: str, whole: Callable[[], str]) -> None:
        _write(self.faults.attempt(str(change.address), whole, lambda fault: events.plain(change, kind, fault.why)))

    def _diagnostic(self, note: Note, text: str) -> None:
        self._show(
            f"a note on {note.address}",
            lambda: _write(events.diagnostic("warning", f"{note.address}: {text}")),
            "",
        )

    def agreed(self) -> bool:
        """Ask whether to go on. Raises :class:`ReconcileError` where nobody could see to what he agrees."""
        if getattr(sys.stdout, "problem", ""):
            raise ReconcileError("the plan cannot be shown, so nobody can agree to it; nothing was done")
        answer = self.console.input("Do you want to perform these actions? Only 'yes' will be accepted: ")
        if answer.strip() != "yes":
            self.say("Apply cancelled; nothing was done.")
        return answer.strip() == "yes"

    def problem(self, text: str, hint: str = "") -> None:
        """Say what went wrong, and what to do."""
        text, hint = options.HIDDEN.text(text), options.HIDDEN.text(hint)
        if self.json:
            self._show("an error", lambda: _write(events.diagnostic("error", text, hint)), "")
        else:
            self.faults.attempt("an error", lambda: options.complain(text, hint), lambda fault: None)

    def warn(self, text: str) -> None:
        """Say what should be known."""
        text = options.HIDDEN.text(text)
        if self.json:
            self._show("a warning", lambda: _write(events.diagnostic("warning", text)), "")
        else:
            self.faults.attempt("a warning", lambda: options.warn(text), lambda fault: None)

    def run(self, plan: Plan, work: Callable[[Listener], Outcome]) -> Outcome:
        """Do the work, and show it as it goes."""
        bar = None if self.json or not self.console.is_terminal else self._bar(plan)
        try:
            outcome = work(lambda *step: self._step(bar, *step))
        finally:
            if bar is not None:
                self.faults.attempt("the progress bar", bar.stop, lambda fault: None)
        for fault in outcome.faults:
            self.faults.tell(fault)
        return outcome

    def _bar(self, plan: Plan) -> Progress | None:
        def started() -> Progress:
            columns = (TextColumn("applying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            bar = Progress(*columns, console=self.console, transient=True)
            bar.add_task("apply", total=len(plan.changes))
            bar.start()
            return bar

        none: Callable[[Fault], Progress | None] = lambda fault: None  # noqa: E731  # its type is its use
        return self.faults.attempt("the progress bar", started, none)

    def _step(self, bar: Progress | None, event: Event, change: Change, seconds: float, text: str) -> None:
        if self.json:
            self._event(change, event.value, lambda: events.hook(event, change, seconds, text))
            return
        if bar is not None and event in (Event.PROGRESS, Event.ERRORED):
            self.faults.attempt("the progress bar", lambda: bar.advance(bar.task_ids[0]), lambda fault: None)
        where = str(change.address)
        self._show(where, lambda: self._line(event, change, seconds, text), f"{where}: {event.value}")

    def _line(self, event: Event, change: Change, seconds: float, text: str) -> None:
        where = address_text(change.address)
        if event is Event.START:
            self.console.print(f"{where}: {_DOING[change.action]}...")
        elif event is Event.PROGRESS and text:
            self.console.print(f"{where}: {printable_lines(text)}", style="yellow")
        elif event is Event.COMPLETE:
            self.console.print(f"{where}: {_DID[change.action]} complete after {seconds:.1f}s")
        elif event is Event.ERRORED:
            self.console.print(f"{where}: failed after {seconds:.1f}s: {printable_lines(text)}", style="red")

    def result(self, outcome: Outcome) -> None:
        """How it ended."""
        added, changed, removed = (outcome.count(a) for a in Action)
        failed = len(outcome.failures.keys() - outcome.stopped)
        for offering, fields in sorted(outcome.absent.items()):
            names = ", ".join(sorted(fields))
            text = f"offering {offering}: this Waldur has no place for {names} of resources; not tried again for a week"
            self.warn(text)
        for offering, why in sorted(outcome.unreported.items()):
            self.warn(f"offering {offering}: Waldur was not told what ran for its periodic policy: {why}")
        if self.json:
            counts = (added, changed, removed, failed)
            self._show("the result", lambda: _write(events.change_summary("apply", *counts)), "")
            return
        word = events.outcome_words(failed) if failed or not outcome.stopped else "Apply stopped."
        self.say(
            f"\n{word} Resources: {added} added, {changed} changed, {removed} destroyed.",
            style="bold red" if outcome.failures else "bold green",
        )


def worst(codes: Sequence[int]) -> int:
    """The exit code of several clusters: an error before a refusal before what is blocked."""
    stopped = [c for c in codes if c > STOPPED]
    return stopped[0] if stopped else next((c for c in (FAILED, SILENT, REFUSED, BLOCKED) if c in codes), DONE)
