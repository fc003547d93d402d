"""Homes and accounts of the host are read in bulk, and what cannot be read is an error."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from reconciler.config import Runner
from reconciler.errors import CommandError, ReadError
from reconciler.providers.host import Account, Entry, accounts, homedirs
from reconciler.providers.runner import CommandRunner
from tests.fakes import program
from tests.providers.homes.host import AS_ROOT, DAEMON, LOCAL, account

pytestmark = AS_ROOT


@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_accounts_are_found_by_folded_name(bin_path: Path, settings: dict[str, str]) -> None:
    runner = CommandRunner(Runner(**settings))
    found = accounts(runner, ["daemon", "nosuchuser", "nobody", "-x", "a b", str(DAEMON.pw_uid)])
    assert found == {n: account(pwd.getpwnam(n).pw_dir, n) for n in ("daemon", "nobody")}
    assert runner.started == (1 if settings else 0)


def test_spelling_of_the_host_is_kept_and_a_uid_is_no_name(bin_path: Path) -> None:
    program(bin_path, "getent", 'echo "Alice:x:7:8:,,é:/home/Alice:/bin/sh"; exit 2')
    runner = CommandRunner(Runner(container="c"))
    assert accounts(runner, ["alice"]) == {"alice": Account("Alice", 7, 8, "/home/Alice")}
    assert accounts(runner, ["7"]) == {}


def test_many_names_cost_few_calls_and_none_is_too_long(bin_path: Path) -> None:
    runner = CommandRunner(Runner(ssh_host="h"))
    assert set(accounts(runner, ["daemon", *(f"nosuch{i}" for i in range(1500))])) == {"daemon"}
    assert runner.started == 2
    assert set(accounts(runner, ["daemon", *(f"no{i}{'o' * 200}" for i in range(900))])) == {"daemon"}
    assert runner.started == 4


@pytest.mark.parametrize("body", ["exit 3", "echo Welcome to head1", "echo daemon:x:one:1:d:/:/bin/sh"])
def test_a_getent_that_fails_is_no_list_of_unknown_users(bin_path: Path, body: str) -> None:
    program(bin_path, "getent", body)
    with pytest.raises((ReadError, CommandError), match="getent passwd"):
        accounts(CommandRunner(Runner(container="c")), ["daemon"])


@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_one_scan_of_each_base(bin_path: Path, base: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    names = [f"u.{i}" for i in range(300)]
    for name in names:
        (base / name).mkdir()
        (base / name / "daemon").mkdir()
    os.chown(base / "u.7", 1, 2)
    (base / "u.7").chmod(0o2750)
    (base / "link").symlink_to(base / "u.7")
    (base / "dangling").symlink_to("nowhere")
    (base / "file with\nnewline").write_text("")
    (base / "é").mkdir()
    (base / "file").write_text("")
    (base / "file").chmod(0o4755)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "arranged").symlink_to(other)
    (other / "eve").mkdir(mode=0o711)
    runner = CommandRunner(Runner(**settings))
    paths = [*(f"{base}/{n}" for n in [*names, "link", "dangling", "é", "file", "missing", "../other/eve"])]
    found = homedirs(runner, [*paths, f"{tmp_path}/arranged/eve", "", "/", "relative", f"{base}/"])
    assert found[f"{base}/u.7"] == Entry("directory", 1, 2, 0o2750)
    assert found[f"{base}/file"] == Entry("other", 0, 0, 0o4755)
    assert found[f"{base}/link"].kind == found[f"{base}/dangling"].kind == "symlink"
    assert found[f"{tmp_path}/arranged/eve"] == Entry("directory", 0, 0, 0o711)
    assert found.keys() == {p for p in paths if not p.endswith(("missing", "other/eve"))} | {f"{tmp_path}/arranged/eve"}
    assert runner.started == (1 if settings else 0)


@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_a_missing_base_is_an_error_and_not_an_empty_one(bin_path: Path, base: Path, settings: dict[str, str]) -> None:
    runner = CommandRunner(Runner(**settings))
    assert homedirs(runner, [f"{base}/a"]) == {}
    with pytest.raises(ReadError, match=f"{base}/gone") as error:
        homedirs(runner, [f"{base}/a", f"{base}/gone/b"])
    assert "mounted" in str(error.value)
    (base / "file").write_text("")
    with pytest.raises(ReadError, match=f"{base}/file"):
        homedirs(runner, [f"{base}/file/b"])


def test_an_unreadable_base_is_an_error(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ReadError, match=f"{base}: home directories cannot be read: Permission denied"):
        homedirs(CommandRunner(LOCAL), [f"{base}/a"])


@pytest.mark.parametrize(
    "body",
    [
        "exit 0",  # nothing at all, as from a shell that swallowed the command
        r"printf '0 d 0 0 755\0%s\0.\0' \"$1\"; printf '1 d 1 1'",
        "echo Welcome to head1",
        "exit 127",
        r"printf '0 d 0 0 755\0%s\0.\0' \"$1\"; echo 'Input/output error' >&2; exit 1",
        r"printf '0 d 0 0 755\0/elsewhere/.\0.\0'",
        r"printf '0 d x 0 755\0%s\0.\0' \"$1\"",
    ],
)
def test_an_answer_that_is_cut_short_is_an_error(bin_path: Path, base: Path, body: str) -> None:
    program(bin_path, "find", body.replace('\\"', '"'))
    with pytest.raises(ReadError):
        homedirs(CommandRunner(Runner(container="c")), [f"{base}/a"])
