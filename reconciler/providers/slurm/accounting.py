"""What was used, from SLURM's accounting database: one ``sacct`` per period, whatever the number of accounts.

Source: sacct(1). ``-D`` shows every run of a requeued job, ``-T`` cuts runs at the window, ``-X`` leaves out steps.
Elapsed excludes suspension. The output is read as it comes, so a month of millions of jobs needs little memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from reconciler.config import Component
from reconciler.errors import CommandError, ReadError
from reconciler.providers.metered import Metered
from reconciler.providers.runner import CommandRunner, Lines
from reconciler.providers.slurm.read import advice
from reconciler.state.facts import Resource
from reconciler.state.naming import fold
from reconciler.state.period import Period
from reconciler.state.tres import TresError
from reconciler.state.usage import Accounted, Aggregation, Meter

COLUMNS = ("JobIDRaw", "Account", "User", "AllocTRES", "ElapsedRaw", "Start", "End", "State")
_HEADER = "|".join(COLUMNS)
_NOT_DIGITS = re.compile(r"\D")
_QUOTED = 200


class SacctSource:
    """Usage of one cluster's accounts."""

    name = "sacct"
    may_fall = False

    def __init__(self, runner: CommandRunner, cluster: str | None, zone: str) -> None:
        self.runner = runner
        self.cluster = cluster
        self.zone = zone

    def key(self, resource: Resource) -> str:
        """Its account."""
        return fold(resource.backend_id)

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """One sacct for all accounts. Raises :class:`ReadError`; "no jobs" may be a failed query all the same."""
        return self._read(period.first, period.following.first, period.seconds(self.zone), metered)

    def since(self, start: date, end: date, metered: Sequence[Metered]) -> Accounted:
        """All that was used from a day on, up to the end of another."""
        after = end + timedelta(days=1)
        return self._read(start, after, int((after - start).total_seconds()) + 7200, metered)

    def _read(self, start: date, end: date, longest: int, metered: Sequence[Metered]) -> Accounted:
        meters: dict[str, Meter] = {}
        made: dict[int, Meter] = {}
        for one in metered:
            same = id(one.components)
            if same not in made:
                made[same] = meter(one.components)
            meters[self.key(one.resource)] = made[same]
        sums = Aggregation(meters)
        # sacct takes local times of the zone in TZ, and no epoch numbers
        window = ("-S", f"{start}T00:00:00", "-E", f"{end}T00:00:00")
        cluster = ("-M", self.cluster) if self.cluster else ()
        arguments = ("-aXDTP", *cluster, *window, "-o", ",".join(COLUMNS))
        environment = {"TZ": self.zone, "SLURM_TIME_FORMAT": "%s"}
        with self.runner.lines("sacct", *arguments, environment=environment) as output:
            aggregate(output, sums, longest)
            if output.code != 0:
                raise CommandError(f"{output.command}: exit code {output.code}: {output.said}", advice(output.said))
        found = sums.result()
        used = {one.resource.uuid: found[self.key(one.resource)] for one in metered}
        return Accounted(used, sums.quoted, sums.bad_count)

    def ping(self) -> str:
        """The version of sacct."""
        result = self.runner.run("sacct", "-V")
        if result.code != 0:
            raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", advice(result.said))
        return result.said


def meter(components: Mapping[str, Component]) -> Meter:
    """How jobs turn into amounts of an offering's components."""
    return Meter.of({name: c.reported_factors(name) for name, c in components.items()})


def aggregate(output: Lines, sums: Aggregation, longest: int) -> None:
    """Add sacct's rows to the sums; a row that cannot be understood spoils only its account.

    ``longest``: seconds of the window, which no run can exceed. Raises :class:`ReadError` for what is no
    output of sacct.
    """
    lines = iter(output)
    header = next(lines, "")
    if header != _HEADER:
        for _ in lines:
            pass
        if output.code == 0:
            raise ReadError(f"{output.command}: expected the header {_HEADER!r}, found {header[:_QUOTED]!r}")
        return
    for line in lines:
        try:
            job, name, user, tres, elapsed, start, _, _ = line.split("|")
        except ValueError:
            cells = line.split("|", 2)
            sums.reject(sums.account(cells[1]) if len(cells) > 1 else None, line[:_QUOTED])
            continue
        account = sums.account(name)
        if account is None:
            if not name.strip():
                sums.reject(None, line[:_QUOTED])
            continue
        try:
            seconds = int(elapsed)
            if seconds == 0:
                continue  # it waits, or ended before it began: nothing is allocated
            if not (0 < seconds <= longest and tres and start.isascii()):
                raise ValueError(line)
            # where sudo drops SLURM_TIME_FORMAT the start comes as 2026-11-01T08:00:00, which tells runs apart as well
            began = int(start if start.isdigit() else _NOT_DIGITS.sub("", start))
            sums.add(account, user.lower(), tres, seconds, int(job), began)
        except (ValueError, TresError):
            sums.reject(account, line[:_QUOTED])
