"""One MOAB Accounting Manager, spoken to by commands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from reconciler.config import Config, MoabSettings, Offering
from reconciler.errors import ReadError
from reconciler.providers import getent
from reconciler.providers.base import Feature, Jobs, Reading, Verdict
from reconciler.providers.command import Command
from reconciler.providers.finding import Finding
from reconciler.providers.moab import doctor, funds, programs, queue, said
from reconciler.providers.moab.read import read
from reconciler.providers.moab.rows import require
from reconciler.providers.moab.usage import MamSource, Records
from reconciler.providers.moab.write import Writer
from reconciler.providers.plain import PlainCluster
from reconciler.providers.runner import CommandRunner, Programs, Result
from reconciler.state.diff import Change

PROGRAMS = Programs(
    frozenset({*programs.READING, *programs.WRITING, *programs.WHERE_CONFIGURED}) | queue.PROGRAMS,
    # where the client finds its configuration, its libraries and its key
    frozenset({"MAM*", "MOAB*", "PBS*", "PERL5LIB"}),
    "the accounting manager may be down, or busy with the scheduler",
    "backend_settings.moab.bin_path",
)


class MoabCluster(PlainCluster):
    """One MAM; it has no name of its own, so that it is called as configured."""

    def __init__(self, runner: CommandRunner, name: str, settings: MoabSettings, zone: str) -> None:
        runner.programs |= PROGRAMS
        super().__init__(runner, name)
        self.settings, self.zone = settings, zone
        self._writer = Writer(runner, settings, self.today)
        self._queue = queue.Queue(runner, settings.queue)
        # all but counters, and jobs only where somebody shows them
        self.features = frozenset({Feature.HOMES} | ({Feature.JOBS} if settings.queue != "none" else set()))

    def read(self) -> Reading:
        """Everything, checked. Raises :class:`ReadError`."""
        return read(self.runner, self.name, self.settings, self.today())

    def today(self) -> date:
        """The day in the site's time zone, which should be the accounting manager's."""
        return datetime.now(ZoneInfo(self.zone)).date()

    def told_name(self) -> str:
        """The name that it is configured by."""
        return self.name

    def effective(self) -> Mapping[str, Decimal]:
        """By fund, what is neither spent nor held by jobs. Raises :class:`ReadError`."""
        return funds.effective(self.runner)

    def known_users(self, names: Sequence[str]) -> frozenset[str]:
        """Which names the host has. Raises :class:`ReadError`."""
        return getent.known_users(self.runner, names)

    # ------------------------------------------------------------------ what runs and ran

    def jobs(self, reading: Reading) -> Jobs:
        """Running and pending jobs, by showq or qstat. Raises :class:`ReadError`."""
        return self._queue.jobs(reading.state)

    def cancel(self, reading: Reading, pairs: Collection[tuple[str, str]], only: Collection[str] | None = None) -> None:
        """Cancel jobs and wait for their end. Raises :class:`CommandError`."""
        self._queue.cancel(reading.state, pairs, only=only)

    def cancelling(self, numbers: Sequence[str], cluster: str, *, remote: bool) -> Command:
        """The call that ends jobs."""
        return self._queue.cancelling(numbers)

    def used(self, reading: Reading, accounts: Sequence[str], since: date | timedelta) -> frozenset[str]:
        """Which of these accounts were charged. Raises :class:`ReadError`."""
        today = self.today()
        first = since if isinstance(since, date) else today - since - timedelta(days=1)
        return Records(self.runner, self.settings.longest_job_days).charged(accounts, first, today + timedelta(days=2))

    # ------------------------------------------------------------------ what is changed

    def commands(self, step: Sequence[Change], cluster: str) -> list[Command]:
        """One step of a plan as mam-* takes it."""
        return self._writer.commands(step)

    def verdict(self, result: Result) -> Verdict:
        """What an answer means."""
        return said.verdict(result)

    # ------------------------------------------------------------------ for the operator

    def ping(self) -> str:
        """The version of the client, and that the server answers. Raises :class:`ReadError`."""
        result = self.runner.run("mam-list-users", "-V")
        require(result)
        if not (version := result.said):
            raise ReadError(f"{result.command}: no version")
        return version

    def findings(self, label: str, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
        """Programs, rights, names, the queue."""
        return doctor.findings(self, label, offerings)

    def usage(self, config: Config) -> MamSource:
        """Its usage records."""
        return MamSource(self.runner, self.settings, self.today)
