"""Reports that fail on the way, and what the next one makes of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.cli.usage.conftest import Jobs
from tests.conftest import Program
from tests.standin.portal import StandIn, uid
from tests.usage import LAST, THIS, held, report, users


def test_a_lost_answer_is_no_failure(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """Success is what the next read shows."""
    jobs.ran("a_climate-a", "alice", 3)
    portal.faults({"path": "set_usage/", "status": 502, "after": True, "body": "<html>proxy</html>"})
    report(site)
    assert held(portal) == {"cpu": "3.00"}


def test_users_that_could_not_be_sent_are_sent_next_time(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    portal.faults({"path": "set_user_usages", "status": 500})
    assert "failed" in report(site, code=1)
    assert (held(portal), users(portal, "cpu")) == ({"cpu": "3.00"}, {})
    report(site)
    assert users(portal, "cpu") == {"alice": "3.00"}


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ({"ignore_filters": True, "usages": [{"billing_period": "2020-01-01"}]}, "got a row of 2020-01-01"),
        (
            {"usages": [{"billing_period": f"{THIS}-01", "offering_uuid": "0" * 32}], "ignore_filters": True},
            "got a row",
        ),
        ({"usages": [{"billing_period": f"{THIS}-01", "usage": "NaN"}]}, "usage"),
        ({"usages": [{"billing_period": f"{THIS}-01", "usage": None}]}, "usage"),
    ],
)
def test_answers_that_cannot_be_trusted(
    site: Program, portal: StandIn, jobs: Jobs, world: dict[str, Any], message: str
) -> None:
    site.document["reporting_periods"] = 1
    row = {"uuid": uid("usage"), "resource_uuid": uid("resource", "climate-a"), "type": "cpu", "usage": "1.00"}
    portal.world.update({**world, "usages": [{**row, **u} for u in world["usages"]]})
    portal.push()
    jobs.ran("a_climate-a", "alice", 3)
    assert message in report(site, code=1)
    assert portal.writes() == []


def test_a_month_that_cannot_be_read_does_not_stop_the_other(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    portal.faults({"path": f"billing_period={LAST}-01", "status": 500, "times": 9})
    planned = site("plan", "--mode", "report", "--json")
    assert planned.code == 1, planned.both
    document = json.loads(planned.out)
    assert (document["complete"], document["errored"], document["applyable"]) == (False, True, True)
    portal.faults({"path": f"billing_period={LAST}-01", "status": 500, "times": 9})
    said = report(site, code=1)  # nothing is blocked; something is not known
    assert f"usage of {LAST} could not be read" in said
    assert held(portal) == {"cpu": "3.00"}


@pytest.mark.parametrize("part", ["/set_usage/", "/set_user_usages/"])
@pytest.mark.parametrize("after", [True, False], ids=["done", "not done"])
def test_kill_9_at_each_request_heals_and_bills_nothing_twice(
    site: Program, portal: StandIn, jobs: Jobs, part: str, after: bool
) -> None:
    jobs.ran("a_climate-a", "alice", 3, "cpu=4,gres/gpu=1")
    jobs.ran("a_climate-a", "bob", 1)
    portal.faults({"path": part, "status": 500, "after": after, "sleep": 1.0})
    with site.begun("usage", "report", "--auto-approve") as process:
        while not any(part in e["path"] for e in portal.log()):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    time.sleep(1.2)  # the stand-in ends the request that nobody waits for
    portal.faults()
    report(site)
    assert held(portal) == {"cpu": "13.00", "gpu": "3.00"}
    assert users(portal, "cpu") == {"alice": "12.00", "Bob": "1.00"}
    assert "No changes" in report(site)
