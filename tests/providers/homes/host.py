"""What these tests know of the host, and how they look at files."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest

from reconciler.config import BackendSettings, Runner
from reconciler.providers.host import Account, Entry, actual, desired, write
from reconciler.state.diff import Change, diff
from reconciler.state.model import Desired

#: marks of what makes homes of others
AS_ROOT = [
    pytest.mark.skipif(os.geteuid() != 0, reason="homes of other users are made by root"),
    pytest.mark.xdist_group("slurm-2"),  # useradd locks /etc/passwd, and the live tests make users as well
]
HELPER = next((h for h in write.HELPERS if Path(h).exists()), "")
DAEMON = pwd.getpwnam("daemon")
LOCAL = Runner()


def account(home: Path | str, name: str = "daemon") -> Account:
    row = pwd.getpwnam(name)
    return Account(row.pw_name, row.pw_uid, row.pw_gid, str(home))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def owner(path: Path) -> tuple[int, int]:
    return path.lstat().st_uid, path.lstat().st_gid


def tree(path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything below a directory, to show that nothing of it moved."""
    found = [path, *path.rglob("*")]
    return {str(p): (p.lstat().st_mode, *owner(p), p.lstat().st_ino) for p in found}


def changes(users: list[str], known: dict[str, Account], entries: dict[str, Entry], **settings: Any) -> list[Change]:
    wanted = desired(users, known, entries, BackendSettings(**settings))
    return diff(Desired(objects=wanted), actual(known, entries, settings.get("homedir_base_path")))
