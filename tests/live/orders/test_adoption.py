"""Orders whose account is there already: whose it is, and which name is taken then."""

from __future__ import annotations

from tests.live.conftest import Site
from tests.live.orders.ordered import as_ordered, ordered
from tests.standin.portal import uid


def test_an_account_in_its_place_that_nobody_owns_is_adopted(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    ordered(portal, "Create")
    shown = site("plan")
    assert "adopt" in shown.out
    assert site("apply", "--auto-approve").code == 0
    as_ordered(world, "Create")


def test_an_account_elsewhere_is_not_adopted(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=root")
    before = slurm.state()
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "nothing shows that it is this one's" in done.out
    assert portal.found("order", "new", "Create")["state"] == "erred"
    assert slurm.state() == before


def test_an_account_of_another_resource_is_not_adopted(world: Site) -> None:
    """Another offering of the provider, not on this configuration, has the account."""
    site, portal, slurm = world
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    portal.resource("theirs", backend_id="a_new", offering_uuid=uid("another"), slug="theirs")
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert '"theirs"' in done.out
    assert portal.found("order", "new", "Create")["state"] == "erred"
    assert slurm.users_of("a_new") == set()


def test_names_of_the_project_are_counted_on_past_accounts_of_others(world: Site) -> None:
    site, portal, slurm = world
    portal.world["offering"]["plugin_options"] = {"account_name_generation_policy": "project_slug"}
    portal.push()
    slurm.sacctmgr("add", "account", "name=a_climate", "cluster=testbed", "parent=root")
    for name in ("one", "two"):
        portal.resource(name, state="Creating")
        portal.order(name, "Create", "pending-provider")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    names = {portal.found("resource", n)["backend_id"] for n in ("one", "two")}
    assert names == {"a_climate-0", "a_climate-1"}
    assert slurm.shown("a_climate", "ParentName") == "root"
    assert site("plan", "--detailed-exitcode").code == 0


def test_a_half_done_create_is_finished_also_where_an_ended_resource_had_the_name(world: Site) -> None:
    site, portal, slurm = world
    portal.world["offering"]["plugin_options"] = {"account_name_generation_policy": "project_slug"}
    portal.push()
    portal.resource("first", project="ocean", state="Terminated", backend_id="a_ocean")
    portal.resource("second", project="ocean", state="Creating", limits={"cpu": 1})
    portal.order("second", "Create", "pending-provider")
    portal.faults({"path": "/set_backend_id/", "status": 500})
    assert site("apply", "--auto-approve").code == 1
    portal.faults()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("resource", "second")["backend_id"] == "a_ocean"
    assert {a for a in slurm.accounts() if "ocean" in a} == {"p_ocean", "a_ocean"}


def test_a_restore_never_harms_who_has_the_name_now(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("dead", slug="dead", project="fusion", state="Terminated", backend_id="a_old")
    portal.order("dead", "Restore", "pending-provider")
    ordered(portal, "Update")
    assert site("apply", "--auto-approve").code == 4
    assert portal.found("order", "dead", "Restore")["state"] == "erred"
    assert portal.found("order", "old", "Update")["state"] == "done"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=540000"
