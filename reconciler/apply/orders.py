"""The writer of orders: approved before the cluster changes, done or erred when what they need is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.apply.record import Record
from reconciler.apply.requests import Requests
from reconciler.errors import ConflictError, GoneError, ReconcileError
from reconciler.state.diff import Change
from reconciler.state.facts import DONE, EXECUTING, ORDER_ERRED, PENDING_PROVIDER
from reconciler.state.kinds import is_account

_REFUSED = "The cluster refused the account or its limits. The provider can see why; please ask there."


class Orders:
    """Moves orders from state to state; one that somebody else has moved meanwhile is left alone."""

    def __init__(self, requests: Requests, record: Record) -> None:
        self.requests = requests
        self.record = record

    def approve(self, changes: Sequence[Change]) -> None:
        """The provider's word that it takes an order on: what the cluster's changes rest on."""
        for change in changes:
            if (change.before or {}).get("state") == PENDING_PROVIDER:
                self._step(change, EXECUTING)

    def finish(self, changes: Sequence[Change]) -> None:
        """How they ended, and whether the portal says so, too."""
        for change in changes:
            self._finish(change)
        self.requests.confirm([c for c in changes if self.requests.unjudged(c)])

    def _finish(self, change: Change) -> None:
        """Done when everything it needs is; erred when that failed for good; otherwise the next cycle goes on."""
        outcome = self.record.outcome
        wanted = (change.after or {}).get("state")
        if not self.requests.unjudged(change) or wanted == EXECUTING:
            return
        broken = sorted(n for n in change.needs & outcome.final if is_account(n))
        # a member whom the cluster refuses for good holds up nobody's order
        change = replace(change, needs=frozenset(n for n in change.needs - outcome.final | set(broken)))
        if wanted == DONE and broken:
            self._step(change, ORDER_ERRED, _REFUSED)
            if self.requests.unjudged(change):
                self.record.fail(change, f"set to erred in Waldur, as {broken[0]} was refused by the cluster")
        elif self.record.ready([change]):
            self._step(change, str(wanted), str((change.after or {}).get("error_message") or ""))

    def _step(self, change: Change, state: str, message: str = "") -> None:
        """One transition. An order that somebody else has moved on meanwhile is looked at, and left alone."""
        now = PENDING_PROVIDER if state == EXECUTING else EXECUTING
        after = {"state": state, "error_message": message}
        step = replace(change, before={"state": now, "error_message": ""}, after=after)
        self.requests.write(change, step, lambda error: self._overtaken(change, state, error))

    def _overtaken(self, change: Change, state: str, error: ReconcileError) -> bool:
        """Whether an order refused the step because of the state it is in by now."""
        if not isinstance(error, ConflictError | GoneError):
            return False
        found = self.requests.now(change).get(change.address)
        here = found.values.get("state") if found is not None else "gone"
        if here == state:
            return True
        if here in (PENDING_PROVIDER, EXECUTING):
            return False
        self.record.leave(change, f"left alone: the order is {here} by now")
        return True
