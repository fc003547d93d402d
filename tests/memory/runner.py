"""Commands that run on a cluster in memory, as far as faults let them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from reconciler.config import Runner
from reconciler.errors import CommandError
from reconciler.providers.runner import CommandRunner, Lines, Result
from tests.memory.cluster import MemoryCluster
from tests.memory.faults import Fault, Faults
from tests.memory.homes import HELPER


class MemoryRunner(CommandRunner):
    """Runs commands on a cluster in memory, as far as the faults let it."""

    def __init__(self, cluster: MemoryCluster, faults: Faults | None = None) -> None:
        # side by side is left out, so that a fault always strikes the same command
        # elsewhere: this host's own users and homes are none of it
        super().__init__(Runner(slurm_bin_path="/memory", ssh_host="memory", parallel=1))
        self.cluster = cluster
        self.faults = faults or Faults()

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """Answer one command. Raises :class:`CommandError` where its answer is lost."""
        return struck(self.faults, program, arguments, lambda: self._answered(program, arguments, stdin))

    def _answered(self, program: str, arguments: tuple[str, ...], stdin: str | None) -> Result:
        code, text = self.cluster.answer(program, arguments, stdin)
        return Result((program, *arguments), code, text, "")

    @contextmanager
    def lines(self, program: str, *arguments: str, environment: Mapping[str, str]) -> Iterator[Lines]:
        """The same, line by line; times are in UTC whatever the environment says."""
        yield Printed(self.run(program, *arguments))


class Printed(Lines):
    """The output of a command that has ended."""

    def __init__(self, result: Result) -> None:
        self.command = result.command
        self._result = result

    def __iter__(self) -> Iterator[str]:
        yield from self._result.stdout.splitlines()

    @property
    def code(self) -> int:
        """The exit code."""
        return self._result.code

    @property
    def said(self) -> str:
        """What it put on standard error."""
        return self._result.stderr


def struck(faults: Faults, program: str, arguments: tuple[str, ...], work: Callable[[], Result]) -> Result:
    """A command under faults: writes are counted, and in an outage reads fail as well."""

    def problem(fault: Fault) -> Result:
        if fault is Fault.LOST:
            raise CommandError(f"{program}: no answer after 120 s, stopped")
        down = "slurm_persist_conn_open: failed to open persistent connection: Connection refused"
        said = down if fault is Fault.OUTAGE else "Problem with requests: Unspecified error"
        return Result((program, *arguments), 1, "", f"sacctmgr: error: {said}")

    if program in ("scancel", HELPER) or "-i" in arguments or "-exec" in arguments:
        return faults.write(work, problem)
    return problem(Fault.OUTAGE) if faults.down else work()
