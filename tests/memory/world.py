"""The portal's side of the machine's worlds in memory: two offerings, their orders, people and projects."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from reconciler.config import Runner
from reconciler.cycle.cluster import Cluster
from reconciler.providers.runner import CommandRunner
from reconciler.state.facts import OfferingUser, Order, Resource
from reconciler.state.values import json_value
from reconciler.state.waldur import usage
from reconciler.store import Store
from tests.machine.world import (
    NAMES,
    PEOPLE,
    PROJECTS,
    SECOND,
    Allocation,
    amount,
    component_of,
    configured,
    offering_block,
)
from tests.memory.faults import Faults
from tests.memory.portal import MemoryPortal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
# where a file is in memory as well, it is written through at once
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def empty_store() -> bytes:
    """The database after its migrations, which take longer than a run."""
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        with store.writing():
            pass
        store.dispose()
        return store.path.read_bytes()


class PortalsInMemory:
    """The portal's side of a world: two offerings on one cluster, with the same people and projects."""

    names: tuple[str, ...] = NAMES
    component = staticmethod(component_of)

    def __init__(self, word: str, *more: Mapping[str, Any]) -> None:
        """``word``: the kind of cluster; ``more``: what each of the offerings has besides, in their order."""
        self.directory = Path(tempfile.mkdtemp(prefix="reconcile-machine-", dir=FAST))
        # the portals are given to each run, so that nobody goes there
        url = "https://waldur.invalid/api/"
        blocks = []
        for number, (name, of) in enumerate((("O", NAMES[0]), ("P", min(SECOND)))):
            about = {"waldur_api_token": "nobodysToken", "waldur_offering_uuid": str(number) * 32}
            makes = {"username_management_backend": "generator"}
            blocks.append(offering_block(name, url, of, word=word, sold=self.component, **about, **makes))
        for block, its in zip(blocks, more, strict=False):
            block |= {**its, "backend_settings": {**block["backend_settings"], **its.get("backend_settings", {})}}
        self.config = configured(self.directory, *blocks)
        (self.directory / "reconcile.sqlite3").write_bytes(empty_store())
        self.faults = Faults()
        self.portals = {o.name: MemoryPortal(o, NOW, self.faults) for o in self.config.offerings}
        self.teams: dict[str, set[str]] = {}
        for portal in self.portals.values():
            portal.beside = tuple(other for other in self.portals.values() if other is not portal)
            portal.members = self.teams
            for person in PEOPLE:
                self._register(portal, person, person)

    def head_node(self, name: str, commands: CommandRunner) -> Cluster:
        """A run whose commands go to the cluster in memory."""
        portals = {offering: portal.portal() for offering, portal in self.portals.items()}
        return Cluster(
            self.config, name, self.config.offerings, Runner(), lambda: NOW, commands=commands, portals=portals
        )

    @staticmethod
    def _register(portal: MemoryPortal, person: str, name: str, state: str = "OK", last_name: str = "") -> None:
        uuid = f"{portal.offering.name}-{person}"
        portal.users[person] = OfferingUser(
            person, name, state=state, uuid=uuid, first_name=person.title(), last_name=last_name, login=person
        )

    def portal(self, name: str) -> MemoryPortal:
        """Where a resource is."""
        return self.portals["P" if name in SECOND else "O"]

    def allocation(self, name: str) -> Allocation | None:
        one = self.portal(name).resources.get(name)
        if one is None:
            return None
        underway = [o.type for o in self.portal(name).orders.values() if o.resource_uuid == name and self._open(o)]
        return Allocation(
            name,
            one.project_slug,
            one.state,
            one.backend_id,
            "".join(underway),
            amount(one.limits.get(self.component(name)[0], 0)),
            one.paused,
            one.downscaled,
            one.restrict_member_access,
        )

    @staticmethod
    def _open(order: Order) -> bool:
        return order.state in ("pending-provider", "executing")

    def add(self, name: str, project: str, limit: int, *, ordered: bool) -> None:
        customer = PROJECTS[project]
        self.portal(name).resources[name] = Resource(
            uuid=name,
            name=f"Allocation {name}",
            slug=name,
            state="Creating" if ordered else "OK",
            backend_id="",
            project_uuid=project,
            project_name=project,
            project_slug=project,
            customer_uuid=customer,
            customer_name=customer,
            customer_slug=customer,
            limits={self.component(name)[0]: limit},
            last_sync="",
            created=NOW.date(),
        )
        if ordered:
            self.order(name, "Create")

    def edit(self, name: str, **facts: Any) -> None:
        self.portal(name).resources[name] = replace(self.portal(name).resources[name], **facts)

    def order(self, name: str, kind: str, limit: int | None = None) -> None:
        uuid = f"order-{name}-{len(self.portal(name).orders)}"
        limits = {} if limit is None else {self.component(name)[0]: limit}
        self.portal(name).orders[uuid] = Order(uuid, kind, "pending-provider", name, limits)

    def members(self, project: str) -> set[str]:
        users = [self.portals["O"].users[p] for p in self.teams.get(project, ())]
        return {u.username for u in users if u.username and not u.restricted}

    def enter(self, person: str, project: str) -> None:
        self.teams.setdefault(project, set()).add(person)

    def leave(self, person: str, project: str) -> None:
        self.teams.setdefault(project, set()).discard(person)

    def restrict(self, person: str, restricted: bool) -> None:
        for portal in self.portals.values():
            portal.users[person] = replace(portal.users[person], restricted=restricted)

    def namesake(self, person: str, there: bool) -> None:
        for portal in self.portals.values():
            portal.users.pop(f"{person}-2", None)
            if there:
                self._register(portal, f"{person}-2", person.upper())

    def doubtful(self) -> set[str]:
        return {p for p in PEOPLE if f"{p}-2" in self.portals["O"].users}

    def newcomer(self, person: str) -> bool:
        for portal in self.portals.values():
            if person not in portal.users:
                self._register(portal, person, "", "Requested", {"emil": "Young"}.get(person, "Xavier"))
        return True

    def people(self) -> set[str]:
        return {u.username for u in self.portals["O"].users.values() if u.username}

    def told(self, name: str) -> dict[str, object] | None:
        held = self.portal(name).held.get(usage(name, "2026-11", self.component(name)[0]))
        return {} if held is None else json_value(held.values)  # type: ignore[arg-type,return-value]

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
