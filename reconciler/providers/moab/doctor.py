"""What ``reconcile doctor`` asks of a MAM: that it answers, to an administrator, and that the queue can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.config import Offering
from reconciler.errors import ReconcileError
from reconciler.providers.base import Reading
from reconciler.providers.finding import Finding, Level, asked
from reconciler.providers.moab import kinds, programs
from reconciler.state.kinds import Role, is_account, role_of
from reconciler.state.model import State

if TYPE_CHECKING:
    from reconciler.providers.moab.cluster import MoabCluster

_HINT = "Name an account that is always there, so that a caller who is shown a part of MAM is recognised."


def findings(cluster: MoabCluster, label: str, offerings: Sequence[Offering]) -> Iterator[Finding]:
    """Programs, what they show, and what can be told of jobs."""
    subject = f"cluster {label}"
    yield asked(subject, "mam", cluster.ping)
    yield _commands(subject, cluster)
    try:
        reading: Reading | None = cluster.read()
    except ReconcileError as error:
        reading = None
        yield Finding(subject, "accounts", Level.ERROR, error.message, error.hint)
    if reading is not None:
        yield Finding(subject, "accounts", Level.OK, _counted(reading.state))
    if not cluster.settings.sentinel:
        text = "backend_settings.moab.sentinel is not set: MAM shows to each caller what its role may see"
        yield Finding(subject, "sentinel", Level.WARNING, text, _HINT)
    if cluster.settings.queue == "none":
        text = "backend_settings.moab.queue is none: accounts and members go without a look at jobs"
        yield Finding(subject, "queue", Level.WARNING, text, "Set it to showq or qstat where there is one.")
    elif (there := reading) is not None:
        yield asked(subject, "queue", lambda: _queue(cluster, there))
    for offering in offerings:
        yield _components(subject, offering)


def _commands(subject: str, cluster: MoabCluster) -> Finding:
    """Whether every command is there that an apply may need: some of their names are no more than likely."""
    chosen = [p for p, setting in programs.WHERE_CONFIGURED.items() if getattr(cluster.settings, setting)]
    needed = [*programs.READING, *programs.WRITING, *chosen]
    missing = [program for program in needed if not _there(cluster, program)]
    if missing:
        text = f"not to be started: {', '.join(missing)}"
        return Finding(subject, "commands", Level.ERROR, text, "Set backend_settings.moab.bin_path.")
    return Finding(subject, "commands", Level.OK, f"all {len(needed)} that change or show money are there")


def _there(cluster: MoabCluster, program: str) -> bool:
    try:
        return cluster.runner.run(program, "-V").code not in (126, 127)
    except ReconcileError:
        return False


def _counted(state: State) -> str:
    accounts = sum(is_account(a) for a in state)
    purses = sum(role_of(a) is Role.BUDGET for a in state)
    return f"{accounts} accounts, {purses} with a fund of their own"


def _queue(cluster: MoabCluster, reading: Reading) -> str:
    jobs = cluster.jobs(reading)
    return f"{sum(len(numbers) for numbers in jobs.values())} jobs are running or waiting"


def _components(subject: str, offering: Offering) -> Finding:
    if kinds.DEPOSIT in offering.backend_components:
        return Finding(subject, "components", Level.OK, f"{offering.name}: {kinds.DEPOSIT}")
    text = f"{offering.name} has no component {kinds.DEPOSIT!r}, the only one that MOAB knows"
    return Finding(subject, "components", Level.WARNING, text, "Its funds hold what they hold.")
