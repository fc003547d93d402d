"""One way to run commands: argv lists, no shell, a time limit, and everything kept for messages."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import IO

from reconciler.config import DIRECTORY_KEY, Runner, Veil
from reconciler.config.secrets import VARIABLES
from reconciler.errors import CommandError

# texts must come back as UTF-8 whatever the caller's locale
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
#: what any command needs of our own environment; all else might change what it does
PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH",
        "SSH_AUTH_SOCK", "KRB5CCNAME", "XDG_RUNTIME_DIR",
        "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
    }
)  # fmt: skip
_PLACE = f"backend_settings.{DIRECTORY_KEY}"
# what needs no rights, so that sudoers need not allow it
_ANYBODYS = frozenset({"getent", "id", "munge", "unmunge"})


@dataclass(frozen=True)
class Programs:
    """A product's own programs, which lie in the directory that the configuration names; all others are found as usual.

    ``variables``: what they need of our environment, where ``*`` stands for anything; ``hanging``: why one may not
    answer, for whoever looks for the cause; ``place``: the setting that says where they lie.
    """

    names: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    hanging: str = ""
    place: str = ""

    def __or__(self, other: Programs) -> Programs:
        """Those of both."""
        names, variables = self.names | other.names, self.variables | other.variables
        return Programs(names, variables, self.hanging or other.hanging, self.place or other.place)


@dataclass(frozen=True)
class Result:
    """What a command did. Output is text; bytes that are no UTF-8 are kept as surrogates."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    veil: Veil = field(default_factory=Veil, repr=False, compare=False)

    @property
    def said(self) -> str:
        """Both outputs in one line; SLURM's tools put errors on either."""
        return self.veil.text(" ".join(f"{self.stderr} {self.stdout}".split()))

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.argv)


@dataclass
class CommandRunner:
    """Runs a cluster's commands. Counts them, so that "a constant number" can be shown."""

    settings: Runner
    started: int = 0
    veil: Veil = field(default_factory=Veil)  # what no command's words may hold
    programs: Programs = Programs()  # of the products behind it, as their clusters are opened
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, str] = field(default_factory=dict)

    def argv(self, program: str, *arguments: str) -> list[str]:
        """The argv that reaches the cluster, with the configured prefix."""
        return self._reaching(self._command(program, *arguments))

    def _command(self, program: str, *arguments: str) -> list[str]:
        sudo = ["sudo", "-n"] if self.settings.sudo and program not in _ANYBODYS else []
        return [*sudo, self.path(program), *arguments]

    def _reaching(self, command: list[str]) -> list[str]:
        settings = self.settings
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
        process = self._start(argv, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        out, err = self._communicate(process, argv, stdin)
        return Result(
            tuple(argv), process.returncode, _text(self.veil.body(out)), self.veil.text(_text(err)), self.veil
        )

    @contextmanager
    def lines(self, program: str, *arguments: str, environment: Mapping[str, str]) -> Iterator[Lines]:
        """Run a command whose output may be larger than memory should be, and hand it out line by line.

        Raises :class:`CommandError` if it cannot start or says nothing for as long as the time limit. Variables
        of the ``environment`` reach the other side of docker and ssh; sudo drops those it does not know.
        """
        # before sudo, which keeps TZ: who may run env as root may run everything
        remote = self.settings.container or self.settings.ssh_host
        assigned = ["env", *(f"{k}={v}" for k, v in environment.items())] if remote else []
        argv = self._reaching([*assigned, *self._command(program, *arguments)])
        with tempfile.TemporaryFile() as said:
            process = self._start(argv, stderr=said, environment=environment)
            output = Lines(process, argv, self.settings.timeout, said, self.veil, self.programs.hanging)
            try:
                yield output
            finally:
                if process.poll() is None:
                    _kill_group(process)

    def path(self, program: str) -> str:
        """What a program is started by: its path, or its name."""
        directory = self.settings.directory if program in self.programs.names else ""
        return f"{directory.rstrip('/')}/{program}" if directory else program

    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.PIPE,
        environment: Mapping[str, str] = _ENVIRONMENT,
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            self.started += 1
        try:
            return subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**self._environment(), **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(
                f"{argv[0]}: cannot be started: {error.strerror}",
                f"Is it installed on this host? Set {self.programs.place or _PLACE}, or reconcile.runner.",
            ) from None

    def _environment(self) -> dict[str, str]:
        """What every command gets: a list of what it may need, and nothing of ours that is secret."""
        wanted = PASSED.union(self.settings.pass_environment) - VARIABLES
        passed = {k: v for k, v in os.environ.items() if k in wanted or self._own(k)}
        return passed | _ENVIRONMENT

    def _own(self, variable: str) -> bool:
        return any(fnmatchcase(variable, pattern) for pattern in self.programs.variables)

    def known(self, name: str, learn: Callable[[], str]) -> str:
        """What is asked once and stays so, like the name of this host's cluster; what is not learnt is asked again."""
        if not self._known.get(name):
            self._known[name] = learn()
        return self._known[name]

    def _communicate(
        self, process: subprocess.Popen[bytes], argv: Sequence[str], stdin: str | None
    ) -> tuple[bytes, bytes]:
        data = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
        try:
            return process.communicate(data, timeout=self.settings.timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise _too_slow(shlex.join(argv), self.settings.timeout, self.programs.hanging) from None
        except BaseException:
            _kill_group(process)
            raise


class Lines:
    """The output of a running command, line by line. After the last one :attr:`code` and :attr:`said` are known."""

    _CHUNK = 1 << 20

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: Sequence[str],
        timeout: int,
        errors: IO[bytes],
        veil: Veil,
        hanging: str = "",
    ) -> None:
        self.command = shlex.join(argv)
        self._process = process
        self._timeout = timeout
        self._errors = errors
        self._veil = veil
        self._hanging = hanging

    def __iter__(self) -> Iterator[str]:
        """All lines without their ends. Raises :class:`CommandError` when the last one is cut or nothing comes."""
        pipe = self._process.stdout
        if pipe is None:
            raise CommandError(f"{self.command}: started without a pipe")
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(self._timeout):
                    _kill_group(self._process)
                    raise _too_slow(self.command, self._timeout, self._hanging)
                chunk = os.read(pipe.fileno(), self._CHUNK)
                if not chunk:
                    break
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    yield from _text(self._veil.body(whole)).split("\n")
        self._finish()
        if rest and self.code == 0:
            raise CommandError(f"{self.command}: its output ends within a line: {self._veil.text(_text(rest))[:200]!r}")

    def _finish(self) -> None:
        try:
            self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            _kill_group(self._process)
            raise _too_slow(self.command, self._timeout, self._hanging) from None

    @property
    def code(self) -> int:
        """The exit code."""
        return int(self._process.returncode)

    @property
    def said(self) -> str:
        """What it put on standard error, in one line."""
        self._errors.seek(0)
        return self._veil.text(" ".join(_text(self._errors.read(10_000)).split()))


def _too_slow(command: str, timeout: int, hanging: str) -> CommandError:
    hint = f"{hanging}; the limit is reconcile.runner.timeout." if hanging else "The limit is reconcile.runner.timeout."
    return CommandError(f"{command}: no answer after {timeout} s, stopped", hint)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
