"""What must not be sent."""

from __future__ import annotations

from pathlib import Path

from reconciler.store.locks import cluster_lock
from tests.cli.usage.conftest import Jobs
from tests.conftest import Program
from tests.standin.portal import StandIn, uid
from tests.usage import held, report, users


def test_a_fall_of_a_user_s_part(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    report(site)
    jobs.forget()
    jobs.ran("a_climate-a", "bob", 4)
    said = report(site, code=4)
    assert "alice's would fall from 3.00 to 0.00" in said
    assert users(portal, "cpu") == {"alice": "3.00"}
    site.document["reconcile"]["guards"] = {"allow_decrease": True}
    report(site)
    assert users(portal, "cpu") == {"alice": "0.00", "Bob": "4.00"}
    assert "No changes" in report(site)


def test_more_than_waldur_takes(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 100, "cpu=1,gres/gpu=11")
    said = report(site, code=4)
    assert "limit_amount of 1000" in said
    assert held(portal) == {"cpu": "100.00"}


def test_what_waldur_refuses_has_a_name_and_the_rest_goes_on(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.world["offering"]["components"] = [
        {"uuid": uid("c", "cpu"), "type": "cpu", "billing_type": "limit"},
        # bounded by the year, so that only the server knows
        {
            "uuid": uid("c", "gpu"), "type": "gpu", "billing_type": "usage", "limit_amount": 5, "limit_period": "annual"
        },
    ]  # fmt: skip
    portal.push()
    jobs.ran("a_climate-a", "alice", 3, "cpu=1,gres/gpu=11")
    said = report(site, code=1)
    assert "Total amount exceeds limit. Total amount: 33.00, limit: 5." in said
    assert held(portal) == {"cpu": "3.00"}


def test_components_that_waldur_lacks(site: Program, portal: StandIn, jobs: Jobs) -> None:
    site.document["offerings"][0]["backend_components"]["billing"] = {
        "measured_unit": "x", "accounting_type": "usage", "label": "x"
    }  # fmt: skip
    jobs.ran("a_climate-a", "alice", 3, "cpu=1,billing=9")
    assert "Waldur has no component 'billing' (reconcile components push makes it)" in report(site)
    assert held(portal) == {"cpu": "3.00"}


def test_two_resources_on_one_account(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.resource("twin", backend_id="A_climate-a")
    portal.resource("other", backend_id="a_other")
    jobs.ran("a_climate-a", "alice", 3)
    jobs.ran("a_other", "alice", 2)
    assert "2 resources share 'a_climate-a'" in report(site, code=4)
    assert (held(portal), held(portal, "twin"), held(portal, "other")) == ({}, {}, {"cpu": "2.00"})


def test_a_resource_in_error_waits(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.edit("climate-a", state="Erred")
    jobs.ran("a_climate-a", "alice", 3)
    assert "Waldur takes none in state Erred" in report(site)
    assert portal.writes() == []


def test_reporting_that_is_off(site: Program, portal: StandIn, jobs: Jobs) -> None:
    about = site.document["offerings"][0]
    about.update(order_processing_backend="slurm", membership_sync_backend="slurm")
    jobs.ran("a_climate-a", "alice", 3)
    ran = site("usage", "report", "--auto-approve")
    assert ran.code == 1
    assert "no offering reports usage" in ran.both or "reports no usage" in ran.both


def test_one_report_at_a_time(site: Program, portal: StandIn, jobs: Jobs, tmp_path: Path) -> None:
    site.write()
    with cluster_lock(tmp_path / "state", "usage-default"):
        assert "another apply is running" in report(site, code=1)


def test_one_step_of_rounding_is_no_fall(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """The agent before rounded otherwise: 0.01 too much in the total and of a user."""
    jobs.ran("a_climate-a", "alice", 3)
    report(site)
    row = next(u for u in portal.world["usages"] if u["type"] == "cpu")
    row["usage"], row["users"] = "3.01", {"alice": "3.01"}
    portal.push()
    portal.forget()
    assert "No changes" in report(site)
    assert portal.writes() == []
    jobs.ran("a_climate-a", "alice", 1)  # what is more is sent as it is
    report(site)
    assert held(portal) == {"cpu": "4.00"}
    row = next(u for u in portal.world["usages"] if u["type"] == "cpu")
    row["usage"] = "4.02"
    portal.push()
    assert "it would fall from 4.02 to 4.00" in report(site, code=4)
