"""One change of a portal's object: sent, and believed once the portal says so when it is asked again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reconciler.apply.record import Record, mismatch
from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.portal import Listening, Portal
from reconciler.state.diff import Change
from reconciler.state.model import Address, State
from reconciler.state.values import json_value

#: what is said where a portal does not tell any more what it has
UNREAD = ", Waldur could not be read again"


class Requests:
    """Writes to portals, by offering, and reads what they made of it."""

    def __init__(self, portals: Mapping[str, Portal], record: Record) -> None:
        self.portals = portals
        self.record = record
        self._absent: dict[Address, frozenset[str]] = {}

    def unjudged(self, change: Change) -> bool:
        """Whether nothing is known yet of how it ended."""
        outcome = self.record.outcome
        return change.address not in outcome.failures and change.address not in outcome.left

    def write(
        self, change: Change, step: Change, forgiven: Callable[[ReconcileError], bool] = lambda error: False
    ) -> None:
        """Make ``step``, which is ``change`` or a part of it; ``forgiven`` says which errors are none."""
        try:
            self.record.start(change, _request(step))
            try:
                if absent := self._listening(_offering(change)).write(step, self.record.plan.told.held):
                    self.record.outcome.absent.setdefault(_offering(change), set()).update(absent)
                    self._absent[change.address] = absent
            except ReconcileError as error:
                if not forgiven(error):
                    raise
        except ReconcileError as error:
            self.record.fail(change, str(error))
            return
        if self.unjudged(change):
            self.record.progress(change)

    def confirm(self, changes: Sequence[Change]) -> None:
        """Success is what the portal says when it is asked again."""
        by_offering: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_offering[_offering(change)].append(change)
        for offering, written in by_offering.items():
            now = self._after(offering, written)
            for change in written if now is not None else ():
                before, skipped = change.before or {}, self._absent.get(change.address, frozenset())
                kept = {n: before.get(n) if n in skipped else v for n, v in (change.after or {}).items()}
                self.record.judge(change, mismatch(replace(change, after=kept), now or {}))

    def now(self, change: Change) -> State:
        """Its object at this moment, or nothing where it is gone. Raises ``ReadError``."""
        return self._listening(_offering(change)).read([change.address])

    def _after(self, offering: str, changes: Sequence[Change]) -> State | None:
        addresses = [c.address for c in changes]
        return self.record.read_again(changes, lambda: self._listening(offering).read(addresses), UNREAD)

    def _listening(self, offering: str) -> Listening:
        found = self.portals[offering].listening
        if found is None:
            raise ReadError(f"offering {offering}: where its facts come from nothing can be written")
        return found


def _offering(change: Change) -> str:
    return min(change.offerings)


def _request(step: Change) -> str:
    """What is asked of the portal, for the journal."""
    said = ", ".join(f"{n} = {json_value((step.after or {}).get(n))}" for n in step.changed())
    return f"Waldur: {step.action.value} {step.address}: {said}"
