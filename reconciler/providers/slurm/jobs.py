"""Jobs and usage of the accounts that would lose something: one ``squeue`` and one ``sacct``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.write import MAX_LIST
from reconciler.state.naming import fold

_COLUMNS = 3
_WINDOWS = ("now-1hours", "now-1days", "now-30days", "now-365days", "1970-01-02")


class SilenceError(ReadError):
    """sacct shows nothing at all, which may be true."""


def active_jobs(runner: CommandRunner, cluster: str) -> Counter[tuple[str, str]]:
    """Running and pending jobs by (account, user). Raises :class:`CommandError` when squeue fails."""
    if runner.settings.emulator:
        return Counter()  # the emulator has no queue
    result = runner.run("squeue", "-h", "-a", "-M", cluster, "-o", "%i|%a|%u")
    if result.code != 0:
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", "slurmctld may be down.")
    jobs: Counter[tuple[str, str]] = Counter()
    for line in result.stdout.splitlines():
        if line.startswith("CLUSTER: "):
            continue
        cells = line.split("|")
        if len(cells) != _COLUMNS:
            raise ReadError(f"{result.command}: expected {_COLUMNS} columns: {line!r}")
        jobs[fold(cells[1]), fold(cells[2])] += 1
    return jobs


def used_accounts(runner: CommandRunner, cluster: str, names: Sequence[str], since: date | timedelta) -> frozenset[str]:
    """Which of these accounts ran jobs since a day, or that long ago.

    Raises :class:`SilenceError` where sacct knows no job of anybody at all: a query that failed says the same.
    """
    start = f"now-{int(since.total_seconds())}seconds" if isinstance(since, timedelta) else f"{since}T00:00:00"
    listed = ",".join(names)
    # a list that no single argument can hold is left out: all accounts then, which is one call as well
    rows = _ran(runner, cluster, start, *(("-A", listed) if len(listed) < MAX_LIST else ()))
    # each window is only asked for where the one before was empty, so none of them is large
    if not rows and not runner.settings.emulator and not any(_ran(runner, cluster, w) for w in _WINDOWS):
        raise SilenceError("sacct knows no job of anybody: a cluster that never ran one, or a query that failed")
    return frozenset(fold(account) for account, elapsed in rows if elapsed not in ("", "0"))


def _ran(runner: CommandRunner, cluster: str, start: str, *chosen: str) -> list[tuple[str, str]]:
    """Account and elapsed seconds of each job since a moment."""
    # one letter each: the simulated cluster understands no others
    flags = ("-a", "-X", "-n", "-P")
    result = runner.run("sacct", *flags, "-M", cluster, "-S", start, *chosen, "-o", "Account,ElapsedRaw")
    if result.code != 0 or "error" in result.stderr.lower():
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}")
    return [(a, e.strip()) for a, _, e in (line.partition("|") for line in result.stdout.splitlines())]


def cancel(
    runner: CommandRunner,
    cluster: str,
    pairs: Iterable[tuple[str, str]],
    *,
    patience: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cancel the jobs of (account, user) pairs and wait until they are gone: scancel is asynchronous.

    Raises :class:`CommandError` when some are still there after ``patience`` seconds.
    """
    wanted = set(pairs)
    for account, user in sorted(wanted):
        result = runner.run("scancel", "-M", cluster, "-A", account, "-u", user)
        if result.code != 0:
            raise CommandError(f"{result.command}: exit code {result.code}: {result.said}")
    waited, pause = 0.0, 0.25
    while True:
        left = {pair: n for pair, n in active_jobs(runner, cluster).items() if pair in wanted}
        if not left:
            return
        if waited >= patience:
            shown = ", ".join(f"{n} of {u} in {a}" for (a, u), n in sorted(left.items()))
            raise CommandError(f"jobs are still there {patience:.0f} s after scancel: {shown}")
        sleep(pause)
        waited, pause = waited + pause, min(2.0, pause * 1.5)


def known_users(runner: CommandRunner, names: Sequence[str]) -> frozenset[str]:
    """Which of these names the head node knows (``getent passwd``), in calls of many names."""
    found: set[str] = set()
    for start in range(0, len(names), 1000):
        result = runner.run("getent", "passwd", *names[start : start + 1000])
        # 2: one or more of the names were not found
        if result.code not in (0, 2):
            raise CommandError(f"getent passwd: exit code {result.code}: {result.said}")
        found |= {fold(line.split(":", 1)[0]) for line in result.stdout.splitlines()}
    return frozenset(found)
