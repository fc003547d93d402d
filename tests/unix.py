"""Unix users of this host, made and removed while other test processes do the same."""

from __future__ import annotations

import fcntl
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "reconcile-test-passwd.lock"


@contextmanager
def passwd() -> Iterator[None]:
    """One process at a time: the lock of useradd and userdel can be lost among several, and a change with it."""
    with LOCK.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _unused() -> int:
    """A user id that nobody had lately: the job of somebody who is gone must not become the next one's."""
    while True:
        uid = 20000 + secrets.randbelow(30000)
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid


def add(name: str, *arguments: str) -> None:
    """Make a user without a home."""
    with passwd():
        subprocess.run(["useradd", "-M", "-u", str(_unused()), *arguments, name], check=True, capture_output=True)


def remove(name: str) -> None:
    """Remove a user, whatever still runs as them; that nobody has the name is well."""
    with passwd():
        subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
    try:
        pwd.getpwnam(name)
    except KeyError:
        return
    raise AssertionError(f"userdel left {name} on this host")
