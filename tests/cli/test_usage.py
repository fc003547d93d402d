"""Usage told to Waldur: what is sent, what is not, and what a person is told; sacct is a program of ours."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from reconciler.accounting import Accounting
from reconciler.config import Runner, load
from reconciler.errors import StalePlanError
from reconciler.plan import Plan
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.accounting import COLUMNS
from reconciler.state.diff import Change
from reconciler.store.locks import cluster_lock
from tests.conftest import ROOT, Program, offering
from tests.standin.portal import StandIn, uid

NOW = datetime.now(UTC)
THIS = f"{NOW:%Y-%m}"
LAST = f"{NOW.year - (NOW.month == 1)}-{(NOW.month - 2) % 12 + 1:02d}"
COMPONENTS: dict[str, Any] = {
    "cpu": {"measured_unit": "CPU-hours", "unit_factor": 60, "accounting_type": "limit", "label": "CPU"},
    "gpu": {
        "measured_unit": "GPU-hours",
        "accounting_type": "usage",
        "label": "GPU",
        "target_components": {"gres/gpu": {"factor": 60}},
    },
}


class Jobs:
    """A sacct that knows jobs by month."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.numbers = 0
        program = directory / "sacct"
        program.write_text(
            f'#!/bin/sh\necho "{"|".join(COLUMNS)}"\n'
            f'while [ $# -gt 1 ]; do [ "$1" = -S ] && month=${{2%-01T*}}; shift; done\n'
            f"cat {directory}/$month 2>/dev/null; exit 0\n"
        )
        program.chmod(0o755)

    def ran(self, account: str, user: str, hours: float, tres: str = "cpu=1", month: str = THIS) -> None:
        self.numbers += 1
        start = int(datetime.fromisoformat(f"{month}-10T00:00:00+00:00").timestamp())
        end = start + int(hours * 3600)
        with (self.directory / month).open("a") as file:
            file.write(f"{self.numbers}|{account}|{user}|{tres}|{end - start}|{start}|{end}|COMPLETED\n")

    def forget(self, month: str = THIS) -> None:
        (self.directory / month).unlink(missing_ok=True)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "bin")


@pytest.fixture
def site(tmp_path: Path, portal: StandIn, jobs: Jobs) -> Program:
    program = Program(tmp_path)
    where = {"slurm_bin_path": str(jobs.directory)}
    about = offering(portal.url, backend_settings=where, backend_components=copy.deepcopy(COMPONENTS))
    program.document["offerings"] = [about]
    program.document["reconcile"]["http_retries"] = 1
    portal.resource("climate-a", backend_id="a_climate-a", limits={"cpu": 100})
    portal.user("alice", "climate")
    portal.user("Bob", "climate")
    portal.forget()
    return program


def held(portal: StandIn, name: str = "climate-a", period: str = THIS) -> dict[str, str]:
    found: dict[str, str] = {}
    for usage in portal.world.get("usages", []):
        if usage["resource_uuid"] == uid("resource", name) and usage["billing_period"] == f"{period}-01":
            found[usage["type"]] = f"{float(found.get(usage['type'], 0)) + float(usage['usage']):.2f}"
    return found


def users(portal: StandIn, component: str, name: str = "climate-a", period: str = THIS) -> dict[str, str]:
    rows = [
        u
        for u in portal.world["usages"]
        if (u["resource_uuid"], u["type"], u["billing_period"]) == (uid("resource", name), component, f"{period}-01")
    ]
    return {k: v for u in rows for k, v in u["users"].items()}


def report(site: Program, *arguments: str, code: int = 0) -> str:
    ran = site("usage", "report", "--auto-approve", *arguments)
    assert ran.code == code, ran.both
    return ran.both


def bodies(portal: StandIn, part: str) -> list[dict[str, Any]]:
    return [json.loads(e["body"]) for e in portal.log() if e["method"] == "POST" and part in e["path"]]


# ---------------------------------------------------------------------- what is sent


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


# ---------------------------------------------------------------------- plans of Waldur


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


# ---------------------------------------------------------------------- servers before 8


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


class Clock:
    """Moments, one after the other; the last one stays."""

    def __init__(self, *moments: str) -> None:
        self.moments = [datetime.fromisoformat(m + "+00:00") for m in moments]

    def __call__(self) -> datetime:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def accounting(site: Program, clock: Clock) -> Accounting:
    config = load(site.write())
    settings = config.offerings[0].backend_settings
    runner = CommandRunner(Runner(slurm_bin_path=settings.slurm_bin_path))
    return Accounting(config, "usage-test", config.offerings, runner, clock=clock)


def sent(portal: StandIn) -> list[tuple[str, str]]:
    return [
        (b["date"][:7], u["amount"]) for b in bodies(portal, "/set_usage/") for u in b["usages"] if u["type"] == "cpu"
    ]


def test_a_month_that_ends_during_the_read(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """What was read for October is told as October's, however late it is by then."""
    jobs.ran("a_climate-a", "alice", 3, month="2026-10")
    jobs.ran("a_climate-a", "alice", 1, month="2026-11")
    one = accounting(site, Clock("2026-10-31T23:59:59", "2026-11-01T00:00:03"))
    plan = one.plan().plan
    assert not one.apply(plan).failures
    assert sent(portal) == [("2026-10", "3.00")]
    later = accounting(site, Clock("2026-11-01T00:05:00"))
    assert not later.apply(later.plan().plan).failures
    assert sent(portal) == [("2026-10", "3.00"), ("2026-11", "1.00")]
    assert held(portal, period="2026-10") == {"cpu": "3.00"}


def test_where_the_site_s_month_begins_before_the_server_s(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """A server that takes no date would put the first hours of December into November."""
    site.document["timezone"] = "Europe/Tallinn"
    jobs.ran("a_climate-a", "alice", 1, month="2026-12")
    portal.world["version"] = "7.0.7"
    portal.push()
    one = accounting(site, Clock("2026-11-30T22:30:00"))
    planned = one.plan().plan
    assert [c.address.key[1] for c in planned.changes] == []
    assert any("current month only" in n.text for n in planned.waiting)
    portal.world["version"] = "8.1"
    portal.push()
    one = accounting(site, Clock("2026-11-30T22:30:00"))
    assert [c.address.key[1] for c in one.plan().plan.changes] == ["2026-12"]


def test_a_saved_plan_is_not_told_to_another_month_of_an_older_server(
    site: Program, portal: StandIn, jobs: Jobs
) -> None:
    portal.world["version"] = "7.0.7"
    portal.push()
    jobs.ran("a_climate-a", "alice", 3, month=LAST)
    one = accounting(site, Clock(f"{LAST}-20T12:00:00"))
    plan: Plan = one.plan().plan
    changes: tuple[Change, ...] = plan.changes
    assert len(changes) == 1
    outcome = accounting(site, Clock(f"{THIS}-01T12:00:00")).apply(plan)
    assert "this Waldur knows the current month only" in next(iter(outcome.failures.values()))
    assert portal.writes() == []


# ---------------------------------------------------------------------- what must not be sent


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


def test_a_month_moved_on_while_a_person_thought(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    one = accounting(site, Clock(f"{THIS}-20T12:00:00"))
    plan = one.plan().plan
    jobs.ran("a_climate-a", "alice", 5)
    report(site)
    with pytest.raises(StalePlanError, match="stale"):
        one.apply(plan)
    assert held(portal) == {"cpu": "8.00"}


def test_one_report_at_a_time(site: Program, portal: StandIn, jobs: Jobs, tmp_path: Path) -> None:
    site.write()
    with cluster_lock(tmp_path / "state", "usage-default"):
        assert "another apply is running" in report(site, code=1)


# ---------------------------------------------------------------------- failures on the way


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
    said = report(site, code=4)
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
    site.write()
    environment = {**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path)}
    argv = [sys.executable, "-m", "reconciler", "usage", "report", "--auto-approve"]
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
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


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backfill", "--from", "2024-05", "--to", "2024-01"), "is later than"),
        (("backfill", "--from", "soon", "--to", "2024-01"), "not a month: 'soon'"),
        (("backfill", "--from", "2024-01", "--to", "2999-01"), "has not begun"),
        (("backfill", "--from", "2024-01", "--to", "2024-01", "--token-file", "/nowhere"), "cannot be read"),
        (("show", "--period", "2999-01"), "has not begun"),
        (("show", "--period", "11/2026"), "not a month"),
        (("show", "--json", "--csv"), "exclude each other"),
    ],
)
def test_bad_options(site: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = site("usage", *arguments)
    assert ran.code == 1
    assert message in ran.both


def test_a_token_file_is_used_and_never_shown(site: Program, portal: StandIn, jobs: Jobs, tmp_path: Path) -> None:
    token = "s3cret-of-a-staff-user"
    path = tmp_path / "staff.token"
    path.write_text(f"{token}\n")
    jobs.ran("a_climate-a", "alice", 3, month="2024-01")
    span = ("usage", "backfill", "--from", "2024-01", "--to", "2024-01", "--token-file", str(path), "--json")
    ran = site(*span)
    assert ran.code == 1 and token not in ran.both  # Waldur does not know it
    portal.world.update(token=token, staff=True)
    portal.push()
    ran = site(*span)
    assert ran.code == 0, ran.both
    assert token not in ran.both
    assert json.loads(ran.out)["months"] == [
        {"usage": "usage-default", "month": "2024-01", "state": "sent", "changes": 1, "blocked": 0}
    ]


def test_events_of_a_report(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    ran = site("usage", "report", "--auto-approve", "--json")
    kinds = [json.loads(line)["type"] for line in ran.out.splitlines()]
    assert kinds[-1] == "change_summary" and "apply_complete" in kinds


def test_what_is_incomplete_is_said_wherever_it_is_shown(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.resource("other", backend_id="a_other")
    jobs.ran("a_climate-a", "alice", 3, "cpu=many")
    jobs.ran("a_other", "alice", 3)
    for command in ("show", "verify"):
        ran = site("usage", command)
        assert ran.code == 1
        assert "account a_climate-a, " in ran.both and "cpu=many" in ran.both
    assert "a_other" in site("usage", "show").out


def test_nothing_is_cut_off_in_a_pipe(site: Program, portal: StandIn, jobs: Jobs) -> None:
    account = "a_" + "very-long-name-of-an-allocation-" * 3
    portal.resource("long", backend_id=account)
    jobs.ran(account, "alice", 45)
    assert account in site.process("usage", "show").out


def test_bars_and_numbers(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 45)
    shown = site("usage", "show").out
    assert "█████████" in shown and "45%" in shown
    assert "no limit" in shown  # of gpu
    header, first, *_ = site("usage", "show", "--csv").out.splitlines()
    assert header == "offering,account,resource,period,user,component,unit,used,limit,incomplete"
    assert first == f"Cluster A,a_climate-a,climate-a,{THIS},,cpu,CPU-hours,45.00,100.00,"
