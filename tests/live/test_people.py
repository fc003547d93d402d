"""How people's names are written, who may add others, what members are charged, what is left when a project ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import unix
from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn, uid

# of this process alone: other test runs on this host have their own
DORA = f"TbDora{os.getpid()}"


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """Two allocations of two projects; alice and bob in the first."""
    portal.resource("one", limits={"cpu": 100})
    portal.resource("two", project="fusion", limits={"cpu": 7})
    for name in ("tbalice", "tbbob"):
        portal.user(name, "climate")
    portal.user("tbcarol", "fusion")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site, portal, slurm


# ---------------------------------------------------------------------- coordinators


def coordinators(slurm: Slurm, account: str) -> set[str]:
    rows = slurm.run("sacctmgr", "-nP", "show", "account", "withcoord", account, "format=Coordinators")
    return {name for name in rows.strip().split(",") if name}


@pytest.fixture
def left_behind(world: Site) -> Site:
    """bob coordinates the account of one project and is a member of another, and leaves the first."""
    site, portal, slurm = world
    portal.member("tbbob", "fusion")
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "coordinator", "account=a_one", "names=tbbob,tbalice")
    portal.leave("tbbob", "climate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.users_of("a_one") == {"tbalice"}
    return site, portal, slurm


def test_a_coordinator_who_left_is_shown_with_the_command(left_behind: Site) -> None:
    site, _, slurm = left_behind
    assert coordinators(slurm, "a_one") == {"tbalice", "tbbob"}, "nothing is taken unasked"
    said = site("plan").out
    assert 'slurm.coordinator["a_one","tbbob"]' in said
    assert 'slurm.coordinator["a_one","tbalice"]' not in said, "a member may be one"
    command = said.partition("Remove with: ")[2].partition(" (")[0]
    assert command == "sacctmgr -i remove coordinator account=a_one names=tbbob"
    slurm.run(*command.split())
    assert "slurm.coordinator" not in site("plan").out


@pytest.mark.parametrize("how", ["prune", "managed"])
def test_a_coordinator_who_left_loses_the_right(left_behind: Site, how: str) -> None:
    site, _, slurm = left_behind
    site.document["reconcile"] |= {"prune": True} if how == "prune" else {"coordinators": "managed"}
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert coordinators(slurm, "a_one") == {"tbalice"}
    assert site("plan", "--detailed-exitcode").code == 0


def test_coordinators_of_accounts_that_are_not_ours_stay(world: Site) -> None:
    """What somebody gave above our accounts shows on them as well."""
    site, _, slurm = world
    site.document["reconcile"]["coordinators"] = "managed"
    slurm.sacctmgr("add", "account", "name=staff", "cluster=testbed")
    slurm.sacctmgr("add", "user", "name=tbdave", "account=staff")
    # newer versions show one of root on no account below
    slurm.sacctmgr("add", "coordinator", "account=staff,root", "names=tbdave")
    assert site("plan", "--detailed-exitcode").code == 0
    # one of a whole project is one thing to see, and goes from all below it
    slurm.sacctmgr("remove", "coordinator", "account=root", "names=tbdave")
    slurm.sacctmgr("add", "coordinator", "account=p_climate,a_one", "names=tbdave")
    site.document["reconcile"]["coordinators"] = "orphans"
    assert site("plan").out.count("slurm.coordinator[") == 1
    site.document["reconcile"]["coordinators"] = "managed"
    assert site("apply", "--auto-approve").code == 0
    assert coordinators(slurm, "a_one") == coordinators(slurm, "p_climate") == set()
    assert coordinators(slurm, "staff") == {"tbdave"}
    assert site("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("how", ["orphans", "managed"])
def test_who_is_a_member_below_coordinates_no_more_than_that(world: Site, how: str) -> None:
    """A coordinator of the customer's account may add himself to every project of the customer's."""
    site, portal, slurm = world
    for number in range(6):  # more than may be removed at once of other things
        portal.resource(f"more{number}", project="fusion", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "coordinator", "account=c_nordic", "names=tbalice")
    site.document["reconcile"]["coordinators"] = how
    said = site("plan").out
    assert 'slurm.coordinator["c_nordic","tbalice"]' in said
    assert "coordinator, and no member of a_more0, a_more1, a_more2 and more (any more)" in said
    if how == "managed":
        done = site("apply", "--auto-approve")
        assert done.code == 0, done.both
        assert coordinators(slurm, "c_nordic") == coordinators(slurm, "a_two") == coordinators(slurm, "a_one") == set()
        assert site("plan", "--detailed-exitcode").code == 0


def test_a_role_that_nobody_has_takes_nothing_away(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("add", "coordinator", "account=a_one", "names=tbalice")
    site.document["reconcile"]["coordinators"] = {"Cluster A": ["boss"]}
    done = site("apply", "--auto-approve")
    assert done.code == 0 and "nobody has a role of reconcile.coordinators (boss)" in done.out
    assert coordinators(slurm, "a_one") == {"tbalice"}
    portal.member("tbalice", "climate", role="Manager")
    site.document["reconcile"]["coordinators"] = {"Cluster A": ["manager"]}
    assert site("apply", "--auto-approve").code == 0
    assert coordinators(slurm, "a_one") == {"tbalice"}, "in whatever case"
    site.document["reconcile"]["coordinators"] = {"Cluster B": ["manager"]}
    assert "names no offering of this file: Cluster B" in site("config", "check").err


def test_roles_make_coordinators(world: Site) -> None:
    site, portal, slurm = world
    portal.member("tbalice", "climate", role="manager")
    site.document["reconcile"]["coordinators"] = {"Cluster A": ["manager"]}
    slurm.sacctmgr("add", "coordinator", "account=a_one", "names=tbbob")
    assert site("apply", "--auto-approve").code == 0
    assert coordinators(slurm, "a_one") == {"tbalice"}
    assert site("plan", "--detailed-exitcode").code == 0
    site.document["reconcile"]["coordinators"] = "everybody"
    assert "must be orphans, managed, or a mapping" in site("config", "check").err


# ---------------------------------------------------------------------- fairshare of members


def test_new_members_are_charged_as_those_who_are_there(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "user", "where", "name=tbalice,tbbob", "account=a_one", "set", "fairshare=parent")
    slurm.sacctmgr("modify", "user", "where", "name=tbcarol", "account=a_two", "set", "fairshare=7")
    portal.user("tbdave", "climate")
    portal.user("tbeve", "fusion")
    said = site("plan").out
    assert "fairshare parent: as the members who are there" in said
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "Share", "tbdave") == "parent"
    assert slurm.shown("a_two", "Share", "tbeve") == "7"
    slurm.sacctmgr("modify", "user", "where", "name=tbeve", "account=a_two", "set", "fairshare=3")
    portal.user("tbfay", "fusion")
    assert "fairshare 1: the members who are there differ" in site("plan").out
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_two", "Share", "tbfay") == "1"
    assert site("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(("rule", "old", "new"), [("parent", "parent", "parent"), (5, "5", "5"), ("keep", "9", "1")])
def test_the_site_says_what_members_share(world: Site, rule: str | int, old: str, new: str) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "user", "where", "name=tbalice,tbbob", "account=a_one", "set", "fairshare=9")
    site.document["reconcile"]["member_fairshare"] = rule
    portal.user("tbdave", "climate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "Share", "tbalice") == old
    assert slurm.shown("a_one", "Share", "tbdave") == new
    assert site("plan", "--detailed-exitcode").code == 0


# ---------------------------------------------------------------------- a stop in one partition


def test_a_stop_in_one_partition_is_a_stop(world: Site) -> None:
    """A free row beside it lets nobody submit there."""
    site, _, slurm = world
    slurm.sacctmgr("add", "user", "name=tbalice", "account=a_one", "partition=main")
    slurm.sacctmgr(
        "modify", "user", "where", "name=tbalice", "account=a_one", "partition=main", "set", "MaxSubmitJobs=0"
    )
    said = site("plan")
    assert "max_submit_jobs = 0 -> (none)" in said.out
    assert site("apply", "--auto-approve").code == 0
    rows = slurm.run("sacctmgr", "-nP", "show", "assoc", "where", "user=tbalice", "account=a_one", "format=MaxSubmit")
    assert rows.split() == []
    assert site("plan", "--detailed-exitcode").code == 0


# ---------------------------------------------------------------------- names in capitals


@pytest.fixture
def cased(world: Site) -> Iterator[Site]:
    """slurmdbd keeps the case of names; so is the unix user DORA."""
    site, portal, slurm = world
    file = next(Path(slurm.directory).rglob("slurmdbd.conf"))
    before = file.read_text()
    unix.add(DORA, "-d", "/tmp", "-s", "/bin/sh", "--badname")
    file.write_text(f"{before}Parameters=PreserveCaseUser\n")
    slurm.restart("slurmdbd")
    yield site, portal, slurm
    if left := slurm.run("squeue", "-h", "-o", "%A").split():
        slurm.run("scancel", *left)
    slurm.wait()
    slurm.run("sacctmgr", "-iQ", "delete", "user", "where", f"name={DORA}", check=False)
    file.write_text(before)
    slurm.restart("slurmdbd")
    unix.remove(DORA)


def test_a_name_in_capitals_can_submit_and_leave(cased: Site, tmp_path: Path) -> None:
    site, portal, slurm = cased
    site.document["reconcile"]["require_unix_user"] = True
    base = tmp_path / "homes"
    base.mkdir()
    homes = {"enable_user_homedir_account_creation": True, "homedir_base_path": str(base)}
    site.document["offerings"][0]["backend_settings"] |= homes
    portal.user(DORA, "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.users_of("a_one") == {"tbalice", "tbbob", DORA}
    assert (base / DORA).owner() == DORA
    assert site("plan", "--detailed-exitcode").code == 0
    slurm.submit("a_one", DORA, 600)
    portal.leave(DORA, "climate")
    gone = site("apply", "--auto-approve")
    assert gone.code == 0, gone.both
    assert slurm.users_of("a_one") == {"tbalice", "tbbob"}


def test_a_wrong_spelling_is_drift(cased: Site) -> None:
    site, portal, slurm = cased
    portal.user(DORA, "climate")
    slurm.sacctmgr("add", "user", f"name={DORA.lower()}", "account=a_one")
    shown = json.loads(site("plan", "--json").out)
    (change,) = [c for c in shown["resource_changes"] if c["type"] == "slurm.user"]
    assert (change["change"]["before"]["name"], change["change"]["after"]["name"]) == (DORA.lower(), DORA)
    assert site("apply", "--auto-approve").code == 0
    assert DORA in slurm.users_of("a_one")
    slurm.submit("a_one", DORA, 600)
    assert site("plan", "--detailed-exitcode").code == 0


def test_where_names_are_folded_capitals_are_no_drift(world: Site) -> None:
    site, portal, slurm = world
    portal.user(DORA, "climate")
    assert site("apply", "--auto-approve").code == 0
    assert DORA.lower() in slurm.users_of("a_one")
    assert site("plan", "--detailed-exitcode").code == 0


# ---------------------------------------------------------------------- what was blocked once


def test_a_removal_that_was_blocked_once_is_said_until_it_is_done_or_kept(world: Site) -> None:
    """sacct knew no job of anybody when the last resource ended, and Waldur has no such project any more."""
    site, portal, slurm = world
    # a table that is not there, not an empty one: what slurmctld tells slurmdbd late would fill that again
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        portal.order("two", "Terminate", "pending-provider")
        assert site("apply", "--auto-approve").code in (0, 4)
        assert {"p_fusion"} <= slurm.accounts()
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    portal.world["projects"] = [p for p in portal.world["projects"] if p["uuid"] != uid("project", "fusion")]
    portal.push()
    for _ in range(2):
        said = site("apply", "--auto-approve").out
        assert 'slurm.account["p_fusion"]' in said and "Orphans, left alone" in said
        assert "reconcile.guards.protected keeps it" in said
    site.document["reconcile"]["guards"] = {"protected": ["root", "p_fusion"]}
    assert "p_fusion" not in site("plan").out, "somebody keeps it"
    site.document["reconcile"] |= {"guards": {}, "prune": True}
    assert site("apply", "--auto-approve", "--allow", "prune_grace").code == 0
    assert "p_fusion" not in slurm.accounts()
