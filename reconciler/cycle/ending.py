"""The last usage of what orders end: read when its jobs have ended, since Waldur takes none of it afterwards.

A plan is older than the end of the jobs, by a moment or by hours. What it says of such a resource is replaced by
what is there once its jobs are over; an order whose usage cannot be had then is left to the next cycle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from reconciler.apply.record import Record
from reconciler.cycle.part import Answered, Part, Sources
from reconciler.cycle.usage import Accounting
from reconciler.errors import ReconcileError
from reconciler.providers.usage import UsageSource
from reconciler.state import waldur
from reconciler.state.diff import Change, diff, values_of
from reconciler.state.facts import DONE, Facts, Told
from reconciler.state.model import Address
from reconciler.store.journal import Stop, never

_LATER = "the order stays underway, and the next apply goes on"


@dataclass(frozen=True)
class LastUsage:
    """To be called between what changes on the cluster and what the portals are told of it."""

    accounting: Accounting
    since: datetime  # when the plan was made
    allowed: frozenset[str] = frozenset()
    elsewhere: bool = False  # another process tells usage at this moment
    stop: Stop = never

    def __call__(self, record: Record) -> None:
        """Put usage as it is now into the record; orders whose usage cannot be known fail by name."""
        orders = {c.ends: c for c in record.plan.changes if _free(c, record)}
        if not orders:
            return
        why = self._replaced(record, orders)
        for resource, text in why.items():
            if self.stop():
                record.stop([orders[resource]], f"stopped by {self.stop()}")
            else:
                record.fail(orders[resource], f"{text}; {_LATER}")

    def _replaced(self, record: Record, orders: Mapping[str, Change]) -> dict[str, str]:
        """Replace what the plan says of these resources; the answer is of which this cannot be done, and why."""
        if self.elsewhere:
            return dict.fromkeys(orders, "another process reports usage at this moment")
        sources = self.accounting.sources()
        try:
            told_now = self.accounting.facts()
        except ReconcileError as error:
            return dict.fromkeys(orders, f"its usage could not be read: {error.message}")
        facts = told_now.facts
        why = dict.fromkeys(orders.keys() - _uuids(facts), "Waldur shows this resource no more")
        why |= {u: f"its usage could not be read: {e}" for u, e in _unread(orders, told_now).items()}
        why |= self._running(sources, facts, orders.keys() - why.keys())
        part = self.accounting.part(
            told_now, self.accounting.periods, sources=sources, only=orders.keys() - why.keys(), allowed=self.allowed
        )
        changes = diff(part.desired, part.actual)
        why |= _unusable(part, changes, {u: c for u, c in orders.items() if u not in why})
        why |= self._fallen(record, part, sources, changes, orders.keys() - why.keys())
        told = orders.keys() - why.keys()
        fresh = [
            replace(c, reason=f"{c.reason}, after its jobs had ended") for c in changes if c.address.key[0] in told
        ]
        gone = {c.address for c in record.plan.changes if c.address.kind == "waldur.usage" and c.address.key[0] in told}
        needing = [_needing(orders[u], gone, fresh) for u in told]
        record.revise(gone, [*fresh, *needing], Told(facts, part.actual))
        return why

    def _fallen(
        self,
        record: Record,
        part: Part,
        sources: Sources,
        changes: Sequence[Change],
        resources: Collection[str],
    ) -> dict[str, str]:
        """Resources of which less is known than when the plan was made: a query failed, or records went."""
        falls = {a.offering.name for a in part.accounts if sources.of(a.offering).may_fall}
        now = {c.address: c.after or {} for c in changes}
        why: dict[str, str] = {}
        for planned in record.plan.changes:
            uuid = planned.address.key[0]
            if planned.address.kind != "waldur.usage" or uuid not in resources or planned.offerings <= falls:
                continue
            held = part.actual.get(planned.address)
            fresh = now.get(planned.address) or (values_of(held) if held is not None else {})
            before, after = ((values or {}).get("total", "0") for values in (planned.after, fresh))
            if Decimal(str(after)) < Decimal(str(before)):
                why[uuid] = f"{planned.address} fell from {before} to {after} since the plan was made: not believed"
        return why

    def _running(self, sources: Sources, facts: Mapping[str, Facts], resources: Collection[str]) -> dict[str, str]:
        """Resources with jobs of which the accounting database knows no end, although it was waited for."""
        why: dict[str, str] = {}
        for source, accounts in self._sources(sources, facts, resources, why).items():
            try:
                left = source.unended(accounts.keys(), self.since, self.stop)
            except ReconcileError as error:
                left = dict.fromkeys(accounts, f"whether its jobs have ended could not be read: {error.message}")
            why |= {accounts[name]: text for name, text in left.items()}
        return why

    def _sources(
        self, sources: Sources, facts: Mapping[str, Facts], resources: Collection[str], why: dict[str, str]
    ) -> dict[UsageSource, dict[str, str]]:
        """By accounting database, the accounts with the resources that have them."""
        found: dict[UsageSource, dict[str, str]] = {}
        for offering in self.accounting.offerings:
            ending = (
                [r for r in facts[offering.name].resources if r.uuid in resources] if offering.name in facts else []
            )
            try:
                source = sources.of(offering) if ending else None
            except ReconcileError as error:
                why |= {r.uuid: f"its usage could not be read: {error.message}" for r in ending}
                continue
            if source is not None:
                keys = {source.key(r): r.uuid for r in ending if source.key(r)}
                found.setdefault(source, {}).update(keys)
        return {source: accounts for source, accounts in found.items() if accounts}


def _free(change: Change, record: Record) -> bool:
    """Whether an order can be done once its resource's usage is told."""
    hindered = record.outcome.failures.keys() | record.outcome.left.keys()
    done = bool(change.ends) and (change.after or {}).get("state") == DONE
    return done and change.address not in hindered and not change.needs & hindered


def _unread(orders: Mapping[str, Change], told: Answered) -> dict[str, str]:
    return {u: told.unread[min(c.offerings)].message for u, c in orders.items() if min(c.offerings) in told.unread}


def _uuids(facts: Mapping[str, Facts]) -> set[str]:
    return {r.uuid for told in facts.values() for r in told.resources}


def _unusable(part: Part, changes: Sequence[Change], orders: Mapping[str, Change]) -> dict[str, str]:
    """Resources whose usage is not known, or must not be sent."""
    why: dict[str, str] = {}
    said = {n.address: n.text for n in part.desired.refused}
    for uuid, order in orders.items():
        of_offering = said.get(waldur.offering(min(order.offerings)))
        if text := said.get(waldur.resource(uuid)) or of_offering:
            why[uuid] = text
    for change in changes:
        uuid = change.address.key[0]
        if change.blocked and uuid in orders:
            why.setdefault(uuid, f"{change.address} is blocked: {change.blocked}")
    return why


def _needing(order: Change, gone: set[Address], fresh: Sequence[Change]) -> Change:
    """The order, which needs what is told instead."""
    mine = frozenset(c.address for c in fresh if c.address.key[0] == order.ends)
    return replace(order, needs=(order.needs - gone) | mine)
