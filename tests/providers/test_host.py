"""Home directories: read in bulk, made safely, never anybody else's. Real files, real users, real helpers."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.config import Runner, SlurmSettings
from reconciler.errors import CommandError, ReadError
from reconciler.providers.host import (
    Account,
    Entry,
    accounts,
    actual,
    correct_mode,
    create,
    desired,
    home_path,
    homedirs,
    make,
    write,
)
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Action, Change, diff
from reconciler.state.model import Desired, Mode, accepts, target
from tests.providers.test_runner import program

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="homes of other users are made by root"),
    pytest.mark.xdist_group("slurm-2"),  # useradd locks /etc/passwd, and the live tests make users as well
]

HELPER = next((h for h in write.HELPERS if Path(h).exists()), "")
DAEMON = pwd.getpwnam("daemon")
LOCAL = Runner()


def account(home: Path | str, name: str = "daemon") -> Account:
    row = pwd.getpwnam(name)
    return Account(row.pw_name, row.pw_uid, row.pw_gid, str(home), row.pw_shell)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def owner(path: Path) -> tuple[int, int]:
    return path.lstat().st_uid, path.lstat().st_gid


def tree(path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything below a directory, to show that nothing of it moved."""
    found = [path, *path.rglob("*")]
    return {str(p): (p.lstat().st_mode, *owner(p), p.lstat().st_ino) for p in found}


@pytest.fixture
def bin_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH, with a docker and an ssh that run the command here."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    program(path, "docker", f'echo "$@" >>{tmp_path}/calls; shift 3; exec "$@"')
    program(path, "ssh", f'echo "$@" >>{tmp_path}/calls; shift 4; exec sh -c "$*"')
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
    (path / "setuid").write_text("#!/bin/sh\n")
    (path / "setuid").chmod(0o6755)
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
    subprocess.run(["useradd", "--badname", "-M", "-U", "-d", str(base / name), name], check=True)
    try:
        yield account(base / name, name)
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def changes(users: list[str], known: dict[str, Account], entries: dict[str, Entry], **settings: Any) -> list[Change]:
    wanted, _ = desired(users, known, entries, SlurmSettings(**settings))
    return diff(Desired(objects=wanted), actual(known, entries, settings.get("homedir_base_path")))


# --- who the host knows


@pytest.mark.parametrize("settings", [{}, {"container": "c"}, {"ssh_host": "h"}])
def test_accounts_are_found_by_folded_name(bin_path: Path, settings: dict[str, str]) -> None:
    runner = CommandRunner(Runner(**settings))
    found = accounts(runner, ["daemon", "nosuchuser", "nobody", "-x", "a b", str(DAEMON.pw_uid)])
    assert found == {n: account(pwd.getpwnam(n).pw_dir, n) for n in ("daemon", "nobody")}
    assert runner.started == (1 if settings else 0)


def test_spelling_of_the_host_is_kept_and_a_uid_is_no_name(bin_path: Path) -> None:
    program(bin_path, "getent", 'echo "Alice:x:7:8:,,é:/home/Alice:/bin/sh"; exit 2')
    runner = CommandRunner(Runner(container="c"))
    assert accounts(runner, ["alice"]) == {"alice": Account("Alice", 7, 8, "/home/Alice", "/bin/sh")}
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


# --- what is there


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


# --- what should be


def test_a_world_of_homes(base: Path) -> None:
    for name, uid, bits in (("fine", 1, 0o755), ("open", 1, 0o777), ("locked", 1, 0o077), ("stolen", 2, 0o700)):
        (base / name).mkdir()
        (base / name).chmod(bits)
        os.chown(base / name, uid, uid)
    (base / "half").mkdir()
    (base / "link").symlink_to("/somewhere")
    (base / "file").write_text("")
    names = ["fine", "open", "locked", "stolen", "half", "link", "file", "New", "root.dir"]
    known = {n.lower(): Account(n, 1, 1, "/elsewhere", "/bin/sh") for n in names}
    known["root.dir"] = Account("..", 1, 1, "/", "/bin/sh")
    entries = homedirs(CommandRunner(LOCAL), [home_path(a, str(base)) for a in known.values()])
    wanted, unknown = desired([*names, "ghost"], known, entries, SlurmSettings(homedir_base_path=str(base)))
    assert unknown == ["ghost"]
    state = actual(known, entries, str(base))
    found = {c.address.key[0]: c for c in diff(Desired(objects=wanted), state)}
    assert found.keys() == {"open", "locked", "stolen", "half", "file", "new", "root.dir"}
    for name in ("open", "locked"):
        assert found[name].after == {"path": f"{base}/{name}", "owner": name, "mode": "0700"}
        assert not found[name].blocked
    assert found["new"].action is Action.CREATE
    assert found["new"].after == {"path": f"{base}/New", "owner": "new", "mode": "0700"}
    assert "belongs to uid 2; nothing is chowned that somebody else owns" in found["stolen"].blocked
    assert found["stolen"].changed() == ("owner",)
    assert "belongs to uid 0" in found["half"].blocked
    assert "no directory" in found["file"].blocked
    assert "cannot be a home directory" in found["root.dir"].blocked


def test_passwd_says_where_without_a_base() -> None:
    assert home_path(account("/srv/d/"), None) == "/srv/d"
    assert home_path(account("/srv/d"), "/home") == "/home/daemon"
    assert home_path(account("/srv/d"), "/") == "/daemon"
    for home in ("", "/", "rel", "/a/../b", "/a//b", "/a\nb"):
        (change,) = changes(["daemon"], {"daemon": account(home)}, {})
        assert change.blocked, home


def test_people_may_choose_a_mode_that_leaves_them_in_and_the_world_out() -> None:
    for good in ("0700", "0755", "2770", "1711", "700"):
        assert accepts(Mode("0700"), good), good
    for bad in ("0777", "0702", "0077", "0600", "", "symlink", None, 0o700, "0800", "1777"):
        assert not accepts(Mode("0700"), bad), bad
    assert target(Mode("0750"), "0777") == "0750"


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, 0o700),
        ({"homedir_umask": "0700"}, 0o700),  # the old agent's default, a mode
        ({"homedir_umask": "0750"}, 0o750),
        ({"homedir_umask": "0027"}, 0o750),
        ({"homedir_umask": "0755", "default_homedir_umask": "0077"}, 0o700),
        ({"default_homedir_umask": "0022"}, 0o755),
        ({"default_homedir_umask": "0700"}, 0o700),
        ({"default_homedir_umask": "0000"}, 0o775),  # never writable for everybody
        ({"default_homedir_umask": "0100"}, 0o700),  # never closed to its owner
    ],
)
def test_the_mode_of_homes(settings: dict[str, Any], mode: int) -> None:
    assert SlurmSettings(**settings).home_mode == mode
    assert accepts(Mode(f"{mode:04o}"), f"{mode:04o}")


@pytest.mark.parametrize("path", ["home", "/home/../x", "./x", "/a//b", "/a\n"])
def test_a_base_is_an_absolute_path(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        SlurmSettings(homedir_base_path=path)
    assert SlurmSettings(homedir_base_path="/home/").homedir_base_path == "/home"
    assert SlurmSettings(homedir_base_path="").homedir_base_path is None


# --- making it


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
    assert create(CommandRunner(LOCAL), Account(name, 1, 1, f"{base}/y", ""), f"{base}/y", 0o700) != ""
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
            f"print(create(r, Account('daemon', 1, 1, {path!r}, ''), {path!r}, 0o700), r.started)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        assert "needs root on this host" in done.stdout
        assert done.stdout.endswith(" 0\n")
        assert not Path(path).exists()


# --- modes


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
