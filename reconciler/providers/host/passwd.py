"""Unix accounts: in this process where the cluster is this host, else by ``getent passwd`` of many names."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.state.names import fold, name_problem

_NAMES = 1000
_CHARACTERS = 100_000  # ssh carries all names in one argument, and the kernel ends that at 128 KiB
_COLUMNS = 7


@dataclass(frozen=True)
class Account:
    """A line of the host's passwd database; ``name`` is spelled as the host does."""

    name: str
    uid: int
    gid: int
    home: str


def here(runner: CommandRunner) -> bool:
    """Whether commands run on this very host."""
    return not runner.settings.container and not runner.settings.ssh_host


def in_process(runner: CommandRunner) -> bool:
    """Whether this process sees the host's files with all the rights that a command would have."""
    return here(runner) and (os.geteuid() == 0 or not runner.settings.sudo)


def place(runner: CommandRunner) -> str:
    """The host's name in messages."""
    settings = runner.settings
    return settings.ssh_host or (f"container {settings.container}" if settings.container else "this host")


def accounts(runner: CommandRunner, names: Iterable[str]) -> dict[str, Account]:
    """The accounts of these names, by folded name. A name that the host does not know is absent.

    Raises :class:`ReadError` when the host cannot be asked.
    """
    asked = sorted({n for n in names if name_problem(n) is None})
    wanted = {fold(n) for n in asked}
    found: dict[str, Account] = {}
    for account in _local(asked) if here(runner) else _remote(runner, asked):
        key = fold(account.name)
        # getent reads a number as a uid and answers with somebody else; of two spellings SLURM's own wins
        if key in wanted and (key not in found or account.name == key):
            found[key] = account
    return found


def _local(names: Sequence[str]) -> Iterator[Account]:
    for name in names:
        try:
            row = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Account(row.pw_name, row.pw_uid, row.pw_gid, row.pw_dir)


def _remote(runner: CommandRunner, names: Sequence[str]) -> Iterator[Account]:
    for some in _chunks(names):
        result = runner.run("getent", "passwd", *some)
        # 2: one or more of the names were not found
        if result.code not in (0, 2):
            raise CommandError(f"getent passwd: exit code {result.code}: {result.said}")
        for line in result.stdout.splitlines():
            cells = line.split(":")
            if len(cells) != _COLUMNS or not (cells[2].isdecimal() and cells[3].isdecimal()):
                raise ReadError(f"getent passwd: not a line of a passwd database: {line!r}")
            yield Account(cells[0], int(cells[2]), int(cells[3]), cells[5])


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for name in names:
        if chunk and (len(chunk) == _NAMES or size + len(name) > _CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(name)
        size += len(name) + 1
    if chunk:
        yield chunk
