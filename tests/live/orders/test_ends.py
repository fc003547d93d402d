"""Terminate: jobs, siblings, shared accounts, soft deletion."""

from __future__ import annotations

import time

import pytest

from tests.live.conftest import Site
from tests.live.orders.ordered import DONE, REQUESTS, as_ordered, ordered
from tests.standin.portal import uid


def test_terminate_cancels_jobs_and_waits_for_their_end(world: Site) -> None:
    site, portal, slurm = world
    slurm.submit("a_old", "tbalice", 300)
    ordered(portal, "Terminate")
    shown = site("plan")
    assert "cancels 1 job" in shown.out
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS["Terminate"]
    as_ordered(world, "Terminate")


def test_terminate_waits_for_jobs_where_the_site_says_so(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["on_terminate"] = "wait"
    slurm.submit("a_old", "tbalice", 300)
    ordered(portal, "Terminate")
    waiting = site("apply", "--auto-approve")
    assert waiting.code == 0, waiting.both
    assert "1 jobs have to end first" in waiting.out
    assert portal.writes() == ["order/approve_by_provider"]
    assert slurm.run("squeue", "-h", "-o", "%a").split() == ["a_old"]
    # who has no jobs has left, who has gets no new ones
    assert slurm.users_of("a_old") == {"tbalice"}
    assert slurm.shown("a_old", "MaxSubmitJobs", "tbalice") == "0"
    slurm.run("scancel", "-u", "tbalice")
    while slurm.run("squeue", "-h").strip():
        time.sleep(0.1)
    assert site("apply", "--auto-approve").code == 0
    as_ordered(world, "Terminate")


def test_terminate_is_refused_for_jobs_where_the_site_says_so(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["on_terminate"] = "refuse"
    slurm.submit("a_old", "tbalice", 300)
    ordered(portal, "Terminate")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    order = portal.found("order", "old", "Terminate")
    assert order["state"] == "erred"
    assert "1 jobs are running" in order["error_message"]
    assert portal.found("resource", "old")["state"] == "OK"
    assert slurm.state() == before
    assert slurm.run("squeue", "-h", "-o", "%a").split() == ["a_old"]


def test_terminate_keeps_what_others_use(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("sibling", limits={"cpu": 1})
    portal.resource("cousin", project="fusion", limits={"cpu": 1})
    site("apply", "--auto-approve")
    ordered(portal, "Terminate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "p_fusion", "a_sibling", "a_cousin"}
    assert slurm.users_of("a_sibling") == {"tbalice", "tbbob"}
    portal.order("sibling", "Terminate", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic", "p_fusion", "a_cousin"}


def test_terminate_in_a_project_with_capitals_keeps_its_siblings(world: Site) -> None:
    """SLURM folds names; an agent that does not would find the project empty and drop the subtree."""
    site, portal, slurm = world
    site.document["offerings"][0]["backend_settings"]["project_prefix"] = "P_"
    for name in ("Upper-One", "Upper-Two"):
        portal.resource(name, slug=name, project="Big-Project", limits={"cpu": 1})
    portal.user("tbcarol", "Big-Project")
    assert site("apply", "--auto-approve").code == 0
    portal.order("Upper-One", "Terminate", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert "a_upper-one" not in slurm.accounts()
    assert {"p_big-project", "a_upper-two"} <= slurm.accounts()
    assert slurm.users_of("a_upper-two") == {"tbcarol"}


def test_terminate_of_one_of_two_that_share_an_account_takes_it_from_nobody(world: Site) -> None:
    """Waldur lets two resources have one backend_id."""
    site, portal, slurm = world
    portal.resource("shares", slug="shares", backend_id="a_old", limits={"cpu": 7})
    portal.order("shares", "Terminate", "pending-provider")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert portal.found("order", "shares", "Terminate")["state"] == "pending-provider"
    assert "is claimed by" in done.out
    assert slurm.state() == before


def test_customers_without_resources_stay_where_the_site_says_so(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["empty_customers"] = "keep"
    ordered(portal, "Terminate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic"}
    assert site("plan", "--detailed-exitcode").code == 0


def test_soft_delete_keeps_the_account_and_restore_brings_it_back(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    ordered(portal, "Terminate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("order", "old", "Terminate")["state"] == "done"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=0"
    assert slurm.users_of("a_old") == set()
    assert site("plan", "--detailed-exitcode").code == 0
    portal.order("old", "Restore", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert portal.found("resource", "old")["state"] == "OK"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"
    assert slurm.users_of("a_old") == {"tbalice", "tbbob"}


def test_terminate_of_what_never_had_an_account_is_done_at_once(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    portal.resource("ghost", state="Terminating")
    portal.order("ghost", "Terminate", "executing")
    assert site("apply", "--auto-approve").code == 0
    assert portal.writes() == [DONE]
    assert slurm.state() == before


def test_the_end_of_what_never_had_an_account_takes_nobody_elses(world: Site) -> None:
    """Its Create failed since the account is another offering's; then the customer ends the failed resource."""
    site, portal, slurm = world
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    slurm.sacctmgr("add", "user", "name=tbcarol", "account=a_new")
    portal.resource("theirs", backend_id="a_new", offering_uuid=uid("another"), slug="theirs")
    portal.resource("new", state="Terminating", limits={"cpu": 100})
    portal.order("new", "Terminate", "executing")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("order", "new", "Terminate")["state"] == "done"
    assert slurm.state() == before
    assert site("apply", "--auto-approve").code == 0
    assert slurm.state() == before


@pytest.mark.parametrize("how", ["soft", "wait"])
def test_the_members_of_an_ending_account_are_no_mass_deletion(world: Site, how: str) -> None:
    site, portal, slurm = world
    for number in range(10):
        portal.user(f"u{number}", "climate")
    assert site("apply", "--auto-approve").code == 0
    if how == "soft":
        site.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    else:
        site.document["reconcile"]["on_terminate"] = "wait"
        slurm.submit("a_old", "tbalice", 300)
    ordered(portal, "Terminate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.users_of("a_old") == (set() if how == "soft" else {"tbalice"})


def test_a_held_account_keeps_its_members_until_its_order_can_end_it(world: Site) -> None:
    """Another resource's row cannot be read and names the same account."""
    site, portal, slurm = world
    portal.resource("unreadable", backend_id="a_old", paused="perhaps")
    ordered(portal, "Terminate", "executing")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert slurm.users_of("a_old") == {"tbalice", "tbbob"}
    assert "could not be read from Waldur" in done.out
    assert portal.found("order", "old", "Terminate")["state"] == "executing"
