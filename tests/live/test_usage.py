"""Usage on a real SLURM: what sacct tells, what Waldur is told, what slurmctld counted."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn, uid

COMPONENTS = {
    "cpu": {"measured_unit": "CPU-hours", "unit_factor": 60, "accounting_type": "limit", "label": "CPU"},
    "mem": {"measured_unit": "GB-hours", "unit_factor": 61440, "accounting_type": "limit", "label": "RAM"},
    "gpu": {
        "measured_unit": "GPU-hours",
        "accounting_type": "usage",
        "label": "GPU",
        "target_components": {"gres/gpu": {"factor": 60}},
    },
}
NOW = datetime.now(UTC)
THIS = f"{NOW:%Y-%m}"
LAST = f"{NOW.year - (NOW.month == 1)}-{(NOW.month - 2) % 12 + 1:02d}"


@pytest.fixture
def used(site: Program, slurm: Slurm, portal: StandIn) -> Program:
    """Two allocations with members, as apply makes them, and nothing used yet."""
    site.document["offerings"][0]["backend_components"] = COMPONENTS
    site.document["offerings"][0]["reporting_backend"] = "slurm"
    site.document["reconcile"]["usage_minutes"] = 0
    portal.resource("climate-a", backend_id="a_climate-a", limits={"cpu": 100, "mem": 1000, "gpu": 10})
    portal.resource("fusion-b", project="fusion", backend_id="a_fusion-b", limits={"cpu": 100, "mem": 10, "gpu": 1})
    portal.user("tbalice", "climate", "fusion")
    portal.user("tbbob", "climate")
    assert site("apply", "--auto-approve").code == 0
    portal.forget()
    return site


def held(portal: StandIn, name: str, period: str = THIS) -> dict[str, str]:
    """Totals that the portal holds of a resource."""
    return {
        u["type"]: u["usage"]
        for u in portal.world.get("usages", [])
        if u["resource_uuid"] == uid("resource", name) and u["billing_period"] == f"{period}-01"
    }


def users_of(portal: StandIn, name: str, component: str, period: str = THIS) -> dict[str, str]:
    return next(
        dict(u["users"])
        for u in portal.world["usages"]
        if (u["resource_uuid"], u["type"], u["billing_period"]) == (uid("resource", name), component, f"{period}-01")
    )


def report(site: Program, *arguments: str, code: int = 0) -> str:
    ran = site("usage", "report", "--auto-approve", *arguments)
    assert ran.code == code, ran.both
    return ran.both


def test_allocated_not_requested_by_user_and_component(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T02:30:00", "cpu=4,mem=2048,gres/gpu=1")
    slurm.ran("a_climate-a", "tbbob", f"{THIS}-01T01:00:00", f"{THIS}-01T01:30:00", "cpu=64,mem=256000,gres/gpu=8")
    report(used)
    assert held(portal, "climate-a") == {"cpu": "38.00", "mem": "128.00", "gpu": "5.50"}
    assert users_of(portal, "climate-a", "cpu") == {"tbalice": "6.00", "tbbob": "32.00"}
    assert held(portal, "fusion-b") == {}
    # what is equal is not sent again: neither totals nor users
    portal.forget()
    assert "No changes" in report(used)
    assert portal.writes() == []


def test_a_job_over_the_boundary_counts_in_both_months(used: Program, slurm: Slurm, portal: StandIn) -> None:
    # Tallinn is two hours ahead in winter, three in summer: its November begins at 22:00 UTC
    used.document["timezone"] = "Europe/Tallinn"
    site_now = f"{THIS}-01T00:00:00"
    begins = int(datetime.fromisoformat(f"{site_now}+02:00").timestamp())
    moment = lambda s: f"{datetime.fromtimestamp(begins + s, UTC):%Y-%m-%dT%H:%M:%S}"  # noqa: E731
    slurm.ran("a_climate-a", "tbalice", moment(-7200), moment(14400), "cpu=1")
    report(used, code=0)
    assert held(portal, "climate-a", LAST) == {"cpu": "2.00"}
    assert held(portal, "climate-a", THIS) == {"cpu": "4.00"}


def test_the_hour_that_comes_twice_counts_twice(used: Program, slurm: Slurm, portal: StandIn) -> None:
    used.document["timezone"] = "Europe/Tallinn"
    portal.world["staff"] = True
    portal.push()
    # October 2026 has 745 hours in Tallinn, March 743; the job runs from before to after each
    for first, last in (("2026-09-20", "2026-11-10"), ("2026-02-20", "2026-04-10")):
        slurm.ran("a_climate-a", "tbalice", f"{first}T00:00:00", f"{last}T00:00:00", "cpu=1")
    ran = used("usage", "backfill", "--from", "2026-03", "--to", "2026-10")
    assert ran.code == 0, ran.both
    assert held(portal, "climate-a", "2026-10") == {"cpu": "745.00"}
    assert held(portal, "climate-a", "2026-03") == {"cpu": "743.00"}
    assert held(portal, "climate-a", "2026-05") == {}


def test_jobs_that_really_ran_agree_with_slurmctld(used: Program, slurm: Slurm, portal: StandIn) -> None:
    """Requeued, suspended, exclusive, an array, a cancelled one: the database's sum is slurmctld's."""
    requeued = slurm.submit("a_climate-a", "tbalice", 20, "-n4", "--gres=gpu:1", "--mem=64M", "--requeue")
    suspended = slurm.submit("a_climate-a", "tbalice", 20, "-n2", "--mem=100M")
    slurm.submit("a_climate-a", "tbbob", 2, "--array=0-2", "-n1", "--mem=50M")
    slurm.until("RUNNING", requeued, suspended)
    slurm.run("scontrol", "suspend", suspended)
    time.sleep(3)
    slurm.run("scontrol", "resume", suspended)
    slurm.run("scontrol", "requeue", requeued)
    time.sleep(1)
    slurm.run("scontrol", "update", f"JobId={requeued}", "StartTime=now")  # it would wait for two minutes
    slurm.submit("a_climate-a", "tbbob", 2, "--exclusive")
    slurm.wait()
    rows = [
        line.split("|")
        for line in slurm.run(
            "sacct", "-aXDPn", "-S", f"{THIS}-01", "-A", "a_climate-a", "-o", "JobIDRaw,State,AllocCPUS,ElapsedRaw"
        ).splitlines()
    ]
    assert sum(r[0] == requeued for r in rows) == 2, rows  # both runs are there, and both count
    seconds = sum(int(r[2]) * int(r[3]) for r in rows)
    shown = used("usage", "show", "a_climate-a", "--json")
    cpu = next(u for u in json.loads(shown.out)["usage"] if u["component"] == "cpu")
    assert float(cpu["used"]) == pytest.approx(seconds / 3600, abs=0.006)
    assert any(int(r[2]) == 64 for r in rows)  # --exclusive takes the whole node
    # slurmctld adds up once a minute, and sees an end up to a second later than slurmdbd is told; then it agrees
    late = sum(int(r[2]) for r in rows)
    for _ in range(90):
        counted = slurm.run("sshare", "-nP", "-A", "a_climate-a", "-o", "Account,GrpTRESRaw").strip()
        minutes = int(counted.split("cpu=")[1].split(",")[0])
        if seconds // 60 <= minutes <= (seconds + late) // 60:
            break
        time.sleep(1)
    assert seconds // 60 <= minutes <= (seconds + late) // 60
    verified = used("usage", "verify", "--tolerance", "0.3", "--json")  # a second of a few minutes is much
    row = next(
        c
        for c in json.loads(verified.out)["comparisons"]
        if (c["account"], c["component"], c["span"]) == ("a_climate-a", "cpu", "all time")
    )
    assert not row["differs"], row


def test_a_job_that_is_suspended_stands_still(used: Program, slurm: Slurm, portal: StandIn) -> None:
    job = slurm.submit("a_climate-a", "tbalice", 60, "-n64")
    slurm.until("RUNNING", job)
    time.sleep(2)
    slurm.run("scontrol", "suspend", job)
    slurm.until("SUSPENDED", job)
    report(used)
    before = held(portal, "climate-a")
    assert before
    time.sleep(3)
    assert "No changes" in report(used)  # not a second more
    assert held(portal, "climate-a") == before
    slurm.run("scontrol", "resume", job)
    slurm.until("RUNNING", job)
    time.sleep(2)
    report(used)  # and nothing falls when it goes on
    assert float(held(portal, "climate-a")["cpu"]) > float(before["cpu"])


def test_what_would_fall_is_blocked_and_the_rest_goes_on(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4,mem=2048")
    slurm.ran("a_fusion-b", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    report(used)
    # part of the records is purged, and something new ran meanwhile
    slurm.sql("delete from testbed_job_table where account = 'a_climate-a';")
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T04:00:00", f"{THIS}-01T05:00:00", "cpu=1,mem=61440")
    slurm.ran("a_fusion-b", "tbalice", f"{THIS}-01T05:00:00", f"{THIS}-01T06:00:00", "cpu=4")
    said = report(used, code=4)
    assert "it would fall from 8.00 to 1.00" in said
    assert "--allow-decrease" in said
    assert held(portal, "climate-a") == {"cpu": "8.00", "mem": "60.00"}  # per component, the others go on
    assert held(portal, "fusion-b") == {"cpu": "12.00"}
    report(used, "--allow-decrease")
    assert held(portal, "climate-a") == {"cpu": "1.00", "mem": "60.00"}
    assert users_of(portal, "climate-a", "cpu") == {"tbalice": "1.00"}


def test_no_rows_from_a_failed_query_change_nothing(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    report(used)
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        assert "accounting records purged, or did the query fail" in report(used, code=4)
        assert held(portal, "climate-a") == {"cpu": "8.00"}
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    assert "No changes" in report(used)


def test_a_bad_record_spoils_only_its_account(used: Program, slurm: Slurm, portal: StandIn) -> None:
    for account in ("a_climate-a", "a_fusion-b"):
        slurm.ran(account, "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "")  # nothing allocated
    said = report(used, code=4)
    assert "incomplete, so not sent: 1 of its records cannot be understood" in said
    assert held(portal, "climate-a") == {}
    assert held(portal, "fusion-b") == {"cpu": "8.00"}


def test_accounts_in_any_case_and_users_who_left(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbbob", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=2")
    portal.edit("climate-a", backend_id="A_Climate-A")
    portal.leave("tbbob", "climate")
    assert used("apply", "--auto-approve").code == 0
    assert held(portal, "climate-a") == {"cpu": "4.00"}
    assert users_of(portal, "climate-a", "cpu") == {"tbbob": "4.00"}


def test_unknown_users_count_and_are_listed(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.sacctmgr("add", "user", "tbcarol", "account=a_climate-a")
    slurm.ran("a_climate-a", "tbcarol", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=1")
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=1")
    assert "users whom the offering does not know, counted and sent by name: tbcarol" in report(used)
    assert held(portal, "climate-a") == {"cpu": "4.00"}
    bodies = [json.loads(e["body"]) for e in portal.log() if "set_user_usages" in e["path"]]
    linked = {u["username"]: "user" in u for b in bodies for u in b["usages"]}
    assert linked == {"tbalice": True, "tbcarol": False}


def test_two_processes_and_few_requests(used: Program, slurm: Slurm, portal: StandIn) -> None:
    for number in range(20):
        portal.resource(f"r{number}", backend_id=f"a_r{number}", limits={"cpu": 1, "mem": 1, "gpu": 1})
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    log = used.directory / "processes"
    fake = used.directory / "bin"
    fake.mkdir()
    real = slurm.run("which", "sacct").strip()
    (fake / "sacct").write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    (fake / "sacct").chmod(0o755)
    path = f"{fake}:{os.environ['PATH']}"
    report_ = used("usage", "report", "--auto-approve", PATH=path)
    assert report_.code == 0, report_.both
    assert len(log.read_text().splitlines()) == 2  # one per month
    portal.forget()
    assert used("usage", "report", "--auto-approve", PATH=path).code == 0
    assert len(portal.log()) <= 8


def test_a_part_of_every_cycle_now_and_then(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    assert used("apply", "--auto-approve").code == 0
    assert held(portal, "climate-a") == {"cpu": "8.00"}
    used.document["reconcile"]["usage_minutes"] = 30
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T04:00:00", f"{THIS}-01T05:00:00", "cpu=4")
    portal.forget()
    assert used("plan", "--detailed-exitcode").code == 0  # it was looked after a moment ago
    assert not [e for e in portal.log() if "usages" in e["path"]]
    assert used("apply", "--auto-approve", "--mode", "report").code == 0
    assert held(portal, "climate-a") == {"cpu": "12.00"}


def test_saved_plan_of_usage(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    path = str(used.directory / "usage.plan")
    assert used("plan", "--mode", "report", "--out", path).code == 0
    assert used("apply", path).code == 0
    assert held(portal, "climate-a") == {"cpu": "8.00"}
    assert used("apply", path).code == 1  # it is done, so the plan is stale


@pytest.mark.parametrize("mode", ["all", "order_process"])
def test_a_terminated_resource_is_reported_before_it_ends(
    used: Program, slurm: Slurm, portal: StandIn, mode: str
) -> None:
    """Waldur takes nothing afterwards, so neither the interval nor the mode nor a failure may lose it."""
    assert used("apply", "--auto-approve").code == 0
    used.document["reconcile"]["usage_minutes"] = 30
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    portal.edit("climate-a", state="Terminating")
    portal.order("climate-a", "Terminate", "executing")
    portal.faults({"path": "set_usage", "status": 500, "times": 9})
    assert used("apply", "--auto-approve", "--mode", mode).code == 1
    assert portal.found("resource", "climate-a")["state"] == "Terminating"
    portal.faults()
    assert used("apply", "--auto-approve", "--mode", mode).code == 0
    assert held(portal, "climate-a") == {"cpu": "8.00"}
    assert portal.found("resource", "climate-a")["state"] == "Terminated"


def test_show_and_verify(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T11:00:00", "cpu=4,mem=1024")
    slurm.ran("a_climate-a", "tbbob", f"{THIS}-01T01:00:00", f"{THIS}-01T11:00:00", "cpu=6,mem=1024")
    shown = used("usage", "show", "a_climate-a")
    assert shown.code == 0, shown.both
    assert "100.00" in shown.out and "100%" in shown.out
    by_user = used("usage", "show", "a_climate-a", "--by", "user", "--csv").out.splitlines()
    assert any(",tbbob,cpu,CPU-hours,60.00,100.00," in line for line in by_user), by_user
    months = json.loads(used("usage", "show", "a_climate-a", "--by", "month", "--json").out)["usage"]
    assert len({m["period"] for m in months}) == 6
    assert used("usage", "show", "nobody").code == 1
    verified = used("usage", "verify")
    assert verified.code == 2, verified.both  # Waldur was not told yet
    assert "DIFFERS" in verified.out
    report(used)
    document = json.loads(used("usage", "verify", "--json").out)
    assert not [c for c in document["comparisons"] if c["differs"] and c["span"] == THIS]


def test_diagnostics_of_slurmdbd_that_is_down(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.stop("slurmdbd")
    try:
        said = report(used, code=1)
        assert "slurmdbd" in said
        assert portal.writes() == []
    finally:
        slurm.up()


def backfilled(portal: StandIn) -> list[str]:
    return sorted({u["billing_period"][:7] for u in portal.world.get("usages", [])})


def test_backfill_is_resumable_and_needs_staff(used: Program, slurm: Slurm, portal: StandIn) -> None:
    for month in ("2024-01", "2024-02", "2024-03"):
        slurm.ran("a_climate-a", "tbalice", f"{month}-10T01:00:00", f"{month}-10T03:00:00", "cpu=4,gres/gpu=1")
    span: tuple[Any, ...] = ("usage", "backfill", "--from", "2024-01", "--to", "2024-03")
    refused = used(*span)
    assert refused.code == 1
    assert "not a staff user's" in refused.both
    assert backfilled(portal) == []
    portal.world["staff"] = True
    portal.push()
    planned = used(*span, "--dry-run")
    assert planned.code == 0
    assert "2 to send" in planned.out and backfilled(portal) == []
    # one month fails: it is named, the others are done
    portal.faults({"path": "billing_period=2024-02-01", "status": 500, "times": 20, "body": "<html>broken</html>"})
    used.document["reconcile"]["http_retries"] = 0
    failed = used(*span)
    assert failed.code == 1
    assert "2024-02: failed" in failed.out
    assert backfilled(portal) == ["2024-01", "2024-03"]
    portal.faults()
    portal.forget()
    done = used(*span)
    assert done.code == 0, done.both
    assert "2024-01: already right" in done.out and "2024-02: 2 sent" in done.out
    assert held(portal, "climate-a", "2024-02") == {"cpu": "8.00", "gpu": "2.00"}


def test_backfill_honours_the_rate_limit(used: Program, slurm: Slurm, portal: StandIn) -> None:
    portal.world["staff"] = True
    portal.push()
    slurm.ran("a_climate-a", "tbalice", "2024-01-10T01:00:00", "2024-01-10T03:00:00", "cpu=4")
    portal.faults({"path": "set_usage", "status": 429, "times": 2, "headers": {"Retry-After": "1"}})
    done = used("usage", "backfill", "--from", "2024-01", "--to", "2024-01")
    assert done.code == 0, done.both
    assert held(portal, "climate-a", "2024-01") == {"cpu": "8.00"}
