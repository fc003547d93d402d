"""Orders of customers on a real SLURM and the HTTP stand-in: every type, and who else acts on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.conftest import Site
from tests.live.orders.ordered import KINDS, REQUESTS, SUBJECT, as_ordered, ordered
from tests.standin.portal import uid


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_is_fulfilled_in_one_apply(world: Site, kind: str) -> None:
    site, portal, _ = world
    ordered(portal, kind)
    shown = site("plan")
    assert f'waldur.order["{uid("order", SUBJECT[kind], kind)}"] will be updated in-place' in shown.out
    assert '~ state = "pending-provider" -> "done"' in shown.out
    assert portal.writes() == []
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS[kind]
    as_ordered(world, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_is_executing_already_is_not_approved_again(world: Site, kind: str) -> None:
    site, portal, _ = world
    ordered(portal, kind, "executing")
    portal.edit(SUBJECT[kind], state={"Create": "Creating", "Update": "Updating"}.get(kind, "Terminating"))
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS[kind][1:]
    as_ordered(world, kind)


def test_a_name_that_cannot_be_ends_the_order_before_anything_is_made(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    portal.resource("twin", slug="old", project="other", customer="secret customer", state="Creating")
    portal.order("twin", "Create", "pending-provider")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    order = portal.found("order", "twin", "Create")
    assert order["state"] == "erred"
    assert "name" in order["error_message"]
    assert "secret" not in order["error_message"]
    assert slurm.state() == before
    # whoever had the name first goes on
    assert portal.found("resource", "old")["state"] == "OK"
    portal.edit("old", limits={"cpu": 8})
    site("apply", "--auto-approve")
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=480000"


def test_amounts_that_cannot_be_end_the_order(world: Site) -> None:
    site, portal, slurm = world
    portal.order("old", "Update", "pending-provider", limits={"cpu": -5})
    assert site("apply", "--auto-approve").code == 4
    order = portal.found("order", "old", "Update")
    assert order["state"] == "erred"
    assert "negative amount" in order["error_message"]
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"


def test_what_the_site_has_to_mend_lets_the_order_wait(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["backend_settings"]["qos_default"] = "nosuchqos"
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "waits" in done.out
    assert portal.found("order", "new", "Create")["state"] == "pending-provider"
    assert "a_new" not in slurm.accounts()
    site.document["offerings"][0]["backend_settings"]["qos_default"] = "normal"
    assert site("apply", "--auto-approve").code == 0
    as_ordered(world, "Create")


@pytest.mark.parametrize("state", ["done", "rejected", "canceled"])
def test_an_order_that_somebody_else_finished_is_left_alone(world: Site, state: str) -> None:
    site, portal, slurm = world
    ordered(portal, "Create")
    portal.edit("new", project_uuid=uid("project", "ocean"), project_slug="ocean")  # one that has nothing yet
    moved = [{**o, "state": state} for o in portal.world["orders"]]
    portal.faults({"path": "/approve_by_provider/", "change": {"orders": moved}})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert f"the order is {state} by now" in done.out
    assert portal.writes() == ["order/approve_by_provider"]
    assert not {"a_new", "p_ocean"} & slurm.accounts()
    assert portal.found("order", "new", "Create")["state"] == state


def test_an_order_that_another_agent_approved_meanwhile_goes_on(world: Site) -> None:
    site, portal, _ = world
    ordered(portal, "Create")
    moved = [{**o, "state": "executing"} for o in portal.world["orders"]]
    portal.faults({"path": "/approve_by_provider/", "change": {"orders": moved}})
    assert site("apply", "--auto-approve").code == 0
    as_ordered(world, "Create")


def test_orders_that_wait_for_the_consumer_are_none_of_ours(world: Site) -> None:
    site, portal, slurm = world
    ordered(portal, "Create", "pending-consumer")
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
    assert "a_new" not in slurm.accounts()


def test_one_order_alone_by_target(world: Site) -> None:
    site, portal, slurm = world
    ordered(portal, "Create")
    portal.edit("old", limits={"cpu": 8})
    done = site("apply", "--auto-approve", "--target", f"waldur.order[{uid('order', 'new', 'Create')}]")
    assert done.code == 0, done.both
    assert portal.found("order", "new", "Create")["state"] == "done"
    assert slurm.users_of("a_new") == {"tbalice", "tbbob"}
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"


def test_a_saved_plan_holds_its_orders_or_is_stale(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    ordered(portal, "Create")
    saved = tmp_path / "order.plan"
    assert site("plan", "--out", str(saved)).code == 0
    next(o for o in portal.world["orders"] if o["type"] == "Create")["state"] = "canceled"
    portal.push()
    stale = site("apply", str(saved))
    assert stale.code == 1
    assert "waldur.order" in stale.err
    assert "a_new" not in slurm.accounts()
    next(o for o in portal.world["orders"] if o["type"] == "Create")["state"] = "pending-provider"
    portal.push()
    done = site("apply", str(saved))
    assert done.code == 0, done.both
    as_ordered(world, "Create")


def test_many_orders_at_once(world: Site) -> None:
    """Twelve creations and an end in one apply, in a number of commands that does not grow with them."""
    site, portal, slurm = world
    for number in range(12):
        portal.resource(f"n{number}", state="Creating", project=f"p{number % 3}", limits={"cpu": number + 1})
        portal.order(f"n{number}", "Create", "pending-provider")
    ordered(portal, "Terminate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert all(o["state"] == "done" for o in portal.world["orders"])
    assert {f"a_n{n}" for n in range(12)} <= slurm.accounts()
    assert "a_old" not in slurm.accounts()
    assert site("plan", "--detailed-exitcode").code == 0


def test_what_the_configuration_protects_lets_orders_wait(world: Site) -> None:
    site, portal, slurm = world
    ordered(portal, "Update")
    portal.resource("new", state="Creating", limits={"cpu": 100})
    portal.order("new", "Create", "pending-provider")
    site.document["reconcile"]["guards"] = {"protected": ["root", "a_*"]}
    before = slurm.state()
    assert site("apply", "--auto-approve").code == 4
    assert {o["state"] for o in portal.world["orders"]} == {"pending-provider"}
    assert slurm.state() == before


def test_a_resource_that_is_not_as_it_should_be_stays_erred(world: Site) -> None:
    site, portal, _ = world
    portal.edit("old", state="Erred", error_message="set by staff", limits={"cpu": -5})
    assert site("apply", "--auto-approve").code == 4
    assert portal.found("resource", "old")["state"] == "Erred"
    assert portal.writes() == []


def test_odd_orders_spoil_only_themselves_and_are_said(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("bad", state="Creating")
    portal.order("bad", "Create", "pending-provider", limits=[])
    portal.order("nowhere", "Restore", "executing")
    portal.resource("foreign", state="Terminated", backend_id="a_foreign", offering_uuid=uid("another"))
    portal.order("foreign", "Restore", "executing")
    portal.resource("ended", state="Terminated")
    portal.order("ended", "Create", "executing")
    ordered(portal, "Update", "executing")
    ordered(portal, "Terminate", "executing")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "a_old" not in slurm.accounts()
    assert portal.found("order", "old", "Terminate")["state"] == "done"
    for name, kind in (("nowhere", "Restore"), ("foreign", "Restore"), ("ended", "Create"), ("old", "Update")):
        assert f'waldur.order["{uid("order", name, kind)}"]' in done.out
        assert portal.found("order", name, kind)["state"] == "executing"
    assert portal.found("order", "bad", "Create")["state"] == "pending-provider"
    assert "a_foreign" not in slurm.accounts()
