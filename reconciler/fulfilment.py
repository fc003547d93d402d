"""The portal's part of an apply: orders approved before the cluster changes, told and finished after it.

Every request is safe to repeat: a run that dies between two of them is finished by the next one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reconciler.errors import ReconcileError
from reconciler.outcome import Listener, Outcome, Record, mismatch
from reconciler.plan import Plan
from reconciler.providers.portal import Portal
from reconciler.reporting import Reporting
from reconciler.state.diff import Change
from reconciler.state.facts import DONE, EXECUTING, ORDER_ERRED, PENDING_PROVIDER
from reconciler.state.kinds import KINDS, Stage
from reconciler.state.model import Address, State, json_value
from reconciler.store.journal import Run

_CONFLICT, _GONE = 409, 404
_REFUSED = "The cluster refused the account or its limits. The provider can see why; please ask there."


class Fulfilment:
    """Writes what the portals have to know; ``portals`` by offering."""

    def __init__(self, portals: Mapping[str, Portal], record: Record) -> None:
        self.portals = portals
        self.record = record
        self._absent: dict[Address, frozenset[str]] = {}

    def _portal(self, change: Change) -> Portal:
        return self.portals[min(change.offerings)]

    def _of(self, stage: Stage) -> list[Change]:
        return [c for c in self.record.plan.changes if KINDS[c.address.kind].stage is stage]

    def before_cluster(self) -> None:
        """Who people are, and the provider's word that it takes an order on: what the cluster's changes rest on."""
        for change in self.record.ready(self._of(Stage.IDENTITY)):
            self._write(change, change)
        self._confirm([c for c in self._of(Stage.IDENTITY) if c.address in self.record.outcome.done])
        for change in self._of(Stage.ORDER):
            if (change.before or {}).get("state") == PENDING_PROVIDER:
                self._step(change, EXECUTING)

    def after_cluster(self) -> None:
        """Accounts, states and metadata of resources, then how their orders ended."""
        for change in self.record.ready(self._of(Stage.REPORT)):
            self._write(change, change)
        told = [c for c in self._of(Stage.REPORT) if c.address in self.record.outcome.done]
        self._confirm(told)
        Reporting(self.portals, self.record).write(self._of(Stage.USAGE))
        for change in self._of(Stage.ORDER):
            self._finish(change)
        ended = [c for c in self._of(Stage.ORDER) if self._unjudged(c)]
        self._confirm(ended)

    def _unjudged(self, change: Change) -> bool:
        outcome = self.record.outcome
        return change.address not in outcome.failures and change.address not in outcome.left

    # ------------------------------------------------------------------ orders

    def _finish(self, change: Change) -> None:
        """Done when everything it needs is; erred when that failed for good; otherwise the next cycle goes on."""
        outcome = self.record.outcome
        wanted = (change.after or {}).get("state")
        if not self._unjudged(change) or wanted == EXECUTING:
            return
        broken = sorted(n for n in change.needs & outcome.final if n.kind == "slurm.account")
        # a member whom the cluster refuses for good holds up nobody's order
        change = replace(change, needs=frozenset(n for n in change.needs - outcome.final | set(broken)))
        if wanted == DONE and broken:
            self._step(change, ORDER_ERRED, _REFUSED)
            if self._unjudged(change):
                self.record.fail(change, f"set to erred in Waldur, as {broken[0]} was refused by the cluster")
        elif self.record.ready([change]):
            self._step(change, str(wanted), str((change.after or {}).get("error_message") or ""))

    def _step(self, change: Change, state: str, message: str = "") -> None:
        """One transition. An order that somebody else has moved on meanwhile is looked at, and left alone."""
        now = PENDING_PROVIDER if state == EXECUTING else EXECUTING
        after = {"state": state, "error_message": message}
        step = replace(change, before={"state": now, "error_message": ""}, after=after)
        self._write(change, step, lambda error: self._overtaken(change, state, error))

    def _overtaken(self, change: Change, state: str, error: ReconcileError) -> bool:
        """Whether an order refused the step because of the state it is in by now."""
        if getattr(error, "status", 0) not in (_CONFLICT, _GONE):
            return False
        found = self._portal(change).read([change.address]).get(change.address)
        here = found.values.get("state") if found is not None else "gone"
        if here == state:
            return True
        if here in (PENDING_PROVIDER, EXECUTING):
            return False
        self.record.leave(change, f"left alone: the order is {here} by now")
        return True

    # ------------------------------------------------------------------ requests

    def _write(
        self, change: Change, step: Change, forgiven: Callable[[ReconcileError], bool] = lambda error: False
    ) -> None:
        try:
            self.record.start(change, _request(step))
            try:
                if absent := self._portal(change).write(step):
                    self.record.outcome.absent.setdefault(min(change.offerings), set()).update(absent)
                    self._absent[change.address] = absent
            except ReconcileError as error:
                if not forgiven(error):
                    raise
        except ReconcileError as error:
            self.record.fail(change, str(error))
            return
        if self._unjudged(change):
            self.record.progress(change)

    def _confirm(self, changes: Sequence[Change]) -> None:
        """Success is what the portal says when it is asked again."""
        by_offering: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_offering[min(change.offerings)].append(change)
        for offering, written in by_offering.items():
            now = self._read(offering, written)
            for change in written if now is not None else ():
                before, skipped = change.before or {}, self._absent.get(change.address, frozenset())
                kept = {n: before.get(n) if n in skipped else v for n, v in (change.after or {}).items()}
                self.record.judge(change, mismatch(replace(change, after=kept), now or {}))

    def _read(self, offering: str, changes: Sequence[Change]) -> State | None:
        addresses: list[Address] = [c.address for c in changes]
        try:
            return self.portals[offering].read(addresses)
        except ReconcileError as error:
            for change in changes:
                self.record.fail(change, f"not confirmed, Waldur could not be read again: {error.message}")
            return None


def _request(step: Change) -> str:
    """What is asked of the portal, for the journal."""
    said = ", ".join(f"{n} = {json_value((step.after or {}).get(n))}" for n in step.changed())
    return f"Waldur: {step.action.value} {step.address}: {said}"


def tell(
    portals: Mapping[str, Portal], plan: Plan, listener: Listener | None = None, run: Run | None = None
) -> Outcome:
    """Apply a plan that changes nothing but the portals."""
    record = Record(plan, listener, run)
    Fulfilment(portals, record).after_cluster()
    return record.outcome
