"""One way to run commands: argv lists, no shell, a time limit, and everything kept for messages."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.config import Runner
from reconciler.errors import CommandError

# texts must come back as UTF-8 whatever the caller's locale; times and formats as the parsers expect
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
# what lies in SLURM's own directory; anything else is found as usual
_SLURM = frozenset({"sacctmgr", "sacct", "scancel", "scontrol", "squeue", "sshare", "sreport"})
_UNSET = ("SLURM_TIME_FORMAT", "SACCT_FORMAT", "SQUEUE_FORMAT", "SQUEUE_STATES", "SLURM_CLUSTERS")


@dataclass(frozen=True)
class Result:
    """What a command did. Output is text; bytes that are no UTF-8 are kept as surrogates."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Both outputs in one line; SLURM's tools put errors on either."""
        return " ".join(f"{self.stderr} {self.stdout}".split())

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.argv)


@dataclass
class CommandRunner:
    """Runs a cluster's commands. Counts them, so that "a constant number" can be shown."""

    settings: Runner
    started: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def argv(self, program: str, *arguments: str) -> list[str]:
        """The argv that reaches the cluster, with the configured prefix."""
        settings = self.settings
        directory = settings.slurm_bin_path if program in _SLURM else None
        path = f"{directory.rstrip('/')}/{program}" if directory else program
        command = [*(["sudo", "-n"] if settings.sudo else []), path, *arguments]
        if settings.container:
            return ["docker", "exec", "-i", settings.container, *command]
        if settings.ssh_host:
            # ssh hands one string to a shell over there, so it gets one that no shell can misread
            return ["ssh", "-o", "BatchMode=yes", settings.ssh_host, "--", shlex.join(command)]
        return command

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command to its end. Raises :class:`CommandError` if it cannot start or takes too long.

        An exit code other than 0 is the caller's to judge.
        """
        argv = self.argv(program, *arguments)
        environment = {k: v for k, v in os.environ.items() if k not in _UNSET} | _ENVIRONMENT
        with self._lock:
            self.started += 1
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(
                f"{argv[0]}: cannot be started: {error.strerror}",
                "Is it installed on this host? Set backend_settings.slurm_bin_path, or reconcile.runner.",
            ) from None
        out, err = self._communicate(process, argv, stdin)
        return Result(tuple(argv), process.returncode, _text(out), _text(err))

    def _communicate(
        self, process: subprocess.Popen[bytes], argv: Sequence[str], stdin: str | None
    ) -> tuple[bytes, bytes]:
        data = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
        try:
            return process.communicate(data, timeout=self.settings.timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise CommandError(
                f"{shlex.join(argv)}: no answer after {self.settings.timeout} s, stopped",
                "slurmdbd may hang or be overloaded; the limit is reconcile.runner.timeout.",
            ) from None
        except BaseException:
            _kill_group(process)
            raise


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def emulated(runner: CommandRunner, program: str = "sacctmgr") -> bool:
    """Whether the local program is the one of the slurm-emulator package, not SLURM's own binary.

    It puts programs of SLURM's names beside its Python, where PATH may find them by accident.
    """
    settings = runner.settings
    if settings.container or settings.ssh_host:
        return False
    named = f"{settings.slurm_bin_path}/{program}" if settings.slurm_bin_path else program
    found = shutil.which(named)
    if not found:
        return False
    try:
        with Path(found).open("rb") as file:
            head = file.read(2000)
    except OSError:
        return False
    return head.startswith(b"#!") and b"emulator" in head
