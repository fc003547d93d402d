"""A cycle without anything outside: from what a portal says and a cluster has to the changes between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from reconciler.config import Config, Guards, Runner
from reconciler.desired.built import Built
from reconciler.desired.catalogs import check
from reconciler.desired.ownership import Ownership
from reconciler.guards.deletions import Case, Screened
from reconciler.guards.deletions import screen as screened
from reconciler.guards.dependents import propagate
from reconciler.guards.jobs import Activity, Ending
from reconciler.providers.base import Catalog, Reading
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import defaults
from reconciler.providers.slurm.backend import Slurm
from reconciler.providers.slurm.cluster import SlurmCluster
from reconciler.state.diff import Change, diff
from reconciler.state.facts import Claim
from reconciler.state.managed import Level, Managed, Policy
from reconciler.state.model import Desired, State

TODAY = date(2026, 11, 27)
BACKEND = Slurm()
Claims = Callable[[Mapping[str, Level]], Mapping[str, Claim]]


def cluster(name: str = "c1") -> SlurmCluster:
    """A SLURM cluster that nobody asks."""
    return SlurmCluster(CommandRunner(Runner()), name, "UTC")


def reading(actual: State, tres: Iterable[str] = ("cpu", "gres/gpu")) -> Reading:
    """A cluster as read."""
    qos = frozenset(a.key[0] for a in actual if a.kind == "slurm.qos")
    catalogs = {"qos": Catalog(qos, "QoS", "", "slurm.qos"), "tres": Catalog(frozenset(tres), "TRES", "")}
    return Reading("c", actual, catalogs)


def ownership(desired: Desired, managed: Managed, actual: State, policy: Policy | None = None) -> Ownership:
    """What is ours of a SLURM cluster."""
    return Ownership(desired, managed, actual, BACKEND.shape, policy or Policy())


def completed(
    built: Built, there: Reading, settings: Config, claims: Claims, policy: Policy | None = None, *, made: bool = True
) -> Desired:
    """The desired state with what goes; ``made``: the portal knows the projects and customers of all empty accounts."""
    ours = ownership(built.desired, built.managed, there.state, policy)
    levels = ours.unclaimed()
    told = claims(levels)
    going = ours.leaving(told, levels)
    ours.own(told, frozenset(ours.empty_containers(going)) if made else frozenset())
    check(built.desired, there.catalogs)
    cluster = BACKEND.open(None, CommandRunner(Runner(emulator=True)), settings)
    BACKEND.complete(built.desired, there, built.managed, settings, cluster, built.allocations, TODAY)
    return built.desired


def changes_of(desired: Desired, actual: State) -> list[Change]:
    """What differs, and can be made."""
    return propagate(diff(desired, actual), actual, defaults.settle)


def screen(
    changes: list[Change],
    actual: State,
    activity: Activity | None = None,
    guards: Guards | None = None,
    ending: Ending | None = None,
) -> Screened:
    """The changes after the guards of single objects."""
    return screened(changes, Case(actual, activity or Activity(), guards or Guards(), ending=ending or Ending()))
