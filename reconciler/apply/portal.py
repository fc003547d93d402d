"""The portal's part of an apply: orders approved before the cluster changes, told and finished after it.

Every request is safe to repeat: a run that dies between two of them is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.apply.orders import Orders
from reconciler.apply.record import Listener, Outcome, Record
from reconciler.apply.requests import Requests
from reconciler.apply.usage import Reporting
from reconciler.plan.model import Plan
from reconciler.providers.portal import Portal
from reconciler.state.diff import Change
from reconciler.state.kinds import KINDS, Stage
from reconciler.state.model import Address
from reconciler.store.journal import Run


class Fulfilment:
    """Writes what the portals have to know; ``portals`` by offering."""

    def __init__(self, portals: Mapping[str, Portal], record: Record) -> None:
        self.portals = portals
        self.record = record
        self.requests = Requests(portals, record)
        self.orders = Orders(self.requests, record)

    def _of(self, stage: Stage) -> list[Change]:
        return [c for c in self.record.plan.changes if KINDS[c.address.kind].stage is stage]

    def before_cluster(self) -> None:
        """Who people are, and which orders are taken on: what the cluster's changes rest on."""
        self._told(Stage.IDENTITY)
        self.orders.approve(self._of(Stage.ORDER))

    def after_cluster(self) -> None:
        """Accounts, states and metadata of resources, what was used, then how the orders ended."""
        self._told(Stage.REPORT)
        Reporting(self.portals, self.record).write(self._of(Stage.USAGE))
        self.orders.finish(self._of(Stage.ORDER))

    def _told(self, stage: Stage) -> None:
        for change in self.record.ready(self._of(stage)):
            self.requests.write(change, change)
        self.requests.confirm([c for c in self._of(stage) if c.address in self.record.outcome.done])


def tell(
    portals: Mapping[str, Portal],
    plan: Plan,
    listener: Listener | None = None,
    run: Run | None = None,
    moved: Mapping[Address, str] | None = None,
) -> Outcome:
    """Apply a plan that changes nothing but the portals; ``moved``: what is left alone, as it is not as planned."""
    record = Record(plan, listener, run)
    record.refuse(moved or {})
    Fulfilment(portals, record).after_cluster()
    return record.outcome
