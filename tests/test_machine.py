"""The promises under random edits, faults and deaths: the machine of ``tests/machine.py`` in memory.

Real are the readers, the planner, the guards, the writers, the executor, the store and the command's own cycle.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from reconciler.config import Runner
from reconciler.cycle import Cluster
from reconciler.providers.slurm.read import SlurmReader
from reconciler.state.facts import OfferingUser, Order, Resource
from reconciler.state.model import State
from reconciler.store import Store
from tests.machine import PEOPLE, PROJECTS, Allocation, Machine, World, configured
from tests.memory.cluster import CLUSTER, MemoryCluster, MemoryRunner
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


class MemoryWorld:
    """Both sides in memory; the store is a file, as always."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="reconcile-machine-", dir=FAST))
        self.config = configured(self.directory)
        (self.directory / "reconcile.sqlite3").write_bytes(empty_store())
        self.faults = Faults()
        self.slurm = MemoryCluster()
        self.portal = MemoryPortal(self.config.offerings[0], NOW, self.faults)
        self.portal.users = {p: OfferingUser(p, p, state="OK") for p in PEOPLE}

    def cluster(self) -> Cluster:
        offerings = self.config.offerings
        return Cluster(
            self.config,
            CLUSTER,
            offerings,
            Runner(),
            lambda: NOW,
            commands=MemoryRunner(self.slurm, self.faults),
            portals={"O": self.portal},
        )

    def read(self) -> State:
        return SlurmReader(MemoryRunner(self.slurm), CLUSTER).read().state

    def sacctmgr(self, *arguments: str) -> None:
        self.slurm.answer("sacctmgr", arguments, None)

    def allocation(self, name: str) -> Allocation | None:
        one = self.portal.resources.get(name)
        if one is None:
            return None
        underway = [o.type for o in self.portal.orders.values() if o.resource_uuid == name and self._open(o)]
        return Allocation(
            name,
            one.project_slug,
            one.state,
            one.backend_id,
            "".join(underway),
            int(str(one.limits.get("cpu", 0))),
            one.paused,
            one.downscaled,
            one.restrict_member_access,
        )

    @staticmethod
    def _open(order: Order) -> bool:
        return order.state in ("pending-provider", "executing")

    def add(self, name: str, project: str, limit: int, *, ordered: bool) -> None:
        customer = PROJECTS[project]
        self.portal.resources[name] = Resource(
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
            limits={"cpu": limit},
            last_sync="",
        )
        if ordered:
            self.order(name, "Create")

    def edit(self, name: str, **facts: Any) -> None:
        self.portal.resources[name] = replace(self.portal.resources[name], **facts)

    def order(self, name: str, kind: str, limit: int | None = None) -> None:
        uuid = f"order-{len(self.portal.orders)}"
        limits = {} if limit is None else {"cpu": limit}
        self.portal.orders[uuid] = Order(uuid, kind, "pending-provider", name, limits)

    def members(self, project: str) -> set[str]:
        return {p for p in self.portal.members.get(project, ()) if not self.portal.users[p].restricted}

    def enter(self, person: str, project: str) -> None:
        self.portal.members.setdefault(project, set()).add(person)

    def leave(self, person: str, project: str) -> None:
        self.portal.members.setdefault(project, set()).discard(person)

    def restrict(self, person: str, restricted: bool) -> None:
        self.portal.users[person] = replace(self.portal.users[person], restricted=restricted)

    def jobs(self) -> set[tuple[str, str]]:
        return set(self.slurm.jobs)

    def used(self) -> set[str]:
        return set(self.slurm.used)

    def work(self, account: str, user: str) -> None:
        self.slurm.jobs.append((account, user))

    def use(self, account: str) -> None:
        self.slurm.used.add(account)

    def rest(self) -> None:
        self.slurm.jobs.clear()

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class InMemory(Machine):
    """The machine without a process or a socket."""

    def make(self) -> World:
        return MemoryWorld()


#: the same worlds each time; so many others with RECONCILE_MACHINE_EXAMPLES=500
EXAMPLES = int(os.environ.get("RECONCILE_MACHINE_EXAMPLES", "0"))

TestInMemory = InMemory.TestCase
TestInMemory.settings = settings(
    max_examples=EXAMPLES or 100,
    stateful_step_count=20,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
