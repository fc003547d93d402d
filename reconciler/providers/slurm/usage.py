"""What was used, from SLURM's accounting database: one ``sacct`` per period, whatever the number of accounts.

Source: sacct(1). ``-D`` shows every run of a requeued job, ``-T`` cuts runs at the window, ``-X`` leaves out steps.
Elapsed excludes suspension. The output is read as it comes, so a month of millions of jobs needs little memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler.config import Component
from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner, Lines
from reconciler.providers.slurm import dialect, jobs
from reconciler.providers.slurm.ends import MEND, Jobs, epoch, listed
from reconciler.providers.slurm.meter import Aggregation, Meter
from reconciler.providers.slurm.said import advice
from reconciler.providers.slurm.tres import TresError
from reconciler.providers.slurm.verify import Slurmctld
from reconciler.providers.usage import Metered
from reconciler.state.facts import Resource
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.usage import Accounted

COLUMNS = ("JobIDRaw", "Account", "User", "AllocTRES", "ElapsedRaw", "Start", "End", "State")
_HEADER = "|".join(COLUMNS)
_NOT_DIGITS = re.compile(r"\D")
_SUSPENDED = re.compile(r"^JobId=(\d+) .*?\bJobState=SUSPENDED\b.*?\bSuspendTime=(\S+)")
_QUOTED = 200


class SacctSource:
    """Usage of one cluster's accounts."""

    name = "sacct"
    may_fall = False

    def __init__(self, runner: CommandRunner, cluster: str | None, zone: str) -> None:
        self.runner = runner
        self.cluster = cluster
        self.zone = zone
        self._heard = False  # it knows some job, so that a month without any is an idle one

    def key(self, resource: Resource) -> str:
        """Its account."""
        return fold(resource.backend_id)

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """One sacct for all accounts. Raises :class:`ReadError`; "no jobs" may be a failed query all the same."""
        return self._read(period.first, period.following.first, period.seconds(self.zone), metered)

    def silence(self) -> str:
        """Why no answer is believed: nothing in them, nor at any other time. Raises :class:`ReadError`."""
        self._heard = self._heard or not jobs.silent(self.runner, self.cluster)
        return "" if self._heard else jobs.SILENCE

    def unended(self, keys: Collection[str], since: datetime, stop: Callable[[], str]) -> Mapping[str, str]:
        """Accounts with jobs of which the database knows no end, although it was waited for."""
        return self.jobs.await_ends(keys, since, stop=stop)

    def since(self, start: date, end: date, metered: Sequence[Metered]) -> Accounted:
        """All that was used from a day on, up to the end of another."""
        after = end + timedelta(days=1)
        return self._read(start, after, int((after - start).total_seconds()) + 7200, metered)

    @property
    def jobs(self) -> Jobs:
        """Whose ends it may not know yet."""
        return Jobs(self.runner, self.cluster, self.zone)

    def _read(self, start: date, end: date, longest: int, metered: Sequence[Metered]) -> Accounted:
        meters: dict[str, Meter] = {}
        made: dict[int, Meter] = {}
        for one in metered:
            same = id(one.components)
            if same not in made:
                made[same] = meter(one.components)
            meters[self.key(one.resource)] = made[same]
        sums = Aggregation(meters)
        within = Window(int(_midnight(start, self.zone)), int(_midnight(end, self.zone)), longest)
        # sacct takes local times of the zone in TZ, and no epoch numbers
        window = ("-S", f"{start}T00:00:00", "-E", f"{end}T00:00:00")
        cluster = jobs.where(self.runner, self.cluster)
        arguments = ("-aXDTP", *cluster, *window, "-o", ",".join(COLUMNS))
        environment = {"TZ": self.zone, "SLURM_TIME_FORMAT": "%s"}
        with self.runner.lines("sacct", *arguments, environment=environment) as output:
            suspended = aggregate(output, sums, within)
            # slurmdbd's troubles come with exit code 0 as well
            if output.code != 0 or "error" in output.said.lower():
                raise CommandError(f"{output.command}: exit code {output.code}: {output.said}", advice(output.said))
        if suspended:
            self._suspended(suspended, sums)
        notes = self._runaway(within.running, sums) if within.running else ()
        found = sums.result()
        used = {one.resource.uuid: found[self.key(one.resource)] for one in metered}
        self._heard = self._heard or bool(within.rows)
        idle = f"sacct knows no job of anybody from {start} to {end}: an idle cluster, or a query that failed"
        return Accounted(used, sums.quoted, sums.bad_count, (idle,) if not within.rows else notes)

    def _runaway(self, running: Collection[str], sums: Aggregation) -> tuple[str, ...]:
        """Doubt accounts with jobs that run for ever since their end was never told; what could not be looked at."""
        try:
            if not dialect.of(self.runner).jobs or not set(running) - self.jobs.known():
                return ()
            found = self.jobs.runaway()
        except ReadError as error:
            return (f"whether the jobs that run have ended could not be looked at: {error.message}",)
        for (account, _), numbers in found.items():
            sums.doubt(account, f"job {listed(numbers)} runs for slurmdbd, and slurmctld does not know it ({MEND})")
        return ()

    def _suspended(self, runs: Sequence[Suspended], sums: Aggregation) -> None:
        """Count jobs that are suspended right now: with ``-T`` sacct lets their clock run on, so it is turned back."""
        since: dict[int, float] = {}
        environment = {"TZ": self.zone, "SLURM_TIME_FORMAT": "%s"}
        with self.runner.lines("scontrol", "-o", "show", "job", environment=environment) as output:
            for line in output:
                found = _SUSPENDED.search(line)
                if found:
                    since[int(found[1])] = epoch(found[2], self.zone)
            if output.code != 0:
                raise CommandError(f"{output.command}: exit code {output.code}: {output.said}", advice(output.said))
        for run in runs:
            stopped = since.get(run.job)
            if stopped is None:  # it went on, or ended, meanwhile: the next cycle knows
                sums.reject(run.account, f"job {run.job} was suspended a moment ago: {run.line}")
                continue
            over = int(max(0, epoch(run.end, self.zone) - max(stopped, epoch(run.start, self.zone))))
            try:
                if run.seconds > over:
                    sums.add(run.account, run.user, run.tres, run.seconds - over, run.job, _key(run.start))
            except (ValueError, TresError):
                sums.reject(run.account, run.line)

    def counter(self) -> Slurmctld:
        """slurmctld counts as well."""
        return Slurmctld(self)

    def ping(self) -> str:
        """The version of sacct."""
        result = self.runner.run("sacct", "-V")
        if result.code != 0:
            raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", advice(result.said))
        return result.said


def meter(components: Mapping[str, Component]) -> Meter:
    """How jobs turn into amounts of an offering's components."""
    return Meter.of({name: c.reported_factors(name) for name, c in components.items()})


class _OtherZoneError(Exception):
    pass


@dataclass
class Window:
    """What sacct was asked for: moments in seconds since 1970, and the length that no run can exceed."""

    start: int
    end: int
    longest: int
    rows: int = 0  # rows that came
    running: set[str] = field(default_factory=set)  # numbers of the jobs that run on, of accounts that were asked for

    def seconds(self, job: str, elapsed: str, start: str, end: str, state: str) -> int:
        """How long a run was within it. Raises ``ValueError``, or that it is of another window."""
        seconds = int(elapsed)
        if not 0 < seconds <= self.longest or not start.isascii():
            raise ValueError(job)
        if start.isdigit() and (int(start) < self.start or (end.isdigit() and int(end) > self.end)):
            raise _OtherZoneError
        if state == "RUNNING":
            self.running.add(job)
        return seconds


@dataclass(frozen=True)
class Suspended:
    """A run that is suspended at this moment."""

    account: str
    user: str
    tres: str
    seconds: int
    job: int
    start: str
    end: str
    line: str


def aggregate(output: Lines, sums: Aggregation, window: Window) -> list[Suspended]:
    """Add sacct's rows to the sums; a row that cannot be understood spoils only its account.

    The answer is what is suspended right now, which is not counted yet. Raises :class:`ReadError` for what is no
    output of sacct, or of another window than the one asked for.
    """
    suspended: list[Suspended] = []
    lines = iter(output)
    header = next(lines, "")
    if header != _HEADER:
        for _ in lines:
            pass
        if output.code == 0:
            raise ReadError(f"{output.command}: expected the header {_HEADER!r}, found {header[:_QUOTED]!r}")
        return suspended
    for line in lines:
        window.rows += 1
        try:
            job, name, user, tres, elapsed, start, end, state = line.split("|")
        except ValueError:
            cells = line.split("|", 2)
            sums.reject(sums.account(cells[1]) if len(cells) > 1 else None, line[:_QUOTED])
            continue
        account = sums.account(name)
        if elapsed == "0" or (account is None and name.strip()):
            continue  # it waits, or ended before it began, or is somebody else's
        try:
            if account is None:
                raise ValueError(line)
            seconds = window.seconds(job, elapsed, start, end, state)
            if not tres:
                raise ValueError(line)
            if state == "SUSPENDED":
                suspended.append(Suspended(account, user.lower(), tres, seconds, int(job), start, end, line[:_QUOTED]))
            else:
                sums.add(account, user.lower(), tres, seconds, int(job), _key(start))
        except (ValueError, TresError):
            sums.reject(account, line[:_QUOTED])
        except _OtherZoneError:
            raise ReadError(
                f"{output.command}: job {job} is outside of the month: sacct took another midnight than the one of "
                "the configuration's timezone",
                "Does the host on which sacct runs know that time zone (tzdata), and does the TZ variable reach it?",
            ) from None
    return suspended


def _key(start: str) -> int:
    """What tells runs of a job apart; where sudo drops SLURM_TIME_FORMAT it is 2026-11-01T08:00:00."""
    return int(start if start.isdigit() else _NOT_DIGITS.sub("", start))


def _midnight(day: date, zone: str) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
