"""A saved plan does what it showed, or is stale."""

from __future__ import annotations

from pathlib import Path

from tests.live.conftest import Site
from tests.live.cycle.conftest import settled


def test_a_saved_plan_is_applied_or_stale(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", limits={"cpu": 3})
    portal.edit("Climate-B", limits={"cpu": 4})
    saved = tmp_path / "p.plan"
    assert site("plan", "--out", str(saved)).code == 0
    assert oct(saved.stat().st_mode & 0o777) == "0o600"
    slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", "fairshare=77")
    before = slurm.state()
    done = site("apply", str(saved))
    assert done.code == 1
    assert "Saved plan is stale" in done.err
    assert 'slurm.account["a_climate-a"]' in done.err
    assert "a_climate-b" not in done.err
    assert slurm.state() == before
    assert site("plan", "--out", str(saved)).code == 0
    assert site("apply", str(saved)).code == 0
    assert slurm.shown("a_climate-b", "GrpTRESMins") == "cpu=240000"
    settled(site)


def test_what_came_after_a_saved_plan_is_not_taken_along(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    saved = tmp_path / "p.plan"
    assert site("plan", "--out", str(saved)).code == 0
    slurm.sacctmgr("add", "account", "name=lab", "parent=a_climate-a")
    done = site("apply", str(saved))
    assert done.code == 1, done.both
    assert 'slurm.account["lab"] is still there and would go along' in done.out
    assert {"lab", "a_climate-a"} <= slurm.accounts()
