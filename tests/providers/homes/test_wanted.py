"""Which homes a site wants, where, and in which mode."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.config import BackendSettings
from reconciler.providers.host import Account, actual, desired, home_path, homedirs
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Action, diff
from reconciler.state.model import Desired
from reconciler.state.values import Mode, accepts, target
from tests.providers.homes.host import AS_ROOT, LOCAL, account, changes

pytestmark = AS_ROOT


def test_a_world_of_homes(base: Path) -> None:
    for name, uid, bits in (("fine", 1, 0o755), ("open", 1, 0o777), ("locked", 1, 0o077), ("stolen", 2, 0o700)):
        (base / name).mkdir()
        (base / name).chmod(bits)
        os.chown(base / name, uid, uid)
    (base / "half").mkdir()
    (base / "link").symlink_to("/somewhere")
    (base / "file").write_text("")
    names = ["fine", "open", "locked", "stolen", "half", "link", "file", "New", "root.dir"]
    known = {n.lower(): Account(n, 1, 1, "/elsewhere") for n in names}
    known["root.dir"] = Account("..", 1, 1, "/")
    entries = homedirs(CommandRunner(LOCAL), [home_path(a, str(base)) for a in known.values()])
    wanted = desired([*names, "ghost"], known, entries, BackendSettings(homedir_base_path=str(base)))
    state = actual(known, entries, str(base))
    found = {c.address.key[0]: c for c in diff(Desired(objects=wanted), state)}
    assert found.keys() == {"open", "locked", "stolen", "half", "file", "new", "root.dir"}
    for name in ("open", "locked"):
        assert found[name].after == {"path": f"{base}/{name}", "owner": name, "mode": "0700"}
        assert not found[name].blocked
    assert found["new"].action is Action.CREATE
    assert found["new"].after == {"path": f"{base}/New", "owner": "New", "mode": "0700"}
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
    assert BackendSettings(**settings).home_mode == mode
    assert accepts(Mode(f"{mode:04o}"), f"{mode:04o}")


@pytest.mark.parametrize("path", ["home", "/home/../x", "./x", "/a//b", "/a\n"])
def test_a_base_is_an_absolute_path(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        BackendSettings(homedir_base_path=path)
    assert BackendSettings(homedir_base_path="/home/").homedir_base_path == "/home"
    assert BackendSettings(homedir_base_path="").homedir_base_path is None
