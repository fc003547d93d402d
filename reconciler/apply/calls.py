"""The calls of a plan's steps, to be read: what ``plan --script`` and ``diagnose`` print is what an apply would run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.plan.order import steps
from reconciler.providers.base import Cluster
from reconciler.providers.command import Command
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import on_cluster


def calls_of(changes: Iterable[Change], cluster: Cluster, name: str, *, remote: bool = False) -> list[Command]:
    """The calls for changes on the cluster ``name``, in order; ``remote``: commands of this host go to another.

    Each step stands for itself, where an apply may make many objects by one call.
    """
    found: list[Command] = []
    for step in steps(c for c in changes if on_cluster(c.address)):
        found += [cluster.cancelling(c.jobs, name, remote=remote) for c in _ending_jobs(step)]
        found += cluster.commands(step, name)
    return found


def _ending_jobs(step: Sequence[Change]) -> list[Change]:
    return [c for c in step if c.jobs and c.action is Action.DELETE]
