"""Making homes and correcting their modes. Nothing is deleted, no symlink followed, nothing foreign chowned.

Every function gives an empty text when all is well, else the problem as a sentence for the operator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import CommandError
from reconciler.providers.host.make import make
from reconciler.providers.host.passwd import Account, here, in_process, place
from reconciler.providers.host.read import Entry, entry_of, home_path, path_problem
from reconciler.providers.host.trust import Untrusted, open_trusted, untrusted
from reconciler.providers.runner import CommandRunner
from reconciler.state.names import name_problem

HELPERS = ("/usr/sbin/mkhomedir_helper", "/sbin/mkhomedir_helper")
_LETTERS = {"d": 0o040000, "l": 0o120000}


@dataclass(frozen=True)
class _Found:
    """What is there before a home is made: the entry at its path, and the helper if there is one."""

    entry: Entry | None
    helper: str


def create(runner: CommandRunner, account: Account, path: str, mode: int) -> str:
    """Make a home, by ``mkhomedir_helper`` where passwd names this path, else by ourselves as root."""
    try:
        if problem := name_problem(account.name) or path_problem(path):
            return f"home of {account.name!r}: {problem}"
        found = _look(runner, path)
        if found.entry is not None:
            return _judge(path, found.entry, account)  # somebody was faster
        # the helper takes no path: it asks passwd
        if found.helper and path == home_path(account, None) and (os.geteuid() == 0 or not in_process(runner)):
            return _by_helper(runner, found.helper, account, path, mode)
        if in_process(runner) and os.geteuid() == 0:
            return _by_ourselves(account, path, mode)
    except (Untrusted, CommandError, OSError) as error:
        return f"{path}: not made: {_said(error)}"
    if here(runner):
        return f"{path}: not made: that needs root on this host, or reconcile.runner.sudo and mkhomedir_helper"
    missing = "passwd names another home" if found.helper else "there is no mkhomedir_helper"
    return f"{path}: not made: {missing} on {place(runner)}; make it there by hand, or run reconcile there as root"


def _look(runner: CommandRunner, path: str) -> _Found:
    """The world around a path. Raises :class:`Untrusted` where the base is missing or not root's alone.

    The helper would make a missing base, and is content with anything that lies at the path.
    """
    if not in_process(runner):
        return _look_remotely(runner, path)
    helper = next((h for h in HELPERS if os.access(h, os.X_OK)), "")
    with _base(path) as (base, name):
        return _Found(_entry(base, name), helper)


@contextmanager
def _base(path: str) -> Iterator[tuple[int, str]]:
    parent, _, name = path.rpartition("/")
    base = open_trusted(parent)
    try:
        yield base, name
    finally:
        os.close(base)


def _entry(base: int, name: str) -> Entry | None:
    try:
        return entry_of(os.stat(name, dir_fd=base, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _look_remotely(runner: CommandRunner, path: str) -> _Found:
    """The same with one ``find``: every component by its name, and what is behind that name."""
    parents = [str(p) for p in reversed(Path(path).parents)]
    asked = [*(f"{p}/." if p != "/" else "/" for p in parents), *parents[1:], path, *HELPERS]
    result = runner.run("find", *asked, "-maxdepth", "0", "-printf", r"%y %U %G %m %p\0")
    rows: dict[str, tuple[str, int, int, int]] = {}
    for row in result.stdout.split("\0")[:-1]:
        cells = row.split(" ", 4)
        try:
            rows[cells[4]] = (cells[0], int(cells[1]), int(cells[2]), int(cells[3], 8))
        except (ValueError, IndexError):
            raise Untrusted(f"find on {place(runner)} answered {row!r}") from None
    for part in asked[: 2 * len(parents) - 1]:
        if part not in rows:
            said = " ".join(result.stderr.split()) or "not found"
            raise Untrusted(f"{part.removesuffix('/.')} on {place(runner)}: {said}")
        letter, uid, _, bits = rows[part]
        if problem := untrusted(uid, _LETTERS.get(letter, 0) | bits):
            raise Untrusted(f"{part.removesuffix('/.')} on {place(runner)} {problem}")
    helper = next((h for h in HELPERS if h in rows), "")
    if path not in rows:
        return _Found(None, helper)
    letter, uid, gid, bits = rows[path]
    kind = {"d": "directory", "l": "symlink"}.get(letter, "other")
    return _Found(Entry(kind, uid, gid, bits), helper)  # type: ignore[arg-type]  # the three words of a kind


def _judge(path: str, entry: Entry | None, account: Account) -> str:
    """What to say of what lies at the path now."""
    if entry is None:
        return f"{path}: nothing is there"
    if entry.kind != "directory":
        what = "a symlink" if entry.kind == "symlink" else "something that is no directory"
        return f"{path}: {what} is there; it is left alone"
    if entry.uid != account.uid:
        return f"{path}: a directory of uid {entry.uid} (mode {entry.mode:04o}) is there; it is left alone"
    return ""


def _by_helper(runner: CommandRunner, helper: str, account: Account, path: str, mode: int) -> str:
    result = runner.run(helper, account.name, f"{0o777 & ~mode:04o}")
    problem = _judge(path, _look(runner, path).entry, account)
    if result.code == 0:
        return problem
    now = problem or f"{path} is there, maybe incomplete"
    return f"{result.command}: exit code {result.code}: {result.said}; {now}"


def _by_ourselves(account: Account, path: str, mode: int) -> str:
    with _base(path) as (base, name):
        try:
            make(base, name, account, mode)
        except OSError as error:
            entry = _entry(base, name)
            now = "no home is there yet" if entry is None else _judge(path, entry, account) or "a home is there"
            return f"{path}: not finished: {_said(error)}; {now.removeprefix(f'{path}: ')}"
    return ""


def correct_mode(runner: CommandRunner, account: Account, path: str, mode: int) -> str:
    """Give a home another mode, if it still is a directory of this account."""
    try:
        if problem := path_problem(path):
            return problem
        return (_chmod if in_process(runner) else _chmod_remotely)(runner, account, path, mode)
    except (Untrusted, CommandError, OSError) as error:
        return f"{path}: mode not changed: {_said(error)}"


def _said(error: Exception) -> str:
    if isinstance(error, CommandError):
        return error.message
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _chmod(runner: CommandRunner, account: Account, path: str, mode: int) -> str:
    with _base(path) as (base, name):
        home = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=base)
        try:
            # the descriptor's own owner, so that nothing can be exchanged in between
            if problem := _judge(path, entry_of(os.fstat(home)), account):
                return problem
            os.fchmod(home, mode)
        finally:
            os.close(home)
    return ""


def _chmod_remotely(runner: CommandRunner, account: Account, path: str, mode: int) -> str:
    # below a base that is root's alone, nobody can exchange the directory between find's look and chmod
    if problem := _judge(path, _look(runner, path).entry, account):
        return problem
    tests = ("-maxdepth", "0", "-type", "d", "-uid", str(account.uid))
    result = runner.run("find", path, *tests, "-exec", "chmod", f"{mode:04o}", "{}", ";", "-printf", "done")
    if result.code == 0 and result.stdout == "done":
        return ""
    return f"{path}: mode not changed: {result.said or f'it is no directory of {account.name} any more'}"
