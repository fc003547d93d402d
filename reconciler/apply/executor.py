"""Making a plan so, stage by stage: people, the cluster, homes, and what the portals are told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.apply import homes, policies
from reconciler.apply.commands import ClusterWriter
from reconciler.apply.portal import Fulfilment
from reconciler.apply.record import Listener, Outcome, Record
from reconciler.plan.model import Plan
from reconciler.providers.base import Cluster, Reading
from reconciler.providers.portal import Portal
from reconciler.state.model import Address
from reconciler.store.journal import Run


class Executor:
    """Applies plans to one cluster.

    ``last_usage``: what is to be known once its jobs have ended; ``absent``: what portals have no place for.
    """

    def __init__(
        self,
        cluster: Cluster,
        listener: Listener | None = None,
        portals: Mapping[str, Portal] | None = None,
        run: Run | None = None,
        last_usage: Callable[[Record], None] = lambda record: None,
        absent: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.cluster = cluster
        self.listener = listener
        self.portals = portals or {}
        self.journal_run = run
        self.last_usage = last_usage
        self.absent = absent or {}

    def apply(
        self, plan: Plan, reading: Reading, *, moved: Mapping[Address, str] | None = None, only_shown: bool = False
    ) -> Outcome:
        """Run the plan, read again, and report per object. ``reading`` is what it was made from, or newer.

        ``moved``: what is no longer as the plan found it, with words, and so left alone; ``only_shown``: no jobs are
        cancelled but those that the plan showed.
        """
        self.record = Record(plan, self.listener, self.journal_run)
        self.record.refuse(moved or {})
        portal = Fulfilment(self.portals, self.record)
        portal.before_cluster()
        ClusterWriter(self.cluster, self.record, reading, only_shown=only_shown).write(plan)
        homes.write(self.cluster.runner, self.record)
        self.last_usage(self.record)
        portal.after_cluster()
        policies.report(self.record, self.portals, self.absent)
        return self.record.outcome
