"""Home directories as they are and as they should be: one scan of each base directory, then pure functions."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reconciler.config import BackendSettings
from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.host.kinds import homedir
from reconciler.providers.host.passwd import Account, in_process, place
from reconciler.providers.runner import CommandRunner
from reconciler.state.model import Obj, State
from reconciler.state.names import fold
from reconciler.state.values import UNMANAGED, Mode, Refused, Wanted

EntryKind = Literal["directory", "symlink", "other"]
_LETTERS: dict[str, EntryKind] = {"d": "directory", "l": "symlink"}
_FORMAT = r"%d %y %U %G %m\0%H\0%f\0"
# of users that are no people: nothing is ever made there
_SYSTEM = frozenset({"nonexistent", "dev", "proc", "sys", "run", "etc", "usr", "bin", "sbin", "lib", "boot"})
_BASES = 500  # of one find
_HINT = "Is its file system mounted? A base directory is never made, and no home is planned without it."


@dataclass(frozen=True)
class Entry:
    """What lies at the path of a home; ``mode`` has the permission bits alone."""

    kind: EntryKind
    uid: int
    gid: int
    mode: int


def home_path(account: Account, base: str | None) -> str:
    """Where the home of an account is: below ``homedir_base_path`` if set, else where passwd says."""
    return f"{base.rstrip('/')}/{account.name}" if base else account.home.rstrip("/") or account.home


def path_problem(path: str) -> str:
    """Why a path cannot be a home directory, empty when it can."""
    parts = path.split("/")
    if not path.startswith("/") or not path.isprintable():
        return f"{path!r} is no absolute path"
    if path == "/" or not all(parts[1:]) or not {".", ".."}.isdisjoint(parts):
        return f"{path} cannot be a home directory"
    if len(parts) == 2 or parts[1] in _SYSTEM:
        return f"{path} is no place for homes"
    return ""


def homedirs(runner: CommandRunner, paths: Iterable[str]) -> dict[str, Entry]:
    """What lies at these paths: one scan for each distinct parent directory.

    Raises :class:`ReadError` for a base directory that is missing or unreadable: its file system may be
    unmounted, and that must not look like homes that are missing.
    """
    bases: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        if not path_problem(path):
            base, _, name = path.rpartition("/")
            bases[base].add(name)
    if not bases:
        return {}
    rows = _local(bases) if in_process(runner) else _remote(runner, bases)
    return {f"{base}/{name}": entry for base, name, entry in rows}


def scanned(runner: CommandRunner, paths: Iterable[str]) -> tuple[dict[str, Entry], dict[str, str]]:
    """What lies at these paths, and base directories that could not be read, with the reason."""
    listed = list(paths)
    try:
        return homedirs(runner, listed), {}
    except ReconcileError:
        pass  # one of them spoils the scan of all, so each is looked at alone
    entries: dict[str, Entry] = {}
    unreadable: dict[str, str] = {}
    by_base: dict[str, list[str]] = defaultdict(list)
    for path in listed:
        by_base[path.rpartition("/")[0]].append(path)
    for base, here in by_base.items():
        try:
            entries |= homedirs(runner, here)
        except ReconcileError as error:
            unreadable[base] = str(error)
    return entries, unreadable


def _local(bases: Mapping[str, set[str]]) -> Iterator[tuple[str, str, Entry]]:
    for base, names in sorted(bases.items()):
        try:
            with os.scandir(f"{base}/") as entries:
                listed = [e for e in entries if e.name in names]
            for item in listed:
                try:
                    found = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # went away while looking
                yield base, item.name, entry_of(found)
        except OSError as error:
            raise ReadError(f"{base or '/'}: home directories cannot be read: {error.strerror}", _HINT) from None


def entry_of(found: os.stat_result) -> Entry:
    """A stat result as an entry."""
    kind: EntryKind = "other"
    if stat.S_ISDIR(found.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(found.st_mode):
        kind = "symlink"
    return Entry(kind, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def _remote(runner: CommandRunner, bases: Mapping[str, set[str]]) -> Iterator[tuple[str, str, Entry]]:
    listed = sorted(bases)
    for start in range(0, len(listed), _BASES):
        # "/home/." is the directory behind the name, should /home be a symlink of the site
        some = {f"{base}/.": base for base in listed[start : start + _BASES]}
        result = runner.run("find", *some, "-maxdepth", "1", "-ignore_readdir_race", "-printf", _FORMAT)
        cells = result.stdout.split("\0")
        where = f"{', '.join(b or '/' for b in some.values())} on {place(runner)}"
        if result.code != 0:
            said = " ".join(result.stderr.split())
            raise ReadError(f"{where}: home directories cannot be read: exit code {result.code}: {said}", _HINT)
        if cells.pop() or len(cells) % 3:
            raise ReadError(f"{where}: find was cut short or answered something else: {result.said[:200]!r}")
        seen: set[str] = set()
        for head, point, name in zip(cells[::3], cells[1::3], cells[2::3], strict=True):
            depth, entry = _entry(head)
            if point not in some:
                raise ReadError(f"{where}: find answered about {point!r}")
            if depth == "0":
                seen |= {point} if entry.kind == "directory" else set()
            elif name in bases[some[point]]:
                yield some[point], name, entry
        if missing := [some[point] or "/" for point in some if point not in seen]:
            raise ReadError(f"{', '.join(missing)} on {place(runner)}: no directory", _HINT)


def _entry(head: str) -> tuple[str, Entry]:
    try:
        depth, letter, uid, gid, mode = head.split(" ")
        return depth, Entry(_LETTERS.get(letter, "other"), int(uid), int(gid), int(mode, 8))
    except ValueError:
        raise ReadError(f"find: not what was asked for: {head!r}") from None


def actual(accounts: Mapping[str, Account], entries: Mapping[str, Entry], base: str | None) -> State:
    """The homes that are there. What is no directory says so instead of a mode."""
    state: State = {}
    for user, account in accounts.items():
        path = home_path(account, base)
        entry = entries.get(path)
        if entry is not None:
            shown = {"directory": f"{entry.mode:04o}", "symlink": "symlink", "other": "no directory"}[entry.kind]
            state[homedir(user)] = Obj({"path": path, "owner": _owner(entry, account), "mode": shown})
    return state


def _owner(entry: Entry, account: Account) -> str:
    """As the host writes it, which knows the account by no other name."""
    return account.name if entry.uid == account.uid else f"uid {entry.uid}"


def desired(
    users: Iterable[str],
    accounts: Mapping[str, Account],
    entries: Mapping[str, Entry],
    settings: BackendSettings,
    *,
    reason: str = "",
    offerings: frozenset[str] = frozenset(),
) -> State:
    """The homes that should be; a user that the host does not know has none.

    ``entries`` is what is there: a symlink is the site's arrangement, and what belongs to somebody else or
    is no directory is refused, by name, and not touched.
    """
    state: State = {}
    for user in sorted({fold(u) for u in users}):
        account = accounts.get(user)
        if account is None:
            continue
        path = home_path(account, settings.homedir_base_path)
        state[homedir(user)] = Obj(_wanted(account, path, entries.get(path), settings.home_mode), reason, offerings)
    return state


def _wanted(account: Account, path: str, entry: Entry | None, mode: int) -> dict[str, Wanted]:
    values: dict[str, Wanted] = {"path": path, "owner": account.name, "mode": Mode(f"{mode:04o}")}
    if problem := path_problem(path):
        values["path"] = Refused(path, problem)
    if entry is None:
        return values
    if entry.kind == "symlink":
        return {**values, "owner": UNMANAGED, "mode": UNMANAGED}
    if entry.kind == "other":
        why = f"{path} is there and is no directory; it is left alone"
        return {**values, "owner": UNMANAGED, "mode": Refused(f"{mode:04o}", why)}
    if entry.uid != account.uid:
        why = f"{path} belongs to {_owner(entry, account)}; nothing is chowned that somebody else owns"
        return {**values, "owner": Refused(account.name, why), "mode": UNMANAGED}
    return values
