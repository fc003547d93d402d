"""Freezes: where they are written, whom they bind, and which clusters there are to freeze."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.config import ReconcileBlock, block
from reconciler.store import Memory, Store, elsewhere
from reconciler.store.freezes import Freezer
from reconciler.store.locks import cluster_lock
from tests.conftest import Program
from tests.emulator import BIN, Emulator, emulated
from tests.fakes import linked, program, refuse
from tests.standin.portal import StandIn


@pytest.fixture
def site(portal: StandIn, tmp_path: Path) -> Program:
    program = emulated(Emulator(tmp_path), portal, tmp_path)
    portal.resource("climate-a")
    return program


def test_the_state_directory_of_systemd_wins_over_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    default = tmp_path / "nowhere" if os.geteuid() == 0 else tmp_path / "xdg" / "reconcile"
    assert ReconcileBlock().state_dir == default
    for named in ("/var/lib/reconcile", "/var/lib/reconcile:/var/lib/other"):
        monkeypatch.setenv("STATE_DIRECTORY", named)
        assert ReconcileBlock().state_dir == Path("/var/lib/reconcile")
        assert ReconcileBlock(state_dir=tmp_path).state_dir == tmp_path, "what is configured wins over both"
    monkeypatch.setenv("STATE_DIRECTORY", "reconcile")
    assert ReconcileBlock().state_dir == default, "no absolute path is no directory of systemd's"


def test_a_freeze_in_the_directory_of_systemd_binds_the_service(site: Program, tmp_path: Path) -> None:
    """Root freezes, a service with StateDirectory=reconcile applies: without state_dir both mean the same."""
    del site.document["reconcile"]["state_dir"]
    frozen = site("freeze", STATE_DIRECTORY=str(tmp_path / "of-systemd"))
    assert f"Written to {tmp_path / 'of-systemd' / 'frozen.json'}" in frozen.out
    assert site("apply", "--auto-approve", STATE_DIRECTORY=str(tmp_path / "of-systemd")).code == 3
    lifted = site("unfreeze", STATE_DIRECTORY=str(tmp_path / "of-systemd"))
    assert f"Written to {tmp_path / 'of-systemd' / 'frozen.json'}" in lifted.out


@pytest.mark.parametrize("where", ["system", "user", "home of another"])
def test_a_second_state_directory_is_found_and_said(
    site: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "home of another" and os.geteuid() != 0:
        pytest.skip("only root may look into the homes of others")
    other = {"system": block.SYSTEM_STATE, "user": tmp_path / "xdg" / "reconcile"}.get(
        where, tmp_path / "home" / block.USER_STATE
    )
    passwd = tmp_path / "passwd"
    passwd.write_text(f"root:x:0:0::/:/bin/sh\nbroken\nservice:x:1:1::{tmp_path / 'home'}:/bin/sh\n")
    monkeypatch.setattr(elsewhere, "PASSWD", passwd)
    other.mkdir(parents=True)
    assert str(other) not in site("freeze").both, "an empty directory is nobody's"
    with cluster_lock(other, "another-cluster"):
        pass
    assert str(other) not in site("freeze").both, "nor is one of another cluster"
    with cluster_lock(other, "default"):
        pass
    if os.geteuid() == 0:
        os.chown(other, pwd.getpwnam("daemon").pw_uid, -1)
    owner = "daemon" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    for command in ("freeze", "unfreeze"):
        ran = site(command)
        assert ran.code == 0 and f"not bound by this: {other} (of {owner})" in ran.err
        assert "set reconcile.state_dir" in ran.err
    examined = site("doctor").out
    assert f"another state directory: {other} (of {owner}) holds locks" in examined.replace("  ", " "), examined
    site.document["reconcile"]["state_dir"] = str(other)
    assert "not bound by this" not in site("freeze").err, "our own is no other one"


# ---------------------------------------------------------------------- names of clusters

NAME = "emulated"
# the emulator calls its cluster what one without a name is called
RENAMED = (
    "# the emulator's, but for the name",
    "set -o pipefail",
    f'{BIN}/sacctmgr "${{@/cluster={NAME}/cluster=default}}" | sed "s/\\bdefault\\b/{NAME}/g"',
)


@pytest.fixture
def unnamed(site: Program, tmp_path: Path) -> Program:
    """A site whose configuration leaves the cluster's name to SLURM."""
    directory = tmp_path / "bin"
    linked(directory, "sacct", "squeue", "scancel", "scontrol", to=BIN)
    program(directory, "sacctmgr", *RENAMED, shell="/bin/bash")
    site.document["reconcile"]["runner"]["slurm_bin_path"] = str(directory)
    return site


def down(site: Program) -> None:
    """Every command fails from now on."""
    directory = Path(site.document["reconcile"]["runner"]["slurm_bin_path"])
    program(directory, "sacctmgr", "# emulator", refuse("error: no slurmdbd"))


def test_only_clusters_of_the_configuration_can_be_frozen(unnamed: Program) -> None:
    """The configuration leaves the name to SLURM, which is asked once, and down afterwards."""
    for command in ("freeze", "unfreeze"):
        refused = unnamed(command, "--cluster", "tpyo")
        assert refused.code == 1 and "--cluster tpyo: not in the configuration" in refused.err
        assert f"Clusters: {NAME}." in refused.err
    assert not (unnamed.directory / "state" / "frozen.json").exists()
    assert f"Frozen, cluster {NAME}:" in unnamed("freeze", "--cluster", NAME.upper()).out
    assert unnamed("apply", "--auto-approve").code == 3
    assert unnamed("unfreeze", "--cluster", NAME).code == 0
    assert unnamed("apply", "--auto-approve").code == 0


def test_a_name_that_was_learnt_is_known_while_slurm_is_down(unnamed: Program) -> None:
    assert unnamed("apply", "--auto-approve").code == 0
    down(unnamed)
    assert unnamed("plan").code == 1
    assert f"Frozen, cluster {NAME}:" in unnamed("freeze", "--cluster", NAME).out
    assert "not in the configuration" in unnamed("freeze", "--cluster", "tpyo").err


def test_a_name_that_cannot_be_asked_is_not_believed(unnamed: Program) -> None:
    down(unnamed)
    refused = unnamed("freeze", "--cluster", NAME)
    assert refused.code == 1 and "none can be asked" in refused.err and "Without --cluster" in refused.err
    assert unnamed("freeze").code == 0


def test_a_cluster_has_one_name_everywhere(unnamed: Program) -> None:
    """Of the first run on, where nobody named it."""
    assert unnamed("apply", "--auto-approve").code == 0
    assert f'"cluster": "{NAME}"' in unnamed("plan", "--json").out
    runs = unnamed("history").out
    assert NAME in runs and "default" not in runs
    examined = unnamed("doctor").out
    assert f"cluster {NAME}" in examined and "cluster default" not in examined
    verbose = unnamed("plan", "--verbose").err
    assert f"cluster {NAME}: reading SLURM" in verbose
    with cluster_lock(unnamed.directory / "state", NAME):
        locked = unnamed("apply", "--auto-approve")
    assert locked.code != 0 and f"cluster {NAME}: another apply is running" in locked.err
    down(unnamed)
    assert f"cluster {NAME}: " in unnamed("plan").err


@pytest.mark.parametrize("held", ["default", NAME])
@pytest.mark.parametrize("learnt", [True, False])
def test_who_knows_the_name_and_who_does_not_exclude_each_other(unnamed: Program, held: str, learnt: bool) -> None:
    if learnt:
        assert unnamed("freeze", "--cluster", NAME).code == 0
        assert unnamed("unfreeze").code == 0
    with cluster_lock(unnamed.directory / "state", held):
        locked = unnamed("apply", "--auto-approve")
    assert locked.code == 1 and "another apply is running" in locked.err
    assert unnamed("apply", "--auto-approve").code == 0


def test_what_an_earlier_version_froze_and_remembered_is_kept(unnamed: Program) -> None:
    store = Store(unnamed.directory / "state")
    Memory(store, "default").remember([("o", "p", "ann")])
    Freezer(store, (), "UTC").freeze("default", None, "", datetime.now(UTC))
    for _ in range(2):  # before the name is learnt, and after
        assert unnamed("apply", "--auto-approve").code == 3
        assert unnamed("freeze", "--cluster", NAME).code == 0
    assert unnamed("unfreeze", "--cluster", NAME).code == 0, "by whichever name it was frozen"
    assert unnamed("apply", "--auto-approve").code == 0
    assert Memory(store, NAME).usernames()["o", "p"] == {"ann"}
    assert not Memory(store, "default").usernames()
