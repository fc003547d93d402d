"""The machine of ``tests/machine.py`` on a real SLURM and the HTTP stand-in: few examples, always the same."""

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
from reconciler.cycle import Cluster
from reconciler.portals import portal_of
from reconciler.providers.portal import Portal
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm.read import SlurmReader
from reconciler.providers.waldur.client import WaldurError
from reconciler.state.diff import Change
from reconciler.state.model import State
from tests.live.conftest import CLUSTER, Slurm
from tests.machine import PEOPLE, PROJECTS, Allocation, Machine, World, configured
from tests.memory.cluster import struck
from tests.memory.faults import Fault, Faults
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


def faulty(portal: Any, faults: Faults) -> Portal:
    """A portal whose writes the faults strike, and which an outage silences."""
    write, facts, read = portal.write, portal.facts, portal.read

    def problem(fault: Fault) -> Any:
        raise WaldurError("POST", 0 if fault is Fault.LOST else 502, "Bad Gateway")

    def written(change: Change) -> frozenset[str]:
        done: frozenset[str] = faults.write(lambda: write(change), problem)
        return done

    portal.write = written
    portal.facts = lambda now: problem(Fault.OUTAGE) if faults.down else facts(now)
    portal.read = lambda addresses: problem(Fault.OUTAGE) if faults.down else read(addresses)
    found: Portal = portal
    return found


class RealWorld:
    """SLURM's daemons and a portal over HTTP."""

    def __init__(self, slurm: Slurm, portal: StandIn) -> None:
        self.slurm, self.portal = slurm, portal
        slurm.clean()
        portal.reset()
        self.directory = Path(tempfile.mkdtemp(prefix="reconcile-machine-"))
        about = {"waldur_api_token": TOKEN, "waldur_offering_uuid": OFFERING}
        self.config = configured(self.directory, portal.url, **about)
        self.faults = Faults()
        for person in PEOPLE:
            portal.user(person)

    def cluster(self) -> Cluster:
        offering = self.config.offerings[0]
        portals = {offering.name: faulty(portal_of(offering, self.config), self.faults)}
        commands = FaultyRunner(self.faults)
        return Cluster(self.config, CLUSTER, (offering,), LOCAL, commands=commands, portals=portals)

    def read(self) -> State:
        return SlurmReader(CommandRunner(LOCAL), CLUSTER).read().state

    def sacctmgr(self, *arguments: str) -> None:
        CommandRunner(LOCAL).run("sacctmgr", *arguments)

    def _rows(self, kind: str, **facts: str) -> Iterable[dict[str, Any]]:
        return [r for r in self.portal.world[kind] if all(r[k] == v for k, v in facts.items())]

    def allocation(self, name: str) -> Allocation | None:
        for row in self._rows("resources", name=name):
            orders = self._rows("orders", marketplace_resource_uuid=row["uuid"])
            underway = [o["type"] for o in orders if o["state"] in ("pending-provider", "executing")]
            limit = int(row["limits"].get("cpu", 0))
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

    def jobs(self) -> set[tuple[str, str]]:
        return set()

    def used(self) -> set[str]:
        return set()

    def work(self, account: str, user: str) -> None:
        """Left to memory: a job takes seconds here."""

    def use(self, account: str) -> None:
        """Left to memory."""

    def rest(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
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
