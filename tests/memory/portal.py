"""A portal in memory: what Waldur knows of one offering, and how its orders and resources move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from reconciler.config import Offering
from reconciler.providers.portal import Portal
from reconciler.providers.waldur.errors import WaldurError, answered
from reconciler.state.diff import Change
from reconciler.state.facts import (
    CREATING,
    DONE,
    ERRED,
    EXECUTING,
    LIVE_STATES,
    OK,
    ORDER_ERRED,
    PENDING_PROVIDER,
    RESTORE,
    TERMINATE,
    TERMINATED,
    TERMINATING,
    UPDATE,
    UPDATING,
    Claim,
    Facts,
    OfferingUser,
    Order,
    Project,
    Resource,
)
from reconciler.state.model import Address, Obj, State
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.portal import moment, resource_values
from reconciler.state.values import amounts_of
from reconciler.state.waldur import told_with, usage
from tests.memory.faults import Fault, Faults

_DURING = {"Create": CREATING, UPDATE: UPDATING, TERMINATE: TERMINATING}
_FROM = {EXECUTING: PENDING_PROVIDER, DONE: EXECUTING, ORDER_ERRED: EXECUTING}


class MemoryPortal:
    """One offering. Its rows are the facts themselves; orders move resources as the recorded server does.

    It is all parts that a cycle asks of a portal: source, listening, ledger and writer of usage.
    """

    def __init__(self, offering: Offering, now: datetime, faults: Faults | None = None) -> None:
        self.offering = offering
        self.now = now
        self.faults = faults or Faults()
        self.resources: dict[str, Resource] = {}
        self.orders: dict[str, Order] = {}
        self.messages: dict[str, str] = {}  # of orders that are erred
        self.users: dict[str, OfferingUser] = {}
        self.members: dict[str, set[str]] = {}
        self.beside: tuple[MemoryPortal, ...] = ()  # other offerings of the same portal
        self.held: State = {}  # usage

    def portal(self) -> Portal:
        """As a cycle sees it: accounts are not imported here, and there are no policies."""
        return Portal(source=self, listening=self, ledger=self)

    # ------------------------------------------------------------------ what a cycle reads

    def _reached(self) -> None:
        if self.faults.down:
            raise WaldurError("GET", 502, "Bad Gateway")

    def facts(self, now: datetime) -> Facts:
        """Live resources, and ended ones that an order brings back."""
        self._reached()
        orders = [o for o in self.orders.values() if o.state in (PENDING_PROVIDER, EXECUTING)]
        restored = {o.resource_uuid for o in orders if o.type == RESTORE}
        told = [r for r in self.resources.values() if r.state in LIVE_STATES or r.uuid in restored]
        return Facts(
            tuple(replace(r, told_limits=r.limits) for r in told),
            tuple(self.users.values()),
            {project: frozenset(people) for project, people in self.members.items()},
            tuple(orders),
            user_limits={},
            writable=True,
            takes_states=True,
        )

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """The word on accounts by ``backend_id``, or by the slug of what has none."""
        self._reached()
        rank = ("elsewhere", "terminated", "unknown")
        # a portal answers for all its offerings
        found = {name: [one._claim(name) for one in (self, *self.beside)] for name in names}
        return {name: min(claims, key=lambda c: rank.index(c.verdict)) for name, claims in found.items()}

    def _claim(self, name: str) -> Claim:
        customer, project, allocation = self.offering.backend_settings.prefixes
        rows = self.resources.values()
        mine = [r for r in rows if fold(r.backend_id) == name]
        mine += [r for r in rows if r.state == TERMINATED and not r.backend_id and fold(allocation + r.slug) == name]
        for resource in sorted(mine, key=lambda r: r.state == TERMINATED):
            if resource.state != TERMINATED:
                return Claim("elsewhere", f"resource {resource.name} has it", offering=self.offering.name)
            parents = (fold(project + resource.project_slug), fold(customer + resource.customer_slug))
            return Claim("terminated", f"resource {resource.name} is Terminated", parents, self.offering.name)
        return Claim("unknown", offering=self.offering.name)

    def made(self, containers: Iterable[str], facts: Facts) -> frozenset[str]:
        """Accounts of projects and customers that had resources."""
        self._reached()
        customer, project, _ = self.offering.backend_settings.prefixes
        known = {fold(project + r.project_slug) for r in self.resources.values()}
        known |= {fold(customer + r.customer_slug) for r in self.resources.values()}
        return frozenset(containers) & known

    def projects(self, facts: Facts) -> Mapping[str, Project]:
        """Projects that had resources."""
        rows = self.resources.values()
        return {fold(r.project_slug): Project(r.project_uuid, r.project_name, r.customer_slug) for r in rows}

    def ordered(self) -> dict[str, Order]:
        """Whatever a resource has was ordered once."""
        self._reached()
        return {r.uuid: Order("", UPDATE, DONE, r.uuid, r.limits) for r in self.resources.values()}

    def read(self, addresses: Iterable[Address]) -> State:
        """Resources and orders as they are."""
        self._reached()
        state: State = {}
        for address in addresses:
            uuid = address.key[0]
            if address.kind == "waldur.resource" and uuid in self.resources:
                resource = self.resources[uuid]
                state[address] = Obj(resource_values(replace(resource, told_limits=resource.limits)))
            elif address.kind == "waldur.order" and uuid in self.orders:
                state[address] = Obj({"state": self.orders[uuid].state, "error_message": self.messages.get(uuid, "")})
            elif address.kind == "waldur.offering_user":
                for person in (u for u in self.users.values() if u.uuid == uuid):
                    state[address] = Obj({"username": person.username, "state": person.state})
            elif address in self.held:
                state[address] = self.held[address]
        return state

    # ------------------------------------------------------------------ what a cycle writes

    def write(self, change: Change, held: State) -> frozenset[str]:
        """One change of a resource or an order. Raises :class:`WaldurError`."""
        return self.faults.write(lambda: self._written(change), _failed)

    def _written(self, change: Change) -> frozenset[str]:
        after: Mapping[str, Any] = change.after or {}
        uuid = change.address.key[0]
        if change.address.kind == "waldur.order":
            self._move(uuid, str(after["state"]))
            self.messages[uuid] = str(after.get("error_message") or "")
            return frozenset()
        if change.address.kind == "waldur.offering_user":
            for key, person in [(k, u) for k, u in self.users.items() if u.uuid == uuid]:
                self.users[key] = replace(person, username=str(after["username"]), state=str(after["state"]))
            return frozenset()
        assert change.address.kind == "waldur.resource", change
        old = self.resources[uuid]
        changed = set(change.changed())
        fields = change.kind.by_name
        metadata = {key: fields[name].compare.tell(after[name]) for name, key in told_with(changed).items()}
        self.resources[uuid] = replace(
            old,
            backend_id=after["backend_id"],
            state=after["state"] if "state" in changed else old.state,
            error_message=after["error_message"] if "error_message" in changed else old.error_message,
            metadata={**old.metadata, **metadata},
            last_sync=moment(self.now) if "last_sync" in changed else old.last_sync,
        )
        return frozenset()

    def _move(self, uuid: str, state: str) -> None:
        order = self.orders[uuid]
        if order.state != _FROM[state]:
            raise answered("POST", 409, f"Valid states for operation: {_FROM[state]}.")
        self.orders[uuid] = replace(order, state=state)
        resource = self.resources[order.resource_uuid]
        if state == EXECUTING:
            now = _DURING.get(order.type, resource.state)
        elif state == DONE:
            now = TERMINATED if order.type == TERMINATE else OK
        else:
            now = OK if order.type == TERMINATE else ERRED
        limits = order.limits if state == DONE and order.type == UPDATE else resource.limits
        self.resources[resource.uuid] = replace(resource, state=now, limits=limits)

    # ------------------------------------------------------------------ usage

    def usage_facts(self) -> Facts:
        """The same as everything."""
        return self.facts(self.now)

    def usages(self, period: Period, *, users: bool = True) -> State:
        """What is held of a month."""
        self._reached()
        return {a: o for a, o in self.held.items() if a.key[1] == str(period)}

    def ended(self, since: date) -> list[Resource]:
        """All that ended, whenever that was."""
        self._reached()
        return [r for r in self.resources.values() if r.state == TERMINATED]

    def staff(self) -> bool:
        """Nobody's."""
        return False

    def writer(self, facts: Facts | None, held: State) -> MemoryPortal:
        """Itself: it knows all that may be asked."""
        return self

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Set totals. Raises :class:`WaldurError`."""
        self.faults.write(lambda: self._use(resource, period, totals), _failed)

    def _use(self, resource: str, period: Period, totals: Mapping[str, str]) -> frozenset[str]:
        if self.resources[resource].state == TERMINATED:
            raise answered("POST", 400, "Resource is terminated.")
        for name, total in totals.items():
            address = usage(resource, str(period), name)
            before = self.held.get(address, Obj({"users": {}}))
            self.held[address] = Obj({**before.values, "total": total})
        return frozenset()

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Set users' amounts. Raises :class:`WaldurError`."""
        self.faults.write(lambda: self._use_by(address, users), _failed)

    def _use_by(self, address: Address, users: Mapping[str, str]) -> frozenset[str]:
        if address not in self.held:
            raise answered("POST", 404, "Not found.")
        values = self.held[address].values
        self.held[address] = Obj({**values, "users": {**amounts_of(values["users"]), **users}})
        return frozenset()

    def ping(self) -> str:
        """Who answers."""
        return "a portal in memory"


def _failed(fault: Fault) -> frozenset[str]:
    status, body = {Fault.LOST: (0, "connection reset"), Fault.OUTAGE: (502, "Bad Gateway")}.get(fault, (500, "oops"))
    raise WaldurError("POST", status, body)
