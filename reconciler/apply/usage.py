"""The writer of usage: totals of a resource in one request, then its users, each proven by the next read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reconciler.apply.record import Record, mismatch
from reconciler.apply.requests import UNREAD
from reconciler.errors import ReadError, ReconcileError, RefusedError
from reconciler.providers.portal import Portal, UsageWriter
from reconciler.state.diff import Change
from reconciler.state.model import Address, State
from reconciler.state.period import Period
from reconciler.state.values import amounts_of


class Reporting:
    """Tells portals what was used; ``portals`` by offering. Every request may be repeated."""

    def __init__(self, portals: Mapping[str, Portal], record: Record) -> None:
        self.portals = portals
        self.record = record
        self._writers: dict[str, UsageWriter] = {}

    def write(self, changes: Sequence[Change]) -> None:
        """Write these changes of usage, oldest month first, and judge each by what the portal says afterwards."""
        groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
        for change in self.record.ready(changes):
            groups[change.address.key[1], min(change.offerings)].append(change)
        for (period, offering), group in sorted(groups.items()):
            self._month(offering, Period.parse(period), group)

    def _month(self, offering: str, period: Period, changes: list[Change]) -> None:
        try:
            ledger = self._writer(offering)
            self.record.begin(changes, f"Waldur: set usage of {period}")
        except ReconcileError as error:
            for change in changes:
                self.record.fail(change, f"not tried: {error}")
            return
        totals = [c for c in changes if "total" in c.changed()]
        problems = self._totals(ledger, period, totals)
        state = self._read(ledger, period, changes, users=False)
        if state is None:
            return
        # a plan that was changed within the month has a row of its own, known only once it was written
        again = [c for c in totals if _several_plans(c, state) and _differs(c, state)]
        if again:
            problems |= self._totals(ledger, period, again)
            state = self._read(ledger, period, changes, users=False)
        for change in totals if state is not None else ():
            # an answer may be lost although all was done
            if change.address in problems and _differs(change, state or {}):
                self.record.fail(change, problems[change.address])
        for change in self.record.ready(changes):
            self._users(ledger, change)
        for change in self.record.ready(changes):
            self.record.progress(change)
        state = self._read(ledger, period, changes, users=True)
        for change in changes if state is not None else ():
            self.record.judge(change, mismatch(change, state or {}))

    def _writer(self, offering: str) -> UsageWriter:
        """One for the whole apply, with what its plan was told."""
        if offering not in self._writers:
            ledger, told = self.portals[offering].ledger, self.record.plan.told
            if ledger is None:
                raise ReadError(f"offering {offering}: where its facts come from no usage is taken")
            self._writers[offering] = ledger.writer(told.facts.get(offering), told.held)
        return self._writers[offering]

    def _totals(self, ledger: UsageWriter, period: Period, changes: Sequence[Change]) -> dict[Address, str]:
        """Send totals, a resource at a time; what went wrong."""
        by_resource: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_resource[change.address.key[0]].append(change)
        problems: dict[Address, str] = {}
        for resource, group in by_resource.items():
            problem = self._set(ledger, resource, period, group)
            if problem is not None and len(group) > 1 and isinstance(problem, RefusedError):
                # one by one, so that what is refused has a name and the others go on
                for change in group:
                    alone = self._set(ledger, resource, period, [change])
                    problems |= {change.address: str(alone)} if alone is not None else {}
            elif problem is not None:
                problems |= {c.address: str(problem) for c in group}
        return problems

    def _set(
        self, ledger: UsageWriter, resource: str, period: Period, changes: Sequence[Change]
    ) -> ReconcileError | None:
        totals = {c.address.key[2]: str((c.after or {})["total"]) for c in changes}
        try:
            ledger.set_usage(resource, period, totals)
        except ReconcileError as error:
            return error
        return None

    def _users(self, ledger: UsageWriter, change: Change) -> None:
        held = amounts_of((change.before or {}).get("users"))
        users = {n: a for n, a in amounts_of((change.after or {}).get("users")).items() if a != held.get(n)}
        if not users:
            return
        try:
            ledger.set_user_usages(change.address, users)
        except ReconcileError as error:
            self.record.fail(change, str(error))

    def _read(self, ledger: UsageWriter, period: Period, changes: Sequence[Change], *, users: bool) -> State | None:
        return self.record.read_again(changes, lambda: ledger.usages(period, users=users), UNREAD)


def _several_plans(change: Change, state: State) -> bool:
    present = state.get(change.address)
    return present is not None and "plans" in present.values


def _differs(change: Change, state: State) -> bool:
    present = state.get(change.address)
    return present is None or present.values.get("total") != (change.after or {}).get("total")
