"""A portal in memory: what Waldur knows of one offering, and how its orders and resources move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from reconciler.config import Offering
from reconciler.errors import ReadError
from reconciler.providers.waldur.client import WaldurError
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
from reconciler.state.model import Address, Obj, State, json_value
from reconciler.state.naming import fold
from reconciler.state.period import Period
from reconciler.state.portal import moment, resource_values
from tests.memory.faults import Fault, Faults

_DURING = {"Create": CREATING, UPDATE: UPDATING, TERMINATE: TERMINATING}
_FROM = {EXECUTING: PENDING_PROVIDER, DONE: EXECUTING, ORDER_ERRED: EXECUTING}


class MemoryPortal:
    """One offering. Its rows are the facts themselves; orders move resources as the recorded server does."""

    requests = 0

    def __init__(self, offering: Offering, now: datetime, faults: Faults | None = None) -> None:
        self.offering = offering
        self.now = now
        self.faults = faults or Faults()
        self.resources: dict[str, Resource] = {}
        self.orders: dict[str, Order] = {}
        self.messages: dict[str, str] = {}  # of orders that are erred
        self.users: dict[str, OfferingUser] = {}
        self.members: dict[str, set[str]] = {}

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
        return {name: self._claim(name) for name in names}

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

    def made(self, containers: Iterable[str]) -> frozenset[str]:
        """Accounts of projects and customers that had resources."""
        self._reached()
        customer, project, _ = self.offering.backend_settings.prefixes
        known = {fold(project + r.project_slug) for r in self.resources.values()}
        known |= {fold(customer + r.customer_slug) for r in self.resources.values()}
        return frozenset(containers) & known

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
        return state

    # ------------------------------------------------------------------ what a cycle writes

    def write(self, change: Change) -> frozenset[str]:
        """One change of a resource or an order. Raises :class:`WaldurError`."""
        return self.faults.write(lambda: self._written(change), _failed)

    def _written(self, change: Change) -> frozenset[str]:
        after: Mapping[str, Any] = change.after or {}
        uuid = change.address.key[0]
        if change.address.kind == "waldur.order":
            self._move(uuid, str(after["state"]))
            self.messages[uuid] = str(after.get("error_message") or "")
            return frozenset()
        assert change.address.kind == "waldur.resource", change
        old = self.resources[uuid]
        metadata = {"qos": ",".join(sorted(after["qos"])), "fairshare": after["fairshare"]}
        changed = set(change.changed())
        self.resources[uuid] = replace(
            old,
            backend_id=after["backend_id"],
            state=after["state"] if "state" in changed else old.state,
            error_message=after["error_message"] if "error_message" in changed else old.error_message,
            metadata={**metadata, "limits": json_value(after["grp_tres_mins"])},
            last_sync=moment(self.now) if "last_sync" in changed else old.last_sync,
        )
        return frozenset()

    def _move(self, uuid: str, state: str) -> None:
        order = self.orders[uuid]
        if order.state != _FROM[state]:
            raise WaldurError("POST", 409, f"Valid states for operation: {_FROM[state]}.")
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

    # ------------------------------------------------------------------ what nobody here asks for

    def policy(self) -> None:
        """None: no periodic usage."""

    def projects(self) -> Mapping[str, Project]:
        """None are told."""
        return {}

    def offered(self) -> None:
        """None: nothing is imported."""

    def usage_facts(self) -> Facts:
        """The same as everything."""
        return self.facts(self.now)

    def usages(self, period: Period, *, users: bool = True) -> State:
        """No usage."""
        return {}

    def ended(self, since: date) -> list[Resource]:
        """None."""
        return []

    def staff(self) -> bool:
        """Nobody's."""
        return False

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Raises :class:`ReadError`."""
        raise ReadError("no usage is told here")

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Raises :class:`ReadError`."""
        raise ReadError("no usage is told here")

    def ping(self) -> str:
        """Who answers."""
        return "a portal in memory"


def _failed(fault: Fault) -> frozenset[str]:
    status, body = {Fault.LOST: (0, "connection reset"), Fault.OUTAGE: (502, "Bad Gateway")}.get(fault, (500, "oops"))
    raise WaldurError("POST", status, body)
