"""Whether jobs have ended: what slurmctld lists, and what the accounting database knows of it.

slurmctld tells slurmdbd of an end when it can, which may be seconds after squeue shows the job no more; a job whose
end it never told runs for ever in the accounts. squeue(1) lists jobs that ended for MinJobAge, five minutes mostly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import dialect, jobs
from reconciler.providers.slurm.said import advice
from reconciler.state.names import fold, some

#: longer than any MinJobAge, which is 18 hours at most
_SINCE = "now-2days"
_NO_END = ("", "Unknown")
_NOT_BEGUN = ("PENDING", "REQUEUED")
#: what to do about jobs that never end
MEND = "sacctmgr show runawayjobs shows them, and mends them when it is answered with y"


@dataclass(frozen=True)
class Jobs:
    """The jobs of one cluster; ``zone`` is that of the times asked for and told."""

    runner: CommandRunner
    cluster: str | None
    zone: str

    def unended(self, accounts: Collection[str], since: datetime) -> dict[str, list[str]]:
        """Jobs of these accounts of which the database knows no end, by account.

        What runs, or ended since a moment, must be there; of what ended earlier it may have been purged. Raises
        :class:`ReadError`.
        """
        ran = self._listed(accounts, since)
        chosen = ("-A", ",".join(sorted(accounts)), "-o", "JobIDRaw,Account,State,End")
        ended: set[str] = set()
        left: dict[str, set[str]] = {}
        for job, account, state, end in self.rows("sacct", "-aXDPn", "-S", _SINCE, *chosen, columns=4):
            if end not in _NO_END:
                ended.add(job)
            elif state not in _NOT_BEGUN:
                left.setdefault(fold(account), set()).add(job)
        for job, account in ran.items():
            if job not in ended:
                left.setdefault(account, set()).add(job)
        return {account: sorted(numbers) for account, numbers in left.items() if account in accounts}

    def _listed(self, accounts: Collection[str], since: datetime) -> dict[str, str]:
        """Jobs of these accounts that ran since a moment, as far as slurmctld knows them: account by number."""
        chosen = ("-A", ",".join(sorted(accounts)), "-o", "%A|%a|%M|%e")
        found = self.rows("squeue", "-h", "-a", "-t", "all", *chosen, columns=4)
        first = since.timestamp()
        return {
            job: fold(account)
            for job, account, ran, end in found
            if any(c in "123456789" for c in ran) and epoch(end, self.zone, first) >= first
        }

    def await_ends(
        self,
        accounts: Collection[str],
        since: datetime,
        *,
        stop: Callable[[], str],
        patience: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Mapping[str, str]:
        """Wait until the database knows how all jobs of these accounts ended; by account, what it lacks by then.

        Raises :class:`ReadError`.
        """
        if not dialect.of(self.runner).jobs:
            return {}
        waited, pause = 0.0, 0.25
        while (left := self.unended(accounts, since)) and waited < patience and not stop():
            sleep(pause)
            waited, pause = waited + pause, min(2.0, pause * 1.5)
        return {account: _still(numbers) for account, numbers in left.items()}

    def known(self) -> frozenset[str]:
        """Numbers of jobs that slurmctld knows, also of those that ended just now. Raises :class:`ReadError`."""
        return frozenset(job for (job,) in self.rows("squeue", "-h", "-a", "-t", "all", "-o", "%A", columns=1))

    def runaway(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Jobs that run for the database, and that slurmctld does not know, by account and user.

        Raises :class:`ReadError`.
        """
        if not dialect.of(self.runner).jobs:
            return {}
        chosen = ("-aXDPn", "-S", "now-1hours", "-o", "JobIDRaw,Account,User,State,End")
        running = [
            (job, fold(account), fold(user))
            for job, account, user, state, end in self.rows("sacct", *chosen, columns=5)
            if end in _NO_END and state in ("RUNNING", "SUSPENDED")
        ]
        known = self.known() if running else frozenset()  # asked last: what began meanwhile is in it
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for job, account, user in running:
            if job not in known:
                found[account, user] = (*found.get((account, user), ()), job)
        return found

    def rows(self, program: str, *arguments: str, columns: int) -> list[list[str]]:
        """A table without header. Raises :class:`CommandError`, or :class:`ReadError` for what is none."""
        where = jobs.where(self.runner, self.cluster)
        environment = {"TZ": self.zone, "SLURM_TIME_FORMAT": "%s"}
        with self.runner.lines(program, *where, *arguments, environment=environment) as output:
            found = [line.split("|") for line in output if not line.startswith("CLUSTER: ")]
            if output.code != 0 or "error" in output.said.lower():
                hint = advice(output.said) or ("slurmctld may be down." if program == "squeue" else "")
                raise CommandError(f"{output.command}: exit code {output.code}: {output.said}", hint)
        for cells in found:
            if len(cells) != columns:
                raise ReadError(f"{output.command}: expected {columns} columns: {'|'.join(cells)[:200]!r}")
        return found


def epoch(text: str, zone: str, unknown: float | None = None) -> float:
    """A time as SLURM prints it, in seconds since 1970. Raises ``ValueError`` unless there is an ``unknown``."""
    if text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())
    except ValueError:
        if unknown is None:
            raise
        return unknown


def listed(numbers: Collection[str]) -> str:
    """Some of the job numbers, and how many more."""
    return some(sorted(numbers, key=lambda j: (len(j), j)))


def _still(numbers: Collection[str]) -> str:
    return (
        f"the accounting database knows no end of job {listed(numbers)}, so what was used is not known "
        "(sacctmgr show runawayjobs lists those whose end was never told, and can mend them)"
    )


def runs_for_slurmdbd(numbers: Sequence[str]) -> str:
    """Why nothing is removed under jobs that slurmdbd alone believes to run."""
    return (
        f"job {some(numbers)} runs for slurmdbd, which slurmctld does not know: slurmdbd removes nothing under it "
        "(sacctmgr show runawayjobs lists such jobs, and mends them when it is answered with y)"
    )
