"""What is told to Waldur of usage, of which plan and month, and to which server."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from tests.cli.usage.conftest import Jobs
from tests.conftest import ROOT, Program
from tests.standin.portal import StandIn, uid
from tests.usage import COMPONENTS, LAST, THIS, held, report, users


def bodies(portal: StandIn, part: str) -> list[dict[str, Any]]:
    return [json.loads(e["body"]) for e in portal.log() if e["method"] == "POST" and part in e["path"]]


def test_totals_in_one_request_and_users_in_another(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3, "cpu=4,gres/gpu=1")
    jobs.ran("a_climate-a", "bob", 1)
    report(site)
    assert (
        portal.writes()
        == [
            "marketplace-component-usages/post",
            "marketplace-component-usages/set_user_usages",
            "marketplace-component-usages/set_user_usages",
        ]
        or [w.rpartition("/")[2] for w in portal.writes()].count("set_user_usages") == 2
    )
    assert held(portal) == {"cpu": "13.00", "gpu": "3.00"}
    assert users(portal, "cpu") == {"alice": "12.00", "Bob": "1.00"}  # as Waldur spells them
    assert bodies(portal, "/set_usage/")[0]["date"] == f"{THIS}-01T00:00:00"


def test_the_plan_says_what_would_be_sent_and_why(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    planned = site("plan", "--mode", "report")
    assert planned.code == 0, planned.both
    assert f'waldur.usage["{uid("resource", "climate-a")}","{THIS}","cpu"] will be created' in planned.out
    assert f'resource "climate-a", account a_climate-a: sacct of {THIS}' in planned.out
    assert '+ total = "3.00"' in planned.out and '"alice": "3.00"' in planned.out
    assert portal.writes() == []
    document = json.loads(site("plan", "--mode", "report", "--json").out)
    jsonschema.validate(document, json.loads((ROOT / "docs" / "plan.schema.json").read_text()))
    changed = document["resource_changes"]
    assert changed[0]["change"]["after"] == {"total": "3.00", "users": {"alice": "3.00"}}


def test_all_components_of_a_resource_stay_its_current_usage(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3, "cpu=4,gres/gpu=1")
    report(site)
    jobs.ran("a_climate-a", "alice", 1, "cpu=4")
    report(site)
    # the server keeps only what the last request named
    current = portal.found("resource", "climate-a")["current_usages"]
    assert {k: float(v) for k, v in current.items()} == {"cpu": 16, "gpu": 3}


def test_only_users_that_changed_are_sent(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    jobs.ran("a_climate-a", "bob", 3)
    report(site)
    portal.forget()
    jobs.ran("a_climate-a", "bob", 3)
    report(site)
    assert [u["username"] for b in bodies(portal, "set_user_usages") for u in b["usages"]] == ["Bob"]


def test_nothing_used_is_not_told(site: Program, portal: StandIn) -> None:
    assert "No changes. Waldur has all usage." in report(site)
    assert portal.writes() == []


def test_uuids_with_and_without_dashes(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    report(site)
    for usage in portal.world["usages"]:
        usage["uuid"] = str(UUID(usage["uuid"]))
    portal.push()
    portal.forget()
    assert "No changes" in report(site)
    assert portal.writes() == []


def test_units_of_reporting(site: Program, portal: StandIn, jobs: Jobs) -> None:
    site.document["offerings"][0]["backend_components"] = {
        "cpu": {**COMPONENTS["cpu"], "unit_factor": 60000, "unit_factor_reporting": 60},
        "gpu": {"measured_unit": "x", "accounting_type": "usage", "unit_factor": 6, "label": "x", "limit": 5},
    }
    jobs.ran("a_climate-a", "alice", 3, "cpu=1,gpu=2")
    report(site)
    assert held(portal) == {"cpu": "3.00", "gpu": "60.00"}
    rows = json.loads(site("usage", "show", "--json").out)["usage"]
    assert {r["component"]: (r["used"], r["limit"]) for r in rows} == {
        "cpu": ("3.00", "100.00"),
        "gpu": ("60.00", "5.00"),
    }


def test_months_as_configured(site: Program, portal: StandIn, jobs: Jobs) -> None:
    site.document["reporting_periods"] = 1
    jobs.ran("a_climate-a", "alice", 3, month=LAST)
    report(site)
    assert held(portal, period=LAST) == {}
    site.document["reporting_periods"] = 2
    report(site)
    assert held(portal, period=LAST) == {"cpu": "3.00"}


def test_last_month_of_usage_billed_components_takes_staff(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3, "cpu=1,gres/gpu=1", month=LAST)
    said = report(site)  # no failure: nothing that the provider could do about it
    assert "that month is over: a staff user's token sets them" in said
    assert held(portal, period=LAST) == {"cpu": "3.00"}
    portal.world["staff"] = True
    portal.push()
    report(site)
    assert held(portal, period=LAST) == {"cpu": "3.00", "gpu": "3.00"}


def test_a_resource_that_changed_its_plan(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """Each plan has a row of its own in the month; their sum is what was used."""
    jobs.ran("a_climate-a", "alice", 3)
    report(site)
    portal.edit("climate-a", plan_period="second")
    jobs.ran("a_climate-a", "alice", 4)
    jobs.ran("a_climate-a", "bob", 1)
    report(site)
    rows = {u["plan"]: (u["usage"], u["users"]) for u in portal.world["usages"] if u["type"] == "cpu"}
    assert rows == {"": ("3.00", {"alice": "3.00"}), "second": ("5.00", {"alice": "4.00", "Bob": "1.00"})}
    assert "No changes" in report(site)
    jobs.ran("a_climate-a", "alice", 1)
    report(site)
    assert held(portal) == {"cpu": "9.00"}


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "set_usage/", "status": 502, "after": True, "body": "<html>proxy</html>"},
        {"path": "plan_periods", "status": 500, "times": 9},
    ],
)
def test_a_plan_that_changed_and_a_failure_in_between(
    site: Program, portal: StandIn, jobs: Jobs, fault: dict[str, Any]
) -> None:
    """The row of the new plan may hold everything for a moment; whatever happens then, the sum becomes right."""
    jobs.ran("a_climate-a", "alice", 60)
    report(site)
    portal.edit("climate-a", plan_period="second")
    jobs.ran("a_climate-a", "alice", 1)
    portal.faults(fault)
    site("usage", "report", "--auto-approve")
    portal.faults()
    site("usage", "report", "--auto-approve")
    assert held(portal) == {"cpu": "61.00"}
    assert "No changes" in report(site)


def test_an_account_that_another_resource_takes_over(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """What the first one was told is not told of the second one again."""
    jobs.ran("a_climate-a", "alice", 60)
    report(site)
    portal.edit("climate-a", state="Terminated")
    portal.resource("heir", backend_id="a_climate-a", created=f"{THIS}-02T10:00:00Z")
    jobs.ran("a_climate-a", "alice", 5)
    jobs.ran("a_climate-a", "bob", 1)
    report(site)
    assert held(portal) == {"cpu": "60.00"}
    assert held(portal, "heir") == {"cpu": "6.00"}
    assert users(portal, "cpu", "heir") == {"alice": "5.00", "Bob": "1.00"}
    assert "No changes" in report(site)


def test_an_older_server(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.world["version"] = "7.0.7"
    portal.push()
    jobs.ran("a_climate-a", "alice", 3)
    jobs.ran("a_climate-a", "bob", 2)
    jobs.ran("a_climate-a", "alice", 7, month=LAST)
    said = report(site)
    assert "this Waldur knows the current month only" in said
    assert held(portal) == {"cpu": "5.00"}
    assert held(portal, period=LAST) == {}
    assert users(portal, "cpu") == {"alice": "3.00", "Bob": "2.00"}
    assert "No changes" in report(site)
