"""Jobs and usage of the accounts that would lose something: one ``squeue`` and one ``sacct``.

Whose a job is tells the number of its association, which slurmctld and slurmdbd share. Names of users would not do:
squeue(1) asks the host for them, which prints ``nobody`` for everybody whom it does not know (any more).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

from reconciler.errors import CommandError, ReadError
from reconciler.providers.base import Jobs, SilenceError
from reconciler.providers.ending import complaint, end_jobs
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import dialect
from reconciler.providers.slurm.write import MAX_LIST, batches
from reconciler.state.names import fold

#: accounts and users by the number of their association, as ``sacctmgr show assoc`` tells it
Associations = Mapping[str, tuple[str, str]]

# a separator each, and room: squeue cuts what is longer than a column
_COLUMNS = ("JobID:20", "AssocID:20", "Account:300")
# each is only asked for where the one before was empty, so none of them is large
_WINDOWS = ("now-1hours", "now-1days", "now-30days", "now-365days", "1970-01-02")

SILENCE = "sacct knows no job of anybody: a cluster that never ran one, or a query that failed"


def where(runner: CommandRunner, cluster: str | None) -> tuple[str, ...]:
    """``-M CLUSTER`` for commands of slurmctld and for sacct, where slurm.conf is another cluster's; else nothing.

    With ``-M`` they go to the host that slurmdbd has for the cluster, which may be one that only it can reach.
    """
    if not cluster or not dialect.of(runner).elsewhere:
        return ()
    local = runner.known("scontrol", lambda: _local(runner))
    return () if fold(cluster) == local else ("-M", cluster)


def _local(runner: CommandRunner) -> str:
    """The cluster of slurm.conf; nothing where slurmctld does not answer."""
    try:
        result = runner.run("scontrol", "show", "config")
    except CommandError:
        return ""
    for line in result.stdout.splitlines() if result.code == 0 else ():
        name, _, value = line.partition("=")
        if name.strip() == "ClusterName":
            return fold(value.strip())
    return ""


def active_jobs(runner: CommandRunner, cluster: str, associations: Associations) -> Jobs:
    """Running and pending jobs by account and user. Raises :class:`CommandError` when squeue fails."""
    if not dialect.of(runner).jobs:
        return {}
    columns = ",".join(f"{c}|" for c in _COLUMNS)
    result = runner.run("squeue", "-h", "-a", *where(runner, cluster), "-O", columns)
    if result.code != 0:
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", "slurmctld may be down.")
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in result.stdout.splitlines():
        if line.startswith("CLUSTER: "):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != len(_COLUMNS) + 1 or not cells[0].isdigit():
            raise ReadError(f"{result.command}: expected {', '.join(_COLUMNS)}: {line!r}")
        number, association, account = cells[:-1]
        owner = associations.get(association, ("", ""))
        # a job that fits nobody concerns its account alone
        key = owner if owner[0] == fold(account) else (fold(account), "")
        if number not in found[key]:  # a pending array is one row, its tasks have the array's number
            found[key].append(number)
    return {key: tuple(numbers) for key, numbers in found.items()}


def used_accounts(runner: CommandRunner, cluster: str, names: Sequence[str], since: date | timedelta) -> frozenset[str]:
    """Which of these accounts ran jobs since a day, or that long ago.

    Raises :class:`SilenceError` where sacct knows no job of anybody at all: a query that failed says the same.
    """
    start = f"now-{int(since.total_seconds())}seconds" if isinstance(since, timedelta) else f"{since}T00:00:00"
    listed = ",".join(names)
    # a list that no single argument can hold is left out: all accounts then, which is one call as well
    rows = _ran(runner, cluster, start, *(("-A", listed) if len(listed) < MAX_LIST else ()))
    if not rows and silent(runner, cluster):
        raise SilenceError(SILENCE)
    return frozenset(fold(account) for account, elapsed in rows if elapsed not in ("", "0"))


def silent(runner: CommandRunner, cluster: str | None) -> bool:
    """Whether sacct knows no job of anybody at any time; a simulated cluster runs none."""
    return dialect.of(runner).jobs and not any(_ran(runner, cluster, w) for w in _WINDOWS)


def _ran(runner: CommandRunner, cluster: str | None, start: str, *chosen: str) -> list[tuple[str, str]]:
    """Account and elapsed seconds of each job since a moment."""
    # one letter each: the simulated cluster understands no others
    flags = ("-a", "-X", "-n", "-P")
    there = where(runner, cluster)
    result = runner.run("sacct", *flags, *there, "-S", start, *chosen, "-o", "Account,ElapsedRaw")
    if result.code != 0 or "error" in result.stderr.lower():
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}")
    return [(a, e.strip()) for a, _, e in (line.partition("|") for line in result.stdout.splitlines())]


def cancelling(runner: CommandRunner, cluster: str, numbers: Iterable[str]) -> list[tuple[str, ...]]:
    """The arguments of ``scancel`` for jobs of these numbers; a number says whose they are on any host."""
    return [(*where(runner, cluster), *batch) for batch in batches(numbers)]


def cancel(
    runner: CommandRunner,
    cluster: str,
    associations: Associations,
    pairs: Collection[tuple[str, str]],
    *,
    only: Collection[str] | None = None,
    patience: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cancel the jobs of (account, user) pairs and wait until they are gone: scancel is asynchronous.

    ``only``: no others than these, whatever else the pairs run by now. Raises :class:`CommandError` when some are
    still there after ``patience`` seconds.
    """

    def active() -> Jobs:
        return active_jobs(runner, cluster, associations)

    def scancel(numbers: Sequence[str]) -> str:
        results = [runner.run("scancel", *arguments) for arguments in cancelling(runner, cluster, numbers)]
        said = [complaint(r.command, r.code, r.said) for r in results]
        return next((text for text in reversed(said) if text), "")

    end_jobs(active, scancel, "scancel", pairs, only=only, patience=patience, sleep=sleep)
