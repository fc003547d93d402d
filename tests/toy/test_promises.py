"""The promises hold for a cluster of another package as well: the machine of ``tests/machine`` on a box in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from reconciler.config import Runner
from reconciler.config.backend import cluster_backends
from reconciler.cycle.cluster import Cluster
from reconciler.errors import CommandError
from reconciler.providers.registry import backend_of
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state.kinds import KINDS
from reconciler.state.model import State
from reconciler.state.tree import Shape
from reconciler.state.waldur import METADATA
from tests.machine.product import Product
from tests.machine.rules import Machine
from tests.machine.size import worlds
from tests.machine.world import KNOWN, Allocation, World, component_of
from tests.memory.faults import Fault, Faults
from tests.memory.world import PortalsInMemory
from tests.toy.site import installed
from tests.toy.toyctl import Box, RefusedError, done, empty

BOX = "testbed"


def as_sold(one: Allocation, place: Mapping[str, Any]) -> None:
    """Its amounts are those of its limit; a toy can neither be paused nor slowed down."""
    component, factor = component_of(one.name)
    assert one.limit is None or place["amounts"] == {component: one.limit * factor}, (one, place)


TOY = Product(
    shape=Shape(account="toy.account", member="toy.member", above="above"),
    found=("add-account staff", "add-member staff opera"),
    strangers=(
        "add-account lab --above a_two",
        "add-account a_ghost --above p_alpha",
        "add-member a_one eve; add-member a_ghost eve; add-member lab eve",
    ),
    hands=(
        "add-account staff",
        "add-account a_ghost --above p_alpha; add-member a_ghost eve",
        "add-account wing --above p_alpha",
        "add-account a_two",
        "add-member staff opera; add-member staff ann",
        "add-member a_one eve; add-member g_six ann",
        "add-member a_two opera; add-member lab opera; add-member p_beta eve",
        "add-member a_two ann; add-member a_three cyd",
        "set-account a_one --amounts cpu=7,node=9",
        "set-account a_two --amounts node=1; set-account g_six --amounts cpu=1000",
        "set-account staff --amounts toys=60 --title ours",
        "set-account p_alpha --amounts cpu=9",
        "set-account a_one --above=",
        "set-account a_two --above staff",
        "set-account staff --above a_one",
        "set-account p_alpha --above c_south",
        "set-account c_north --title drifted",
        "drop-member a_one ann",
        "drop-member a_two bob; drop-member a_two cyd; drop-member a_one bob",
        "drop-member a_ghost eve; drop-account a_ghost",
        "drop-member lab eve; drop-account lab",
        "drop-member g_six ann; drop-account g_six",
        "drop-member a_three ann; drop-member a_three bob; drop-member a_three cyd; drop-account a_three",
        "drop-account p_alpha; drop-account c_north; drop-account staff",
    ),
    targets=(
        *[()] * 6,
        ("toy.account[*]",),
        ("toy.account[a_one]", "toy.member[a_one,*]"),
        ("toy.member[*]",),
        ("waldur.order[*]",),
        ("waldur.resource[*]",),
    ),
    as_sold=as_sold,
)


class BoxRunner(CommandRunner):
    """``toyctl`` on a box in memory, as far as the faults let it."""

    def __init__(self, box: Box, faults: Faults | None = None) -> None:
        super().__init__(Runner(parallel=1))
        self.box, self.faults = box, faults or Faults()

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """Answer one command. Raises :class:`CommandError` where its answer is lost."""
        assert program == "toyctl"
        argv = (program, *arguments)

        def problem(fault: Fault) -> Result:
            if fault is Fault.LOST:
                raise CommandError("toyctl: no answer after 120 s, stopped")
            return Result(argv, 2 if fault is Fault.OUTAGE else 3, "", f"toyctl: {fault}")

        def answer() -> Result:
            try:
                return Result(argv, 0, done(self.box, arguments), "")
            except RefusedError as error:
                return Result(argv, 1, "", f"toyctl: {error}")

        if arguments != ("list",):
            return self.faults.write(answer, problem)
        return problem(Fault.OUTAGE) if self.faults.down else answer()


class ToyWorld(PortalsInMemory):
    """A box in memory: no head node, no jobs, no books."""

    product = TOY

    def __init__(self) -> None:
        super().__init__("toy")
        self.box: Box = {**empty(), "name": BOX}

    def cluster(self) -> Cluster:
        return self.head_node(BOX, BoxRunner(self.box, self.faults))

    def read(self) -> State:
        return backend_of("toy").open(BOX, BoxRunner(self.box), self.config).read().state

    def operate(self, command: str) -> None:
        for one in command.split(";"):
            try:
                done(self.box, one.split())
            except RefusedError:
                continue

    def host(self, person: str, knows: bool) -> None:
        """No toy has a head node."""

    def unknown(self) -> set[str]:
        return {*KNOWN}

    def home(self, person: str) -> str | None:
        return None

    def home_by_hand(self, person: str, what: str) -> None:
        """No toy has homes."""

    def told(self, name: str) -> dict[str, object] | None:
        return None

    def spent(self, account: str) -> dict[str, int]:
        return {}

    def jobs(self) -> set[tuple[str, str]]:
        return set()

    def used(self) -> set[str]:
        return set()

    def work(self, account: str, user: str) -> None:
        """No toy runs jobs."""

    def use(self, account: str) -> None:
        """No toy keeps books."""

    def runaway(self, account: str) -> bool:
        return False

    def mend(self) -> None:
        """Nothing ran."""

    def rest(self) -> None:
        """Nothing runs."""


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy's package in this process, and no trace of it afterwards."""
    monkeypatch.syspath_prepend(installed(tmp_path / "packages"))
    kinds, told = dict(KINDS), dict(METADATA)
    for cached in (cluster_backends, backend_of):
        cached.cache_clear()
    yield
    sys.modules.pop("reconcile_toy", None)
    for now, before in ((KINDS, kinds), (METADATA, told)):
        now.clear()
        now.update(before)  # type: ignore[arg-type]
    for cached in (cluster_backends, backend_of):
        cached.cache_clear()


@pytest.mark.usefixtures("brought")
def test_the_promises_hold_on_a_toy() -> None:
    class OnAToy(Machine):
        def make(self) -> World:
            return ToyWorld()

    run_state_machine_as_test(OnAToy, settings=worlds(25))


@pytest.mark.usefixtures("brought")
def test_the_box_in_memory_is_the_programs() -> None:
    """What the machine runs on prints what the program would."""
    box = empty()
    for words in (("add-account", "a"), ("add-account", "b", "--above", "a"), ("add-member", "b", "ann")):
        done(box, words)
    assert json.loads(BoxRunner(box).run("toyctl", "list").stdout) == box
    refused = BoxRunner(box).run("toyctl", "drop-account", "a")
    assert backend_of("toy").open("", BoxRunner(box), ToyWorld().config).verdict(refused).final
