"""One SLURM cluster, spoken to by commands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta

from reconciler.config import Config, Offering
from reconciler.errors import ReadError
from reconciler.providers import getent
from reconciler.providers.base import Bulk, Feature, Jobs, Reading, Stuck, Verdict
from reconciler.providers.command import Command
from reconciler.providers.finding import Finding
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm import counters, dialect, doctor, emulator, ends, jobs, kinds, load, said, write
from reconciler.providers.slurm.read import SlurmReader
from reconciler.providers.slurm.usage import SacctSource
from reconciler.state.diff import Change
from reconciler.state.kinds import Role, role_of
from reconciler.state.model import State


class SlurmCluster:
    """One cluster; ``name`` as configured, None where it is not."""

    def __init__(self, runner: CommandRunner, name: str | None, zone: str, emulator_url: str = "") -> None:
        self.runner = dialect.introduced(runner)
        self._dialect = dialect.of(runner)
        self.reader = SlurmReader(runner, name)
        self._zone = zone
        self._emulator_url = emulator_url

    @property
    def name(self) -> str:
        """What the configuration calls it; empty where it is not named."""
        return self.reader.cluster or ""

    @property
    def features(self) -> frozenset[Feature]:
        """All, where it is no simulation."""
        return self._dialect.features

    def read(self) -> Reading:
        """Everything, checked. Raises :class:`ReadError`."""
        reading = self.reader.read()
        if self._emulator_url:
            reading.state.update(emulator.read(self.runner, self._emulator_url))
        return reading

    def told_name(self) -> str:
        """What slurmdbd calls it. Raises :class:`ReadError`."""
        return self.reader.name()

    def remote(self, cluster: str) -> bool:
        """Whether slurm.conf is another cluster's."""
        return bool(jobs.where(self.runner, cluster))

    def keeps_case(self) -> bool:
        """Whether slurmdbd keeps the case of users' names. Raises :class:`ReadError`."""
        return self.reader.keeps_case()

    # ------------------------------------------------------------------ what runs and ran

    def jobs(self, reading: Reading) -> Jobs:
        """Running and pending jobs, by squeue. Raises :class:`ReadError`."""
        return jobs.active_jobs(self.runner, reading.cluster, reading.members)

    def stuck(self, reading: Reading) -> Stuck:
        """Jobs that run for slurmdbd alone; what slurmdbd refuses for their sake is said then as well."""
        try:
            found = ends.Jobs(self.runner, reading.cluster, self._zone).runaway()
        except ReadError:
            found = {}
        return Stuck(found, ends.runs_for_slurmdbd)

    def used(self, reading: Reading, accounts: Sequence[str], since: date | timedelta) -> frozenset[str]:
        """Which of these accounts ran jobs, by sacct. Raises :class:`ReadError`."""
        return jobs.used_accounts(self.runner, reading.cluster, accounts, since) if accounts else frozenset()

    def consumed(self) -> Mapping[str, Mapping[str, int]]:
        """TRES-minutes that count against limits at this moment, by slurmctld. Raises :class:`ReadError`."""
        return counters.used(self.runner)

    def known_users(self, names: Sequence[str]) -> frozenset[str]:
        """Which names the head node has. Raises :class:`ReadError`."""
        return getent.known_users(self.runner, names)

    def cancel(self, reading: Reading, pairs: Collection[tuple[str, str]], only: Collection[str] | None = None) -> None:
        """Cancel jobs and wait for their end. Raises :class:`CommandError`."""
        jobs.cancel(self.runner, reading.cluster, reading.members, pairs, only=only)

    # ------------------------------------------------------------------ what is changed

    @property
    def width(self) -> int:
        """How many commands may run side by side."""
        return self.runner.settings.parallel if self._dialect.parallel else 1

    def commands(self, step: Sequence[Change], cluster: str) -> list[Command]:
        """One step of a plan as sacctmgr takes it."""
        settings = [c for c in step if c.address.kind == kinds.EMULATED.name]
        own = [c for c in step if c.address.kind != kinds.EMULATED.name]
        return [
            *write.commands(own, cluster, self.runner),
            *(emulator.command(c, self._emulator_url) for c in settings),
        ]

    def bulk(self, changes: Sequence[Change], actual: State, cluster: str) -> Bulk | None:
        """Many new accounts and associations as a single ``load``, once the QoS are there."""
        loads = [c for c in changes if load.loadable(c)]
        if len(loads) < load.LOAD_FROM or not self._dialect.loads:
            return None
        first = [c for c in changes if role_of(c.address) is Role.CATALOG]
        rest = [c for c in changes if not load.loadable(c) and role_of(c.address) is not Role.CATALOG]
        return Bulk(first, load.load_command(loads, actual, cluster), rest)

    def cancelling(self, numbers: Sequence[str], cluster: str, *, remote: bool) -> Command:
        """``scancel`` for the jobs of these numbers."""
        return Command("scancel", (*(("-M", cluster) if remote else ()), *numbers), ())

    def verdict(self, result: Result) -> Verdict:
        """What sacctmgr's answer means."""
        return said.verdict(result)

    # ------------------------------------------------------------------ for the operator

    def ping(self) -> str:
        """Which clusters slurmdbd knows. Raises :class:`ReadError`."""
        return self.reader.ping()

    def findings(self, label: str, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
        """Programs, daemons, rights, names."""
        return doctor.findings(self, label, offerings, config)

    def usage(self, config: Config) -> SacctSource:
        """The accounting database."""
        return SacctSource(self.runner, self.reader.cluster, config.timezone)
