"""One object serves any number of cycles: what is good for one of them dies with it, as a watcher needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from reconciler.config import Runner
from reconciler.cycle.cluster import Cluster
from reconciler.state.model import State
from reconciler.store import Store
from reconciler.store.names import USAGE
from tests.memory.cluster import CLUSTER
from tests.memory.runner import MemoryRunner
from tests.memory.world import NOW
from tests.test_machine import MemoryWorld


@pytest.fixture
def worlds() -> Iterator[tuple[MemoryWorld, MemoryWorld]]:
    """The same world twice."""
    both = MemoryWorld(), MemoryWorld()
    yield both
    for world in both:
        world.close()


def first(world: MemoryWorld) -> None:
    """Two allocations; a job ran on one of them before this cycle."""
    world.add("one", "alpha", 100, ordered=False)
    world.add("three", "beta", 50, ordered=False)
    world.enter("ann", "alpha")


def second(world: MemoryWorld) -> None:
    """What ran is to be told, a limit has drifted, and so has who is a member."""
    world.use(world.allocation("one").backend_id)  # type: ignore[union-attr]
    world.operate(f"modify account where name=a_one cluster={CLUSTER} set fairshare=7")
    world.enter("bob", "beta")


def third(world: MemoryWorld) -> None:
    """A member goes, an order ends a resource, the portal shrinks by that."""
    world.leave("ann", "alpha")
    world.order("three", "Terminate")


def cycle(world: MemoryWorld, cluster: Cluster, *, usage_elsewhere: bool, allowed: frozenset[str]) -> dict[str, Any]:
    """One cycle under the lock, as the command runs it, and all that it leaves behind."""
    with ExitStack() as held:
        if usage_elsewhere:  # another process reports usage at this moment
            store = Store(world.directory)
            held.callback(store.dispose)
            held.enter_context(store.locked(f"{USAGE}{CLUSTER}"))
        with cluster.locked():
            planned = cluster.plan(allowed=allowed)
            said = cluster.remember(planned, refused=bool(planned.plan.refusals))
            outcome = cluster.apply(planned.plan, planned=planned) if not planned.plan.refusals else None
    return {
        "changes": planned.plan.changes,
        "notes": (planned.plan.waiting, planned.plan.warnings, planned.plan.preface, planned.plan.refusals),
        "said": said,
        "applied": outcome and (outcome.applied, outcome.failures),
        "cluster": world.read(),
        "told": [dict(p.held) for p in world.portals.values()],
        "remembered": (
            cluster.memory.reported(),
            sorted(cluster.memory.adopted()),
            cluster.memory.reads(),
            cluster.memory.usernames(),
        ),
    }


def three(world: MemoryWorld, cluster_of: Callable[[], Cluster]) -> list[dict[str, Any]]:
    found = []
    for number, change in enumerate((first, second, third)):
        change(world)
        allowed = frozenset({"min_read_share"}) if number == 0 else frozenset()
        found.append(cycle(world, cluster_of(), usage_elsewhere=number == 0, allowed=allowed))
    return found


def test_three_cycles_of_one_object_are_those_of_three_fresh_ones(worlds: tuple[MemoryWorld, MemoryWorld]) -> None:
    same = worlds[1].cluster()
    fresh, again = three(worlds[0], worlds[0].cluster), three(worlds[1], lambda: same)
    for number, (one, other) in enumerate(zip(fresh, again, strict=True), 1):
        for what in one:
            assert other[what] == one[what], f"{what} of cycle {number}"
    kinds = [{c.address.kind for c in found["changes"]} for found in again]
    # the lock was another's in the first cycle alone
    assert "waldur.usage" not in kinds[0] and "waldur.usage" in kinds[1]
    assert {"slurm.account", "slurm.association"} <= kinds[2]
    states: list[State] = [found["cluster"] for found in again]
    assert "a_three" in {a.key[0] for a in states[1]} and "a_three" not in {a.key[0] for a in states[2]}


def test_what_no_plan_looked_at_is_remembered_as_it_was(worlds: tuple[MemoryWorld, MemoryWorld]) -> None:
    """After a rollback or a saved plan the next plan is no first run again."""
    world, cluster = worlds[0], worlds[0].cluster()
    first(world)
    cycle(world, cluster, usage_elsewhere=False, allowed=frozenset())
    adopted = cluster.memory.adopted()
    assert adopted
    assert not cluster.remember(refused=True)
    assert cluster.memory.adopted() == adopted


def test_progress_names_the_cluster_as_it_was_told(worlds: tuple[MemoryWorld, MemoryWorld]) -> None:
    world = worlds[0]
    cluster = Cluster(
        world.config, None, world.config.offerings, Runner(), lambda: NOW,
        commands=MemoryRunner(world.slurm), portals={n: p.portal() for n, p in world.portals.items()},
    )  # fmt: skip
    said: list[str] = []
    cluster.plan(progress=said.append)
    assert said[0].startswith("cluster default: reading")
    assert {text.partition(":")[0] for text in said[1:] if text.startswith("cluster")} == {f"cluster {CLUSTER}"}
