"""A rollback, and a saved plan that comes late, are plans under guards."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import around, in_front, on
from tests.live.conftest import Site
from tests.live.safety.conftest import last_run


def test_a_rollback_is_a_plan_under_guards(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    portal.edit("two", limits={"cpu": 8})
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    portal.leave("tbbob", "climate")
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    slurm.sacctmgr("modify", "account", "a_two", "set", "GrpTRESMins=cpu=999")  # somebody's own, since then
    path = str(site.directory / "back.plan")
    before = slurm.state()
    planned = site("rollback", run, "--out", path)
    assert planned.code == 0, planned.both
    assert "it was changed since the run" in planned.out
    assert slurm.state() == before  # only a plan
    done = site("rollback", run, "--auto-approve")
    assert done.code == 4, done.both  # what was changed since is left alone, and said
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert slurm.shown("a_two", "GrpTRESMins") == "cpu=999"
    assert slurm.users_of("a_one") == {"tbalice", "tbbob"}
    assert "a_three" not in slurm.accounts()
    # Waldur still wants it
    assert site("plan", "--detailed-exitcode").code == 2


def test_a_saved_plan_cancels_no_job_that_it_did_not_show(world: Site) -> None:
    site, portal, slurm = world
    portal.leave("tbbob", "climate")
    path = str(site.directory / "leave.plan")
    assert site("plan", "--out", path).code == 0
    job = slurm.submit("a_one", "tbbob", 60)
    stale = site("apply", path)
    assert stale.code == 1, stale.both
    assert 'slurm.association["a_one","tbbob"]: jobs that the plan did not show: ' in stale.err
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%u").strip() == "tbbob"
    assert site("plan", "--out", path).code == 0
    assert site("apply", path).code == 0  # now it was shown
    assert slurm.users_of("a_one") == {"tbalice"}


def test_a_rollback_takes_no_qos_and_no_job(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["qos"] = {"gold": {}}
    portal.user("tbcarol", "climate")
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    job = slurm.submit("a_one", "tbcarol", 60)
    try:
        done = site("rollback", run, "--auto-approve")
        assert done.code in (0, 4), done.both
        assert "others may use it by now" in done.out
        assert slurm.run("squeue", "-h", "-j", job, "-o", "%u").strip() == "tbcarol"
        assert slurm.users_of("a_two") == {"tbalice", "tbbob"}  # there she had nothing to do
        assert slurm.shown("a_one", "MaxSubmit", "tbcarol") == "0"
    finally:
        slurm.run("scancel", job)
        slurm.wait()
        slurm.sacctmgr("delete", "qos", "where", "name=gold", check=False)


def test_a_saved_plan_cuts_no_budget_that_was_used_since(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["guards"] = {"prevent_downgrade": True}
    portal.edit("one", limits={"cpu": 0})
    path = str(site.directory / "cut.plan")
    assert site("plan", "--out", path).code == 0
    used = r"s/\(Account=a_one UserName= .*GrpTRESMins=cpu=[0-9]*\)([0-9]*)/\1(500)/"
    around(tmp_path / "bin", "scontrol", on("*assoc_mgr*", f'"$REAL" "$@" | sed "{used}"', "exit"))
    stale = site("apply", path, PATH=in_front(tmp_path / "bin"))
    assert stale.code == 1, stale.both
    assert "its budget falls below what was used" in stale.err
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("apply", path).code == 0


def test_what_was_rolled_back_stays_so_while_frozen(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    assert site("freeze", "--reason", "rolled back").code == 0
    assert site("rollback", run, "--auto-approve").code == 3
    assert site("rollback", run, "--auto-approve", "--while-frozen").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("apply", "--auto-approve").code == 3  # the timer does not redo it
