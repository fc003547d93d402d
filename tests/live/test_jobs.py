"""Jobs of those who leave, whoever the host knows, whatever the caller's environment is, wherever slurmctld listens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import unix
from tests.conftest import Program
from tests.live.conftest import Site, Slurm, answered
from tests.standin.portal import StandIn

# of this process alone: other test runs on this host have their own
GHOST, SHADE = f"tbghost{os.getpid()}", f"tbshade{os.getpid()}"
GONE = (GHOST, SHADE)


@pytest.fixture
def ghosts() -> Iterator[None]:
    """Unix users who will be gone while their jobs run."""
    for name in GONE:
        unix.add(name, "-d", "/tmp", "-s", "/bin/sh")
    yield
    for name in GONE:
        unix.remove(name)


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm, ghosts: None) -> Iterator[Site]:
    """Two customers' allocations; in one of them two people whom the host is about to forget, each with a job."""
    portal.resource("climate", limits={"cpu": 100})
    portal.resource("fusion", customer="baltic", project="fusion", limits={"cpu": 7})
    for name in ("tbalice", *GONE):
        portal.user(name, "climate")
    portal.user("tbbob", "fusion")
    assert site("apply", "--auto-approve").code == 0
    for name in GONE:
        slurm.submit("a_climate", name, 600)
        unix.remove(name)
    assert slurm.run("squeue", "-h", "-o", "%u").split() == ["nobody", "nobody"]
    yield site, portal, slurm
    if left := slurm.run("squeue", "-h", "-o", "%A").split():
        slurm.run("scancel", *left)


def jobs(slurm: Slurm) -> list[str]:
    """Accounts of all jobs."""
    return slurm.run("squeue", "-h", "-o", "%a").split()


@pytest.mark.parametrize("named", [True, False], ids=["cluster_name", "no cluster_name"])
def test_jobs_of_people_whom_the_host_forgot_end_with_what_they_run_on(world: Site, named: bool) -> None:
    """Nobody else's order waits for them."""
    site, portal, slurm = world
    if not named:
        del site.document["offerings"][0]["backend_settings"]["cluster_name"]
    portal.order("climate", "Terminate", "pending-provider")
    portal.order("fusion", "Update", "pending-provider", limits={"cpu": 9})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert jobs(slurm) == []
    assert slurm.accounts() == {"root", "c_baltic", "p_fusion", "a_fusion"}
    assert slurm.shown("a_fusion", "GrpTRESMins") == "cpu=540000"


def test_a_leaver_whom_the_host_forgot_loses_his_job_and_the_other_keeps_hers(world: Site) -> None:
    site, portal, slurm = world
    portal.leave(GHOST, "climate")
    shown = json.loads(site("plan", "--json").out)
    gone = next(c for c in shown["resource_changes"] if c["change"]["actions"] == ["delete"])
    assert gone["name"] == f"a_climate/{GHOST}"
    (number,) = gone["reconcile"]["jobs"]
    assert f"scancel {number}\n" in site("plan", "--script").out
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.users_of("a_climate") == {"tbalice", SHADE}
    assert len(jobs(slurm)) == 1


def test_a_leaver_whom_the_host_forgot_is_drained(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["on_member_removal"] = "drain"
    portal.leave(GHOST, "climate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_climate", "MaxSubmitJobs", GHOST) == "0"
    assert len(jobs(slurm)) == 2


def test_what_moves_while_the_question_is_open_stands_still_alone(world: Site, tmp_path: Path) -> None:
    """One object that is stale is left for the next cycle; the others go on. A saved plan is applied whole or not."""
    site, portal, slurm = world
    portal.leave(GHOST, "climate")
    portal.resource("later", project="fusion", customer="baltic", limits={"cpu": 3})
    saved = str(tmp_path / "late.plan")
    assert site("plan", "--out", saved).code == 0
    # somebody else is faster with one of the objects of the plan
    slurm.sacctmgr("modify", "user", "where", f"name={GHOST}", "account=a_climate", "set", "fairshare=9")
    stale = site("apply", saved)
    assert stale.code == 1
    assert "it has other values by now" in stale.err
    assert "a_later" not in slurm.accounts()
    code, out = answered(
        site, lambda: slurm.sacctmgr("modify", "user", f"name={GHOST}", "account=a_climate", "set", "fairshare=7")
    )
    assert code == 1, out
    assert "moved after the plan was made" in out
    assert "a_later" in slurm.accounts()
    assert GHOST in slurm.users_of("a_climate")


VARIABLES = {
    "SQUEUE_USERS": "tbalice", "SQUEUE_ACCOUNT": "nosuch", "SQUEUE_PARTITION": "nosuch", "SQUEUE_QOS": "nosuch",
    "SQUEUE_NAMES": "nosuch", "SQUEUE_LICENSES": "nosuch", "SQUEUE_STATES": "PENDING", "SQUEUE_FORMAT2": "JobID",
    "SQUEUE_SORT": "nosuch", "SCANCEL_STATE": "PENDING", "SCANCEL_PARTITION": "nosuch", "SCANCEL_NAME": "nosuch",
    "SCANCEL_USER": "tbalice", "SCANCEL_ACCOUNT": "nosuch", "SCANCEL_QOS": "nosuch", "SCANCEL_INTERACTIVE": "1",
    "SACCT_FORMAT": "JobID", "SLURM_CLUSTERS": "nosuch", "SLURM_TIME_FORMAT": "%H", "SLURM_DEBUG": "5",
    "SLURM_BITSTR_LEN": "1",
}  # fmt: skip


def test_the_environment_of_the_caller_changes_nothing(world: Site) -> None:
    site, portal, slurm = world
    portal.order("climate", "Terminate", "pending-provider")
    done = site("apply", "--auto-approve", **VARIABLES)
    assert done.code == 0, done.both
    assert jobs(slurm) == []
    assert "a_climate" not in slurm.accounts()


@pytest.mark.parametrize("named", [True, False], ids=["cluster_name", "no cluster_name"])
def test_a_slurmctld_that_slurmdbd_knows_by_an_address_of_its_own(world: Site, named: bool) -> None:
    """Both daemons on one host: slurmdbd has 127.0.0.1, where nothing listens for us; slurm.conf knows better."""
    site, portal, slurm = world
    if not named:
        del site.document["offerings"][0]["backend_settings"]["cluster_name"]
    host = slurm.run("sacctmgr", "-nP", "show", "cluster", "format=ControlHost").strip()
    slurm.sql("update cluster_table set control_host='127.0.0.1';")
    try:
        assert slurm.run("squeue", "-M", "testbed", "-h", check=False) == ""
        portal.leave(GHOST, "climate")
        portal.leave("tbalice", "climate")
        done = site("apply", "--auto-approve")
        assert done.code == 0, done.both
        assert slurm.users_of("a_climate") == {SHADE}
    finally:
        slurm.sql(f"update cluster_table set control_host='{host}';")


@pytest.mark.parametrize("how", ["cancel_jobs", "drain"])
def test_a_leaver_whose_job_runs_for_slurmdbd_alone_submits_nothing(world: Site, how: str) -> None:
    """slurmdbd lets nobody go while it knows no end of a job: access ends all the same, and the command is said."""
    site, portal, slurm = world
    site.document["reconcile"]["on_member_removal"] = how
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    slurm.ran("a_fusion", "tbbob", moment, moment, "cpu=1", state=1, time_end=0)
    number = slurm.sql("select max(id_job) from testbed_job_table;").split()[-1]
    portal.leave("tbbob", "fusion")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_fusion", "MaxSubmitJobs", "tbbob") == "0"
    said = site("apply", "--auto-approve")
    assert said.code == 4, said.both
    assert f"job {number} runs for slurmdbd" in said.out and "sacctmgr show runawayjobs" in said.out
    slurm.sql("update testbed_job_table set state=3, time_end=time_start where time_end=0 and account='a_fusion';")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.users_of("a_fusion") == set()
