"""Bases, users and commands for homes: real files, real users, real helpers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.providers.host import Account, make, write
from tests import unix
from tests.fakes import in_front, log, program
from tests.providers.homes.host import account


@pytest.fixture
def bin_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH, with a docker and an ssh that run the command here."""
    path = tmp_path / "bin"
    program(path, "docker", log(tmp_path / "calls"), "shift 3", 'exec "$@"')
    program(path, "ssh", log(tmp_path / "calls"), "shift 4", 'exec sh -c "$*"')
    monkeypatch.setenv("PATH", in_front(path))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def skel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "skel"
    (path / ".config/deep").mkdir(parents=True)
    (path / ".bashrc").write_text("umask 077\n")
    (path / ".config/deep/x").write_text("x" * 3_000_000)
    (path / ".config").chmod(0o755)
    # a file of the test's own: a fault in the code must not reach the machine's
    (tmp_path / "outside").write_text("root's\n")
    (path / "link").symlink_to(tmp_path / "outside")
    program(path, "setuid").chmod(0o6755)
    os.mkfifo(path / "pipe")
    monkeypatch.setattr(make, "SKELETON", path)
    return path


@pytest.fixture
def no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "HELPERS", ("/nonexistent/mkhomedir_helper",))


@pytest.fixture
def user(base: Path) -> Iterator[Account]:
    """A user of the host whose home does not exist yet."""
    name = f"rec{os.getpid()}.t"
    unix.add(name, "--badname", "-U", "-d", str(base / name))
    try:
        yield account(base / name, name)
    finally:
        unix.remove(name)
