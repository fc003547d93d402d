"""One apply at a time per cluster, by a file lock that names its holder."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import LockedError, ReconcileError

_PATIENCE = 0.3  # who only asks whether a lock is held has it for a moment


def private(directory: Path) -> None:
    """Make a directory for this user alone, with those above it as usual."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(exist_ok=True, mode=0o700)


def lock_file(state_dir: Path, cluster: str) -> Path:
    """The file of a cluster's lock."""
    return state_dir / "locks" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', cluster) or 'default'}.lock"


def alive(state_dir: Path, cluster: str) -> bool | None:
    """Whether somebody holds a lock; None where this user may not know."""
    try:
        handle = os.open(lock_file(state_dir, cluster), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def cluster_lock(state_dir: Path, cluster: str, *, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock of a cluster. Raises :class:`LockedError` with the holder's name, after some seconds of patience.

    The kernel drops the lock when its holder ends, however it ends, so a crashed one never blocks.
    """
    path = lock_file(state_dir, cluster)
    try:
        private(state_dir)
        private(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ReconcileError(
            f"{path}: the lock file cannot be opened: {error.strerror}",
            "Set reconcile.state_dir to a directory that this user may write.",
        ) from None
    try:
        _take(handle, time.monotonic() + patience)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{holder()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise locked(os.read(handle, 500).decode("utf-8", "replace")) from None
        time.sleep(0.05)


def locked(by: str) -> LockedError:
    """The error that names who holds the lock."""
    return LockedError(
        f"another apply is running: {by.strip() or 'an unnamed process'}",
        "Wait for it to end. The lock goes with its holder; no file needs to be removed.",
    )


def holder() -> str:
    """This process, for others."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} of {name} on {socket.gethostname()} since {since}"
