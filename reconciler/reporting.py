"""The writer of usage: totals of a resource in one request, then its users, each proven by the next read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reconciler.errors import ReconcileError
from reconciler.outcome import Record, mismatch
from reconciler.providers.portal import Portal
from reconciler.state.diff import Change
from reconciler.state.model import Address, State, amounts_of
from reconciler.state.period import Period

_BAD_REQUEST = 400


class Reporting:
    """Tells portals what was used; ``portals`` by offering. Every request may be repeated."""

    def __init__(self, portals: Mapping[str, Portal], record: Record) -> None:
        self.portals = portals
        self.record = record

    def write(self, changes: Sequence[Change]) -> None:
        """Write these changes of usage, oldest month first, and judge each by what the portal says afterwards."""
        groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
        for change in self.record.ready(changes):
            groups[change.address.key[1], min(change.offerings)].append(change)
        for (period, offering), group in sorted(groups.items()):
            self._month(self.portals[offering], Period.parse(period), group)

    def _month(self, portal: Portal, period: Period, changes: list[Change]) -> None:
        try:
            self.record.begin(changes, f"Waldur: set usage of {period}")
        except ReconcileError as error:
            for change in changes:
                self.record.fail(change, f"not tried: {error}")
            return
        totals = [c for c in changes if "total" in c.changed()]
        problems = self._totals(portal, period, totals)
        state = self._read(portal, period, changes, users=False)
        if state is None:
            return
        # a plan that was changed within the month has a row of its own, known only once it was written
        again = [c for c in totals if _several_plans(c, state) and _differs(c, state)]
        if again:
            problems |= self._totals(portal, period, again)
            state = self._read(portal, period, changes, users=False)
        for change in totals if state is not None else ():
            # an answer may be lost although all was done
            if change.address in problems and _differs(change, state or {}):
                self.record.fail(change, problems[change.address])
        for change in self.record.ready(changes):
            self._users(portal, change)
        for change in self.record.ready(changes):
            self.record.progress(change)
        state = self._read(portal, period, changes, users=True)
        for change in changes if state is not None else ():
            self.record.judge(change, mismatch(change, state or {}))

    def _totals(self, portal: Portal, period: Period, changes: Sequence[Change]) -> dict[Address, str]:
        """Send totals, a resource at a time; what went wrong."""
        by_resource: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_resource[change.address.key[0]].append(change)
        problems: dict[Address, str] = {}
        for resource, group in by_resource.items():
            problem = self._set(portal, resource, period, group)
            if problem is not None and len(group) > 1 and getattr(problem, "status", 0) == _BAD_REQUEST:
                # one by one, so that what is refused has a name and the others go on
                for change in group:
                    alone = self._set(portal, resource, period, [change])
                    problems |= {change.address: str(alone)} if alone is not None else {}
            elif problem is not None:
                problems |= {c.address: str(problem) for c in group}
        return problems

    def _set(self, portal: Portal, resource: str, period: Period, changes: Sequence[Change]) -> ReconcileError | None:
        totals = {c.address.key[2]: str((c.after or {})["total"]) for c in changes}
        try:
            portal.set_usage(resource, period, totals)
        except ReconcileError as error:
            return error
        return None

    def _users(self, portal: Portal, change: Change) -> None:
        held = amounts_of((change.before or {}).get("users"))
        users = {n: a for n, a in amounts_of((change.after or {}).get("users")).items() if a != held.get(n)}
        if not users:
            return
        try:
            portal.set_user_usages(change.address, users)
        except ReconcileError as error:
            self.record.fail(change, str(error))

    def _read(self, portal: Portal, period: Period, changes: Sequence[Change], *, users: bool) -> State | None:
        try:
            return portal.usages(period, users=users)
        except ReconcileError as error:
            for change in changes:
                if change.address not in self.record.outcome.failures:
                    self.record.fail(change, f"not confirmed, Waldur could not be read again: {error.message}")
            return None


def _several_plans(change: Change, state: State) -> bool:
    present = state.get(change.address)
    return present is not None and "plans" in present.values


def _differs(change: Change, state: State) -> bool:
    present = state.get(change.address)
    return present is None or present.values.get("total") != (change.after or {}).get("total")
