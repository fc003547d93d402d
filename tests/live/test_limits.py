"""Limits that fall though nobody ordered it, and the first run against a cluster that others looked after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn, uid

MEM = {"mem": {"measured_unit": "GB-Hours", "unit_factor": 61440, "accounting_type": "limit", "label": "RAM"}}


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """Two allocations with cpu and mem, as ordered."""
    site.document["offerings"][0]["backend_components"] |= MEM
    portal.resource("one", limits={"cpu": 100, "mem": 128})
    portal.resource("two", limits={"cpu": 100, "mem": 128})
    portal.user("tbalice", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site, portal, slurm


def done_order(portal: StandIn, name: str, **limits: int) -> str:
    portal.order(name, "Create", "done", limits=limits)
    return uid("order", name, "Create")


def test_a_budget_that_nobody_ordered_away_stays(world: Site) -> None:
    """An older agent left mem: 0 in Waldur; the cluster and the last done order say 128."""
    site, portal, slurm = world
    order = done_order(portal, "one", cpu=100, mem=128)
    portal.edit("one", ordered=False, limits={"cpu": 100, "mem": 0})
    portal.edit("two", limits={"cpu": 90, "mem": 128})
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=7.50T"
    assert slurm.shown("a_two", "GrpTRESMins") == "cpu=5400000,mem=7.50T", "others go on"
    said = site("plan").out
    assert "mem from 7864320 to 0" in said and "mem=0" in said
    assert f"Create {order}, has mem=128" in said
    assert "reconcile.guards.limit_cuts" in said and "--allow limit_cuts" in said
    found = site("diagnose", "a_one")
    assert found.code == 2 and "[BLOCKED]" in found.out
    assert site("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=0"


def test_what_else_changes_of_the_account_goes_on(world: Site) -> None:
    site, portal, slurm = world
    done_order(portal, "one", cpu=100, mem=128)
    portal.edit("one", ordered=False, limits={"cpu": 200, "mem": 1}, paused=True)
    assert site("apply", "--auto-approve").code == 4
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=12000000,mem=7.50T"
    assert slurm.shown("a_one", "QOS") == "paused"


@pytest.mark.parametrize("state", ["done", "executing", "pending-provider"])
def test_an_order_that_says_so_is_consent(world: Site, state: str) -> None:
    site, portal, slurm = world
    if state == "done":
        portal.edit("one", limits={"cpu": 1, "mem": 0})
    else:
        portal.order("one", "Update", state, limits={"cpu": 1, "mem": 0})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000,mem=0"


def test_a_fall_within_the_share_needs_no_order(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("one", ordered=False, limits={"cpu": 20, "mem": 128})
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=1200000,mem=7.50T"
    site.document["reconcile"]["guards"] = {"limit_cuts": 0.5}
    portal.edit("one", ordered=False, limits={"cpu": 9, "mem": 128})
    assert site("apply", "--auto-approve").code == 4


def test_a_limit_raised_by_hand_is_drift(world: Site) -> None:
    """The order that was done says what the limit is."""
    site, portal, slurm = world
    done_order(portal, "one", cpu=100, mem=128)
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=900000000")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=7.50T"


@pytest.mark.parametrize("how", ["malformed", "unreadable"])
def test_orders_that_cannot_be_read_spoil_no_more_than_the_limits_that_fall(world: Site, how: str) -> None:
    site, portal, slurm = world
    portal.edit("one", ordered=False, limits={"cpu": 100, "mem": 0})
    if how == "malformed":
        portal.order("two", "Create", "done", limits="garbage")
    else:
        portal.faults({"path": r"/marketplace-orders/\?.*state=done", "status": 500})
    site.document["reconcile"]["http_retries"] = 0
    portal.resource("three", limits={"cpu": 1, "mem": 1})
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=7.50T"
    assert "a_three" in slurm.accounts()


def test_an_order_passes_beside_a_limit_that_it_does_not_concern(world: Site) -> None:
    """The limit that nobody ordered away stays, and the customer gets what was ordered."""
    site, portal, slurm = world
    done_order(portal, "one", cpu=100, mem=128)
    portal.edit("one", ordered=False, limits={"cpu": 100, "mem": 0})
    portal.order("one", "Update", "pending-provider", limits={"cpu": 200})
    assert site("apply", "--auto-approve").code == 4
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=12000000,mem=7.50T"
    assert portal.found("order", "one", "Update")["state"] == "done"


def test_the_amounts_of_a_plan_are_the_orders(world: Site) -> None:
    site, portal, slurm = world
    portal.world["offering"]["plans"] = [
        {"uuid": uid("plan", name), "name": name, "quotas": {"cpu": amount}}
        for name, amount in (("big", 1000), ("small", 10))
    ]
    portal.resource("four", limits={"mem": 1}, plan_uuid=uid("plan", "big"))
    assert site("apply", "--auto-approve").code == 0
    portal.order("four", "Update", "pending-provider", limits={}, plan_uuid=uid("plan", "small"))
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("a_four", "GrpTRESMins") == "cpu=600000,mem=60G"
    assert portal.found("order", "four", "Update")["state"] == "done"


def test_what_the_configuration_sets_is_no_order_and_drift_from_it_heals(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["backend_components"]["cpu"] |= {"accounting_type": "usage", "limit": 100}
    assert site("apply", "--auto-approve").code == 0
    for name in ("one", "two"):
        done_order(portal, name, cpu=100, mem=128)
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=900000000")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=7.50T"
    site.document["offerings"][0]["backend_components"]["cpu"]["limit"] = 1
    said = site("apply", "--auto-approve")
    assert said.code == 4
    assert "cpu=1 in the configuration" in said.out
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000,mem=7.50T"


@pytest.fixture
def taken_over(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """A cluster that an older agent made: larger limits than Waldur has, one account without any."""
    for name in ("one", "two"):
        portal.resource(name, backend_id=f"a_{name}", limits={"cpu": 100})
        done_order(portal, name, cpu=100)
    portal.user("tbalice", "climate")
    for account, parent, settings in (
        ("c_nordic", "root", ()), ("p_climate", "c_nordic", ()),
        ("a_one", "p_climate", ("GrpTRESMins=cpu=9000000",)), ("a_two", "p_climate", ()),
    ):  # fmt: skip
        slurm.sacctmgr("add", "account", f"name={account}", "cluster=testbed", f"parent={parent}", *settings)
    return site, portal, slurm


def test_the_first_run_says_what_it_owns_and_cuts_nothing(taken_over: Site) -> None:
    site, _, slurm = taken_over
    said = site("plan").out
    assert said.index("First run against this cluster") < said.index("slurm.account")
    for text in ("accounts  4 (0 to be made)", "limits    GrpTRESMins of 2 accounts", "members   2 (2 to be added)"):
        assert text in said
    for key in ("order_processing_backend", "limits_owner", "membership_sync_backend", "--allow limit_cuts"):
        assert key in said
    for _ in range(2):  # a timer does not wait for anybody's eyes
        assert site("apply", "--auto-approve").code == 4
        assert slurm.shown("a_one", "GrpTRESMins") == "cpu=9000000"
        assert slurm.shown("a_two", "GrpTRESMins") == ""
        assert slurm.users_of("a_one") == {"tbalice"}
    assert "from no limit to 6000000" in site("plan").out
    assert site("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == slurm.shown("a_two", "GrpTRESMins") == "cpu=6000000"
    again = site("plan")
    assert "First run" not in again.out and "No changes." in again.out


@pytest.mark.parametrize("how", ["target", "owner"])
def test_only_a_whole_run_ends_the_first_one(taken_over: Site, how: str) -> None:
    site, _, slurm = taken_over
    if how == "target":
        done = site("apply", "--auto-approve", "--target", "slurm.account[a_two]", "--allow", "limit_cuts")
        assert done.code == 0, done.both
        assert slurm.shown("a_two", "GrpTRESMins") == "cpu=6000000"
    else:
        about = site.document["offerings"][0]
        about["order_processing_backend"] = ""
        assert site("apply", "--auto-approve").code == 0
        about["order_processing_backend"] = "slurm"
    assert site("apply", "--auto-approve").code == 4
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=9000000"
    assert "First run" in site("plan").out


def test_a_customers_order_passes_on_the_first_run(taken_over: Site) -> None:
    site, portal, slurm = taken_over
    portal.order("one", "Update", "pending-provider", limits={"cpu": 50})
    assert site("apply", "--auto-approve").code == 4  # of the other one
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=3000000"
    assert portal.found("order", "one", "Update")["state"] == "done"


def test_a_file_of_report_mode_says_which_mode_is_meant(taken_over: Site) -> None:
    site, _, _ = taken_over
    about = site.document["offerings"][0]
    about |= {"reporting_backend": "slurm", "order_processing_backend": "slurm"}
    about["backend_components"]["cpu"] |= {"accounting_type": "usage", "limit": 10}
    said = site("plan").out
    assert "reconcile usage report" in said and "--mode report" in said
    assert "cpu = 10 k-Hours (backend_components.cpu.limit) x 60000" in said
    assert "limits cpu=100" not in said


def test_consent_is_given_per_kind(site: Program, portal: StandIn, slurm: Slurm) -> None:
    """The first apply after the agents: everybody's default account moves off root, which harms nobody."""
    portal.resource("one", limits={"cpu": 100})
    people = [f"u{number}" for number in range(24)]
    for name in people:
        portal.user(name, "climate")
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "user", f"name={','.join(people)}", "account=root")
    slurm.sacctmgr("modify", "user", "where", f"name={','.join(people)}", "set", "DefaultAccount=root")
    shown = site("plan")
    assert shown.out.count("bypasses every limit") == 1 and "24 users have one" in shown.out
    command = next(line for line in shown.out.splitlines() if "sacctmgr -i remove user" in line).partition("with: ")[2]
    assert site("apply", "--auto-approve").code == 0, "moving default accounts is no mass damage"
    slurm.run(*command.split())
    assert slurm.users_of("root") == {"root"}
    # fairshare of everybody is another thing, and consent to other kinds is none to this one
    slurm.sacctmgr("modify", "user", "where", f"name={','.join(people)}", "account=a_one", "set", "MaxSubmitJobs=0")
    refused = site("apply", "--auto-approve", "--allow", "max_updates_share:slurm.account")
    assert refused.code == 3
    assert "--allow max_updates_share:slurm.association" in refused.err
    assert site("apply", "--auto-approve", "--allow", "max_updates_share:slurm.association").code == 0
    assert site("plan", "--allow", "max_updates_share:slurm.nosuch").code == 1


@pytest.fixture
def last_word(world: Site, tmp_path: Path) -> str:
    """A saved plan that ends one of three resources: less than the guard of few resources bears."""
    site, portal, _ = world
    portal.resource("three", limits={"cpu": 100, "mem": 1})
    assert site("apply", "--auto-approve").code == 0
    portal.order("one", "Terminate", "pending-provider")
    plan = str(tmp_path / "end.plan")
    assert site("plan", "--out", plan).code == 0
    return plan


def test_a_saved_plan_that_dies_when_it_has_ended_a_resource_locks_nobody_out(world: Site, last_word: str) -> None:
    site, portal, _ = world
    portal.faults({"path": "/set_state_done/", "status": 502, "after": True})  # done, and nobody knows
    site("apply", last_word)
    portal.faults()
    assert portal.found("order", "one", "Terminate")["state"] == "done"
    again = site("apply", "--auto-approve")
    assert again.code == 0, again.both


def test_a_saved_plan_that_ends_a_resource_is_missed_by_nobody(world: Site, last_word: str) -> None:
    site, _, slurm = world
    assert site("apply", last_word).code == 0
    assert "a_one" not in slurm.accounts()
    again = site("apply", "--auto-approve")
    assert again.code == 0, again.both
