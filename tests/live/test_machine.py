"""The machine of ``tests/machine`` on a real SLURM and the HTTP stand-in: few examples, always the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from reconciler.config import Runner
from reconciler.cycle.cluster import Cluster
from reconciler.providers.portal import Portal
from reconciler.providers.registry import portal_of
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm.dialect import introduced
from reconciler.providers.slurm.read import SlurmReader
from reconciler.providers.waldur.errors import WaldurError
from reconciler.state.diff import Change
from reconciler.state.model import State
from tests.live.conftest import CLUSTER, Slurm
from tests.machine.product import Product
from tests.machine.rules import Machine
from tests.machine.slurm import SLURM
from tests.machine.world import (
    NAMES,
    PEOPLE,
    PROJECTS,
    SECOND,
    Allocation,
    World,
    amount,
    component_of,
    configured,
    offering_block,
)
from tests.memory.faults import Fault, Faults
from tests.memory.runner import struck
from tests.standin.portal import OFFERING, TOKEN, StandIn, uid

LOCAL = Runner(slurm_bin_path="/usr/bin", parallel=1)


class FaultyRunner(CommandRunner):
    """The real commands, as far as the faults let them."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(LOCAL)
        self.faults = faults

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command, or fail in its place."""
        run = super().run
        return struck(self.faults, program, arguments, lambda: run(program, *arguments, stdin=stdin))


def faulty(portal: Portal, faults: Faults) -> Portal:
    """A portal whose writes the faults strike, and which an outage silences."""
    source: Any = portal.source
    listening: Any = portal.listening
    write, facts, read = listening.write, source.facts, listening.read

    def problem(fault: Fault) -> Any:
        raise WaldurError("POST", 0 if fault is Fault.LOST else 502, "Bad Gateway")

    def written(change: Change, held: State) -> frozenset[str]:
        done: frozenset[str] = faults.write(lambda: write(change, held), problem)
        return done

    listening.write = written
    source.facts = lambda now: problem(Fault.OUTAGE) if faults.down else facts(now)
    listening.read = lambda addresses: problem(Fault.OUTAGE) if faults.down else read(addresses)
    return portal


class RealWorld:
    """SLURM's daemons and a portal over HTTP, with one offering."""

    product: Product = SLURM
    names: tuple[str, ...] = tuple(n for n in NAMES if n not in SECOND)
    component = staticmethod(component_of)

    def __init__(self, slurm: Slurm, portal: StandIn) -> None:
        self.slurm, self.portal = slurm, portal
        slurm.clean()
        portal.reset()
        self.directory = Path(tempfile.mkdtemp(prefix="reconcile-machine-"))
        about: dict[str, Any] = {"waldur_api_token": TOKEN, "waldur_offering_uuid": OFFERING}
        self.config = configured(self.directory, offering_block("O", portal.url, NAMES[0], word="slurm", **about))
        self.faults = Faults()
        for person in PEOPLE:
            portal.user(person)

    def cluster(self) -> Cluster:
        offering = self.config.offerings[0]
        portals = {offering.name: faulty(portal_of(offering, self.config), self.faults)}
        commands = FaultyRunner(self.faults)
        return Cluster(self.config, CLUSTER, (offering,), LOCAL, commands=commands, portals=portals)

    def read(self) -> State:
        return SlurmReader(introduced(CommandRunner(LOCAL)), CLUSTER).read().state

    def operate(self, command: str) -> None:
        introduced(CommandRunner(LOCAL)).run("sacctmgr", "-i", *command.split())

    def _rows(self, kind: str, **facts: str) -> Iterable[dict[str, Any]]:
        return [r for r in self.portal.world[kind] if all(r[k] == v for k, v in facts.items())]

    def allocation(self, name: str) -> Allocation | None:
        for row in self._rows("resources", name=name):
            orders = self._rows("orders", marketplace_resource_uuid=row["uuid"])
            underway = [o["type"] for o in orders if o["state"] in ("pending-provider", "executing")]
            limit = amount(row["limits"].get("cpu", 0))
            flags = (row["paused"], row["downscaled"], row["restrict_member_access"])
            return Allocation(
                name, row["project_slug"], row["state"], row["backend_id"], "".join(underway), limit, *flags
            )
        return None

    def add(self, name: str, project: str, limit: int, *, ordered: bool) -> None:
        facts = {"project": project, "customer": PROJECTS[project], "limits": {"cpu": limit}}
        self.portal.resource(name, state="Creating" if ordered else "OK", last_sync="2026-01-01T00:00:00Z", **facts)
        if ordered:
            self.order(name, "Create")

    def edit(self, name: str, **facts: Any) -> None:
        self.portal.edit(name, **facts)

    def order(self, name: str, kind: str, limit: int | None = None) -> None:
        limits: Mapping[str, int] = {} if limit is None else {"cpu": limit}
        uuid = uid("order", name, kind, str(len(self.portal.world["orders"])))
        self.portal.order(name, kind, "pending-provider", limits=limits, uuid=uuid)

    def members(self, project: str) -> set[str]:
        rows = self._rows("permissions", project_uuid=uid("project", project))
        restricted = {r["username"] for r in self.portal.world["offering_users"] if r["is_restricted"]}
        return {r["user_username"] for r in rows} - restricted

    def enter(self, person: str, project: str) -> None:
        if not any(
            r["user_username"] == person for r in self._rows("permissions", project_uuid=uid("project", project))
        ):
            self.portal.member(person, project)

    def leave(self, person: str, project: str) -> None:
        self.portal.leave(person, project)

    def restrict(self, person: str, restricted: bool) -> None:
        for row in self._rows("offering_users", username=person):
            row["is_restricted"] = restricted
        self.portal.push()

    def namesake(self, person: str, there: bool) -> None:
        """Left to memory."""

    def doubtful(self) -> set[str]:
        return set()

    def newcomer(self, person: str) -> bool:
        return False

    def host(self, person: str, knows: bool) -> None:
        """Left to memory."""

    def unknown(self) -> set[str]:
        return {*PEOPLE}

    def home(self, person: str) -> str | None:
        return None

    def home_by_hand(self, person: str, what: str) -> None:
        """Left to memory."""

    def people(self) -> set[str]:
        return {*PEOPLE}

    def told(self, name: str) -> dict[str, object] | None:
        return None

    def spent(self, account: str) -> dict[str, int]:
        return {}

    def jobs(self) -> set[tuple[str, str]]:
        return set()

    def used(self) -> set[str]:
        return set()

    def work(self, account: str, user: str) -> None:
        """Left to memory: a job takes seconds here."""

    def use(self, account: str) -> None:
        """Left to memory."""

    def runaway(self, account: str) -> bool:
        return False  # tests/live/usage makes some

    def mend(self) -> None:
        pass

    def rest(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        self.slurm.clean()
        self.slurm.sacctmgr("delete", "qos", "urgent", check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


def test_the_promises_hold_on_a_real_slurm(slurm: Slurm, portal: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])

    class Real(Machine):
        def make(self) -> World:
            return RealWorld(slurm, portal)

    few = settings(
        max_examples=4,
        stateful_step_count=8,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Real, settings=few)
