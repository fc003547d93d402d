"""What an apply did, object by object, and how the world still differs from what was wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.errors import ReconcileError, StoppedError
from reconciler.faults import Fault, Faults
from reconciler.plan.model import Plan
from reconciler.state.diff import Action, Change, same, values_of
from reconciler.state.facts import Told
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, State
from reconciler.state.values import json_value
from reconciler.store.journal import DISPROVED, DONE, FAILED, LEFT, UNCONFIRMED, Run


class Event(StrEnum):
    """What happens during an apply, in the words of Terraform's event stream."""

    START = "apply_start"
    PROGRESS = "apply_progress"
    COMPLETE = "apply_complete"
    ERRORED = "apply_errored"


Listener = Callable[[Event, Change, float, str], None]


@dataclass
class Outcome:
    """What an apply did. ``failures``: why, by address; ``done``: seconds by address.

    ``final``: failures that another try cannot mend; ``left``: what somebody else finished meanwhile; ``stopped``:
    failures that are none, as a signal came before they were begun; ``absent``: by offering, fields that its portal
    has no place for; ``unreported``: by offering, why it could not be told what ran; ``faults``: what could not be
    shown or written down as it should be, which changed nothing.
    """

    done: dict[Address, float] = field(default_factory=dict)
    failures: dict[Address, str] = field(default_factory=dict)
    final: set[Address] = field(default_factory=set)
    left: dict[Address, str] = field(default_factory=dict)
    applied: list[Change] = field(default_factory=list)
    absent: dict[str, set[str]] = field(default_factory=dict)
    unreported: dict[str, str] = field(default_factory=dict)
    stopped: set[Address] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def count(self, action: Action) -> int:
        """Changes of this action that the read afterwards confirmed."""
        return sum(c.action is action for c in self.applied)


class Record:
    """One apply underway: its plan, its outcome so far, and who listens."""

    def __init__(self, plan: Plan, listener: Listener | None = None, run: Run | None = None) -> None:
        self.plan = plan
        self._run = run
        self._faults = Faults()
        self.outcome = Outcome(faults=self._faults.found)
        if run is not None:
            run.faults = self._faults
        self.by_address = {c.address: c for c in plan.changes}
        self._listener = listener or (lambda event, change, seconds, text: None)
        self._started: dict[Address, float] = {}
        self.commands: dict[Address, list[str]] = {}  # what was run for an object, as the journal has it
        self._disproved: set[Address] = set()

    def revise(self, gone: Collection[Address], fresh: Sequence[Change], told: Told) -> None:
        """Go on with other changes: some are left out, ``fresh`` ones take their objects' place or come last.

        ``told``: what portals told of them.
        """
        instead = {c.address: c for c in fresh}
        kept = [instead.pop(c.address, c) for c in self.plan.changes if c.address in instead or c.address not in gone]
        self.plan = replace(self.plan, changes=(*kept, *instead.values()), told=self.plan.told.then(told))
        for address in gone:
            self.by_address.pop(address, None)
        self.by_address |= {c.address: c for c in fresh}

    def refuse(self, moved: Mapping[Address, str]) -> None:
        """Leave alone what is no longer as the plan found it, with words."""
        for address, why in moved.items():
            text = f"not tried, since it moved after the plan was made: {why}; the next cycle plans it anew"
            self.fail(self.by_address[address], text)

    def start(self, change: Change, command: str = "") -> None:
        """Its first command or request is about to be sent. Raises :class:`ReconcileError`: then it must not be."""
        self.begin([change], command)

    def begin(self, changes: Sequence[Change], command: str) -> None:
        """One command for several of them is about to be run; it is in the journal before."""
        fresh = [c for c in changes if c.address not in self._started]
        if self._run is not None:
            try:
                self._run.tried(changes, command)
            except StoppedError as error:
                self.stop(fresh, error.message)
                raise
        for change in changes:
            self.commands.setdefault(change.address, []).append(command)
        for change in fresh:
            self._started[change.address] = time.monotonic()
            self._tell(Event.START, change, 0.0, "")

    def stop(self, changes: Iterable[Change], why: str) -> None:
        """They are not begun, since a signal came."""
        for change in changes:
            self.outcome.failures[change.address] = f"not begun: {why}"
            self.outcome.stopped.add(change.address)

    def _tell(self, event: Event, change: Change, seconds: float, text: str) -> None:
        """Who listens hears of it; what goes wrong there is no concern of the apply."""
        self._faults.attempt(
            f"progress of {change.address}", lambda: self._listener(event, change, seconds, text), lambda fault: None
        )

    def _note(self, change: Change, outcome: str, text: str = "") -> None:
        if self._run is not None:
            self._run.ended(change, outcome, self._seconds(change), text)

    def progress(self, change: Change) -> None:
        """Nothing complained; the read afterwards tells."""
        self.outcome.done[change.address] = self._seconds(change)
        self._tell(Event.PROGRESS, change, self.outcome.done[change.address], "")

    def complete(self, change: Change) -> None:
        """A read showed that it is as it should be: an error text about it was none."""
        self.outcome.failures.pop(change.address, None)
        self.outcome.final.discard(change.address)
        self.outcome.applied.append(change)
        self._note(change, DONE)
        self._tell(Event.COMPLETE, change, self.outcome.done.get(change.address, 0.0), "")

    def fail(self, change: Change, text: str, *, final: bool = False) -> None:
        """It could not be done; ``final``: another try cannot mend it."""
        if change.address in self.outcome.stopped:
            return
        self.outcome.failures[change.address] = text
        self.outcome.done.pop(change.address, None)
        if final:
            self.outcome.final.add(change.address)
        outcome = UNCONFIRMED if text.startswith("not confirmed") else FAILED
        self._note(change, DISPROVED if change.address in self._disproved else outcome, text)
        self._tell(Event.ERRORED, change, self._seconds(change), text)

    def disprove(self, changes: Iterable[Change]) -> None:
        """A look right after the call showed that it did something else: nobody is to try it again unasked."""
        self._disproved |= {c.address for c in changes}

    def judge(self, change: Change, wrong: str) -> None:
        """What a read showed: ``wrong`` says how the world still differs, or is empty."""
        unseen = change.kind.renews in change.changed()  # no read shows it, so it is as its own look said
        if not wrong and not (unseen and change.address in self.outcome.failures):
            self.complete(change)
        elif change.address not in self.outcome.failures:  # what failed before has a better reason
            self.fail(change, wrong)

    def leave(self, change: Change, text: str) -> None:
        """Somebody else has finished it meanwhile."""
        self.outcome.left[change.address] = text
        self._note(change, LEFT, text)
        self._tell(Event.PROGRESS, change, self._seconds(change), text)

    def _seconds(self, change: Change) -> float:
        now = time.monotonic()
        return now - self._started.get(change.address, now)

    def ready(self, changes: Iterable[Change]) -> list[Change]:
        """Those that may be tried: what depends on something that failed is left out, by name."""
        if not self.outcome.failures and not self.outcome.left:
            return list(changes)
        return [c for c in changes if not self._skip(c)]

    def read_again(self, changes: Iterable[Change], read: Callable[[], State], unread: str) -> State | None:
        """What is there now, to judge changes by; where nobody can tell they fail, with the words ``unread``."""
        try:
            return read()
        except ReconcileError as error:
            for change in changes:
                if change.address not in self.outcome.failures:
                    self.fail(change, f"not confirmed{unread}: {error.message}")
            return None

    def prove(self, changes: Sequence[Change], read: Callable[[], State], unread: str = "") -> None:
        """Success is what the next read shows, whatever was answered before."""
        now = self.read_again(changes, read, unread)
        for change in changes if now is not None else ():
            self.judge(change, mismatch(change, now or {}))

    def without_orders(self, changes: Iterable[Change]) -> list[Change]:
        """Updates of accounts whose order was not taken on go on without what the order brings: its limits."""
        result = []
        for change in changes:
            stuck = change.needs & (self.outcome.failures.keys() | self.outcome.left.keys())
            if stuck and change.action is Action.UPDATE and change.before is not None and change.after is not None:
                budget = change.kind.budget
                kept = {**change.after, budget: change.before.get(budget)} if budget else change.after
                reduced = replace(change, after=kept, needs=frozenset())
                if reduced.changed():
                    self.by_address[change.address] = reduced
                    result.append(reduced)
                    continue
            result.append(change)
        return result

    def _skip(self, change: Change) -> bool:
        outcome = self.outcome
        if change.address in outcome.failures or change.address in outcome.left:
            return True
        needs = set(change.needs)
        if change.action is not Action.DELETE:
            needs |= set(KINDS[change.address.kind].depends(change.address.key, change.after or {}))
        for need in sorted(needs & self.by_address.keys()):
            if need in outcome.stopped:
                self.stop([change], f"it depends on {need}")
                return True
            if need in outcome.failures:
                self.fail(change, f"not tried: it depends on {need}")
                return True
            if need in outcome.left:
                self.leave(change, f"not tried: {need}: {outcome.left[need]}")
                return True
        return False


def mismatch(change: Change, actual: State) -> str:
    """How the world still differs from what a change should have made, or nothing."""
    present = actual.get(change.address)
    if change.action is Action.DELETE:
        return "still there after its removal" if present is not None else ""
    if present is None:
        return "not there after its creation" if change.action is Action.CREATE else "vanished meanwhile"
    values = values_of(present)
    after = change.after or {}
    wrong = [
        f"{name} is {json_value(values.get(name))!r} instead of {json_value(after[name])!r}"
        for name in change.changed()
        if not same(change.address, name, after[name], values.get(name))
    ]
    return f"still differs after the change: {'; '.join(wrong)}" if wrong else ""
