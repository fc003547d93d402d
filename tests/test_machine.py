"""The promises under random edits, faults and deaths: the machine of ``tests/machine`` in memory.

Real are the readers, the planner, the guards, the writers, the executor, the store and the command's own cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.cycle.cluster import Cluster
from reconciler.providers.slurm.read import SlurmReader
from reconciler.state.model import State
from tests.machine.product import Product
from tests.machine.rules import Machine
from tests.machine.size import worlds
from tests.machine.slurm import SLURM
from tests.machine.world import NEWCOMERS, PEOPLE, STRANGERS, Allocation, World, component_of
from tests.memory.cluster import CLUSTER, MemoryCluster
from tests.memory.runner import MemoryRunner
from tests.memory.world import PortalsInMemory


class MemoryWorld(PortalsInMemory):
    """Both sides in memory; the store is a file, as always."""

    product: Product = SLURM

    #: beside its settings, what each offering of it has in ``backend_settings``
    more: Mapping[str, Any] = {}

    def __init__(self) -> None:
        homes = {"enable_user_homedir_account_creation": True, "default_homedir_umask": "0077"}
        metered = {"reporting_backend": "slurm"}
        both = ({**homes, **self.more}, dict(self.more))
        super().__init__("slurm", *({**metered, "backend_settings": settings} for settings in both))
        self.slurm = MemoryCluster()
        for person in (*PEOPLE, *STRANGERS):
            self.slurm.uid(person)
        self.slurm.strangers = {*NEWCOMERS.values()}  # accounts on the host are made after the names

    def cluster(self) -> Cluster:
        return self.head_node(CLUSTER, MemoryRunner(self.slurm, self.faults))

    def read(self) -> State:
        return SlurmReader(MemoryRunner(self.slurm), CLUSTER).read().state

    def operate(self, command: str) -> None:
        self.slurm.answer("sacctmgr", ("-i", *command.split()), None)

    def host(self, person: str, knows: bool) -> None:
        self.slurm.uid(person)
        (self.slurm.strangers.discard if knows else self.slurm.strangers.add)(person)

    def unknown(self) -> set[str]:
        return set(self.slurm.strangers)

    def home(self, person: str) -> str | None:
        uid, mode = self.slurm.homes.there.get(person, (-1, 0))
        return "gone" if uid < 0 else f"{mode:04o}" if uid == self.slurm.uid(person) else "stolen"

    def home_by_hand(self, person: str, what: str) -> None:
        homes, uid = self.slurm.homes.there, self.slurm.uid(person)
        homes.pop(person, None)
        if what != "gone":
            homes[person] = (uid, 0o777) if what == "opened" else (uid + 500, 0o700)

    def spent(self, account: str) -> dict[str, int]:
        found: Counter[str] = Counter()
        for job in self.slurm.jobs:
            if job.account == account and job.seconds:
                found[job.user] += job.seconds
        return dict(found)

    def jobs(self) -> set[tuple[str, str]]:
        return {(j.account, j.user) for j in self.slurm.queued}

    def used(self) -> set[str]:
        return self.slurm.used

    def work(self, account: str, user: str) -> None:
        self.slurm.begin(account, user)

    def use(self, account: str) -> None:
        self.slurm.begin(account, "ann", "COMPLETED", seconds=3600)

    def runaway(self, account: str) -> bool:
        self.slurm.begin(account, "ann", seconds=7200, runaway=True)
        return True

    def mend(self) -> None:
        for job in [j for j in self.slurm.jobs if j.runaway]:
            job.state, job.seconds, job.runaway = "COMPLETED", 0, False

    def rest(self) -> None:
        self.slurm.end(self.slurm.queued)


class InMemory(Machine):
    """The machine without a process or a socket."""

    def make(self) -> World:
        return MemoryWorld()


def as_allotted(one: Allocation, place: Mapping[str, Any]) -> None:
    """Nothing was used last month: half of what is bought comes on top, and a fifth of grace on the whole."""
    component, factor = component_of(one.name)
    if one.limit is not None:
        minutes = one.limit * factor * 3 // 2
        assert place["grp_tres_mins"] == {component: minutes * 6 // 5}, (one, place)
        assert place["fairshare"] == max(1, one.limit // 2), (one, place)
    first = "paused" if one.paused else "slowdown" if one.downscaled else "normal"
    assert first in place["qos"] or (first == "normal" and not {"paused", "slowdown"} & {*place["qos"]})


class PeriodicWorld(MemoryWorld):
    """The same world under a policy: limits, fairshare and counters are of a month."""

    product = replace(SLURM, as_sold=as_allotted)
    more: Mapping[str, Any] = {"periodic_limits": {"enabled": True, "tres_billing_enabled": False}}


class Periodic(Machine):
    """The machine under a policy."""

    def make(self) -> World:
        return PeriodicWorld()


TestPeriodic = Periodic.TestCase
TestPeriodic.settings = worlds(40)
TestInMemory = InMemory.TestCase
TestInMemory.settings = worlds(100)
