"""Homes are made and corrected safely, never anybody else's."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from reconciler.config import Runner
from reconciler.providers.host import (
    Account,
    Entry,
    accounts,
    correct_mode,
    create,
    homedirs,
    make,
    write,
)
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Action
from tests.conftest import ROOT
from tests.fakes import program
from tests.providers.homes.host import AS_ROOT, DAEMON, HELPER, LOCAL, account, changes, mode, owner, tree

pytestmark = AS_ROOT


@pytest.mark.skipif(not HELPER, reason="no mkhomedir_helper (libpam-modules-bin)")
@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_the_helper_makes_what_passwd_names(
    bin_path: Path, user: Account, tmp_path: Path, settings: dict[str, str]
) -> None:
    runner = CommandRunner(Runner(**settings))
    known = accounts(runner, [user.name])
    assert known == {user.name: user}
    home = Path(user.home)
    (change,) = changes([user.name], known, homedirs(runner, [user.home]))
    assert change.action is Action.CREATE
    assert create(runner, user, user.home, 0o750) == ""
    assert (mode(home), owner(home)) == (0o750, (user.uid, user.gid))
    assert {p.name for p in home.iterdir()} == {p.name for p in Path("/etc/skel").iterdir()}
    assert changes([user.name], known, homedirs(runner, [user.home])) == []
    before = tree(home)
    assert create(runner, user, user.home, 0o700) == ""  # twice is once
    assert tree(home) == before
    if settings:
        assert (tmp_path / "calls").read_text().count(f"mkhomedir_helper {user.name} 0027") == 1
    else:
        assert runner.started == 1


def test_the_helper_never_makes_a_base(bin_path: Path, user: Account, base: Path) -> None:
    """It would, and the homes would lie below a mount point."""
    base.rmdir()
    for settings in ({}, {"container": "c"}):
        said = create(CommandRunner(Runner(**settings)), user, user.home, 0o700)
        assert "not made" in said
        assert "No such file or directory" in said
        assert not base.exists()


def test_a_helper_that_lies_is_found_out(bin_path: Path, user: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for body, says in (("exit 0", "nothing is there"), ("echo no >&2; exit 6", "exit code 6: no; ")):
        program(bin_path, "helper", body)
        monkeypatch.setattr(write, "HELPERS", (str(bin_path / "helper"),))
        for settings in ({}, {"container": "c"}):
            assert says in create(CommandRunner(Runner(**settings)), user, user.home, 0o700)


def test_we_make_it_where_the_helper_cannot(base: Path, skel: Path) -> None:
    daemon = account("/usr/sbin")
    home = base / "daemon"
    runner = CommandRunner(LOCAL)
    old = os.umask(0o777)
    try:
        assert create(runner, daemon, str(home), 0o750) == ""
    finally:
        os.umask(old)
    assert runner.started == 0
    everything = [home, *home.rglob("*")]
    assert {owner(p) for p in everything} == {(DAEMON.pw_uid, DAEMON.pw_gid)}
    assert mode(home) == 0o750
    assert mode(home / ".config") == 0o750
    assert mode(home / ".bashrc") == (mode(skel / ".bashrc") & 0o750)
    assert mode(home / "setuid") == 0o750  # not 6755
    assert (home / "link").readlink() == skel.parent / "outside"
    assert (home / ".config/deep/x").read_text() == "x" * 3_000_000
    assert not (home / "pipe").exists()
    assert owner(skel.parent / "outside") == (0, 0)
    known = {"daemon": daemon}
    assert changes(["daemon"], known, homedirs(runner, [str(home)]), homedir_base_path=str(base)) == []


def test_without_a_skeleton_the_home_is_empty(base: Path, no_helper: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "SKELETON", base / "none")
    path = base / "daemon.x"
    assert create(CommandRunner(LOCAL), account(path), str(path), 0o700) == ""
    assert list(path.iterdir()) == []


def test_a_skeleton_of_somebody_else_is_not_handed_out(base: Path, skel: Path) -> None:
    os.chown(skel, DAEMON.pw_uid, 0)
    assert "skel in" in create(CommandRunner(LOCAL), account("/x"), f"{base}/daemon", 0o700)
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("settings", [{}, {"container": "c"}])
@pytest.mark.parametrize("name", ["nobody", "daemon"])
def test_what_lies_at_the_path_stays_as_it_is(
    bin_path: Path, base: Path, tmp_path: Path, user: Account, settings: dict[str, str], name: str
) -> None:
    runner = CommandRunner(Runner(**settings))
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    home = Path(user.home)
    for plant, says in (
        (lambda: home.symlink_to(victim), "a symlink is there"),
        (lambda: home.symlink_to(victim / "dangling"), "a symlink is there"),
        (lambda: home.write_text("x"), "no directory is there"),
        (lambda: home.mkdir(mode=0o755), "a directory of uid"),
    ):
        plant()
        os.chown(home, pwd.getpwnam(name).pw_uid, 0, follow_symlinks=False)
        before = tree(tmp_path)
        assert says in create(runner, user, str(home), 0o700)
        assert correct_mode(runner, user, str(home), 0o700) != ""
        assert {k: v for k, v in tree(tmp_path).items() if "calls" not in k} == {
            k: v for k, v in before.items() if "calls" not in k
        }
        home.rmdir() if home.is_dir() and not home.is_symlink() else home.unlink()


def _writable(base: Path) -> Path:
    base.chmod(0o777)
    return base


def _group_writable(base: Path) -> Path:
    base.chmod(0o775)
    return base


def _foreign(base: Path) -> Path:
    os.chown(base, DAEMON.pw_uid, 0)
    return base


def _below_foreign(base: Path) -> Path:
    (base / "in").mkdir()
    os.chown(base, DAEMON.pw_uid, 0)
    return base / "in"


def _planted_link(base: Path) -> Path:
    base.chmod(0o1777)
    (base.parent / "target").mkdir()
    (base / "homes").symlink_to(base.parent / "target")
    os.chown(base / "homes", DAEMON.pw_uid, 0, follow_symlinks=False)
    return base / "homes"


def _link_into_writable(base: Path) -> Path:
    base.chmod(0o777)
    (base.parent / "link").symlink_to("./home/.")
    return base.parent / "link"


def _file(base: Path) -> Path:
    (base / "file").write_text("")
    return base / "file"


@pytest.mark.parametrize("settings", [{}, {"container": "c"}])
@pytest.mark.parametrize(
    "attack", [_writable, _group_writable, _foreign, _below_foreign, _planted_link, _link_into_writable, _file]
)
def test_below_a_base_that_others_control_nothing_is_made(
    bin_path: Path, base: Path, skel: Path, monkeypatch: pytest.MonkeyPatch, attack: Any, settings: dict[str, str]
) -> None:
    program(bin_path, "helper", f"mkdir {base.parent}/made")
    monkeypatch.setattr(write, "HELPERS", (str(bin_path / "helper"),))
    where = attack(base)
    before = tree(base.parent)
    for home in ("/elsewhere", f"{where}/daemon"):  # by ourselves, by the helper
        said = create(CommandRunner(Runner(**settings)), account(home), f"{where}/daemon", 0o700)
        assert "not made" in said, said
        assert any(w in said for w in ("others than root", "not to root", "no directory", "Not a directory")), said
    assert set(tree(base.parent)) - {f"{base.parent}/calls"} == before.keys()


def test_the_sites_own_arrangements_are_followed(base: Path, skel: Path) -> None:
    (base / "a").mkdir()
    (base / "abs").symlink_to(base / "a")
    (base / "rel").symlink_to("../home/./abs")
    assert create(CommandRunner(LOCAL), account("/x"), f"{base}/rel/daemon", 0o700) == ""
    assert owner(base / "a/daemon") == (DAEMON.pw_uid, DAEMON.pw_gid)
    (base / "loop").symlink_to("loop")
    assert "too many symlinks" in create(CommandRunner(LOCAL), account("/x"), f"{base}/loop/daemon", 0o700)


def test_a_sticky_base_is_fine_and_a_planted_directory_in_it_is_not(base: Path, skel: Path) -> None:
    base.chmod(0o1777)
    (base / "daemon").mkdir()
    os.chown(base / "daemon", 2, 2)
    runner = CommandRunner(LOCAL)
    assert "a directory of uid 2 (mode 0755) is there" in create(runner, account("/x"), f"{base}/daemon", 0o700)
    assert owner(base / "daemon") == (2, 2)
    assert create(runner, account("/x", "bin"), f"{base}/bin", 0o700) == ""


def _directory_of_bin(path: Path) -> None:
    path.mkdir()
    os.chown(path, 2, 2)


def test_whoever_is_faster_keeps_what_he_made(base: Path, skel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory, or a symlink, appears between our look and our mkdir."""
    victim = base / "victim"
    victim.mkdir(mode=0o755)
    path = base / "daemon"
    for plant in (lambda p: p.symlink_to(victim), _directory_of_bin):
        monkeypatch.setattr(write, "_look", lambda *_, p=plant: (p(path), write._Found(None, ""))[1])
        assert "somebody made it meanwhile" in create(CommandRunner(LOCAL), account("/x"), str(path), 0o700)
        assert owner(victim) == (0, 0)
        assert list(victim.iterdir()) == []
        if path.is_symlink():
            path.unlink()
    assert owner(base / "daemon") == (2, 2)


def test_an_interrupted_creation_is_no_home_and_the_next_one_makes_it(
    base: Path, skel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        said = create(CommandRunner(LOCAL), account("/x"), f"{base}/daemon", 0o700)
    assert "not finished: No space left on device; no home is there yet" in said
    entries = homedirs(CommandRunner(LOCAL), [f"{base}/daemon"])
    (change,) = changes(["daemon"], {"daemon": account("/x")}, entries, homedir_base_path=str(base))
    assert not change.blocked
    assert create(CommandRunner(LOCAL), account("/x"), f"{base}/daemon", 0o700) == ""
    assert owner(base / "daemon") == (1, 1)


def test_elsewhere_without_the_helper_is_said(bin_path: Path, base: Path, no_helper: None) -> None:
    runner = CommandRunner(Runner(ssh_host="head1"))
    assert "there is no mkhomedir_helper on head1" in create(runner, account(base / "x"), f"{base}/x", 0o700)
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("name", ["-x", "a b", "../x", ""])
def test_no_name_becomes_an_option_or_a_path(base: Path, name: str) -> None:
    assert create(CommandRunner(LOCAL), Account(name, 1, 1, f"{base}/y"), f"{base}/y", 0o700) != ""
    assert create(CommandRunner(LOCAL), account("/x"), f"{base}/../y", 0o700) != ""
    assert list(base.iterdir()) == []


def test_an_ordinary_user_is_told_what_it_takes() -> None:
    # not below pytest's directories, which are closed to others
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = f"{directory}/daemon"
        code = (
            "import os; from reconciler.config import Runner; from reconciler.providers.host import Account, create; "
            "from reconciler.providers.runner import CommandRunner; os.setuid(1); r = CommandRunner(Runner()); "
            f"print(create(r, Account('daemon', 1, 1, {path!r}), {path!r}, 0o700), r.started)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        assert "needs root on this host" in done.stdout
        assert done.stdout.endswith(" 0\n")
        assert not Path(path).exists()


@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_a_mode_is_corrected_for_its_owner_only(bin_path: Path, base: Path, settings: dict[str, str]) -> None:
    home = base / "daemon"
    home.mkdir()
    home.chmod(0o777)
    os.chown(home, DAEMON.pw_uid, 0)
    runner = CommandRunner(Runner(**settings))
    assert correct_mode(runner, account("/x"), str(home), 0o750) == ""
    assert mode(home) == 0o750
    assert "a directory of uid 1 (mode 0750)" in correct_mode(runner, account("/x", "bin"), str(home), 0o700)
    assert correct_mode(runner, account("/x"), f"{base}/gone", 0o700) != ""
    assert mode(home) == 0o750


def test_a_home_that_is_exchanged_after_the_look_is_not_changed(
    bin_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = base / "daemon"
    home.mkdir(mode=0o755)
    monkeypatch.setattr(write, "_look", lambda *_: write._Found(Entry("directory", DAEMON.pw_uid, 0, 0o755), ""))
    said = correct_mode(CommandRunner(Runner(container="c")), account("/x"), str(home), 0o700)
    assert "it is no directory of daemon any more" in said
    assert mode(home) == 0o755
