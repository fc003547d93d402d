"""Usage on a real SLURM: what sacct tells, what Waldur is told, what slurmctld counted."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from tests.conftest import Program
from tests.fakes import around, in_front, log
from tests.live.conftest import Slurm
from tests.live.usage.test_ending import failing_sacct
from tests.standin.portal import StandIn
from tests.usage import LAST, THIS, held, report, users


def test_allocated_not_requested_by_user_and_component(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T02:30:00", "cpu=4,mem=2048,gres/gpu=1")
    slurm.ran("a_climate-a", "tbbob", f"{THIS}-01T01:00:00", f"{THIS}-01T01:30:00", "cpu=64,mem=256000,gres/gpu=8")
    report(used)
    assert held(portal, "climate-a") == {"cpu": "38.00", "mem": "128.00", "gpu": "5.50"}
    assert users(portal, "cpu", "climate-a") == {"tbalice": "6.00", "tbbob": "32.00"}
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
    assert users(portal, "cpu", "climate-a") == {"tbalice": "1.00"}


def test_no_rows_from_a_failed_query_change_nothing(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    report(used)
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        assert "accounting records purged, or did the query fail" in report(used, code=1)
        assert held(portal, "climate-a") == {"cpu": "8.00"}
        assert "sacct knows no job of anybody" in used("apply", "--auto-approve").both
        assert used("apply", "--auto-approve").code == 1  # nothing is blocked by it: it is not known
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    assert "No changes" in report(used)


def test_a_failed_query_is_told_from_nothing_used(used: Program, slurm: Slurm, portal: StandIn) -> None:
    """Waldur holds nothing either, so nothing would fall."""
    portal.world["staff"] = True
    portal.push()
    backfill = ("usage", "backfill", "--from", "2024-01", "--to", "2024-02")
    asked = (
        ("usage", "verify"),
        ("usage", "verify", "--json"),
        ("usage", "show"),
        ("usage", "show", "--csv"),
        backfill,
    )
    for idle in asked:  # some job ran at some time, so this is true
        assert used(*idle).code == 0, idle
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        for arguments in asked:
            failed = used(*arguments)
            assert failed.code == 5, failed.both
            assert "sacct knows no job of anybody: a cluster that never ran one, or a query that failed" in failed.both
            assert "0.00" not in failed.out and "already right" not in failed.out
        assert used("plan").code == 1
        assert used("plan", "--detailed-exitcode").code == 1
        assert used("apply", "--auto-approve").code == 1
        report(used, code=1)
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    assert used("apply", "--auto-approve").code == 0


def test_an_apply_that_cannot_read_usage_does_the_rest_and_ends_with_1(
    used: Program, slurm: Slurm, portal: StandIn
) -> None:
    failing_sacct(used, 1)
    portal.edit("climate-a", limits={"cpu": 200, "mem": 1000, "gpu": 10})
    failed = used("apply", "--auto-approve")
    assert failed.code == 1, failed.both
    assert "usage of" in failed.both and "could not be read" in failed.both
    assert "cpu=12000" in slurm.shown("a_climate-a", "GrpTRESMins")
    path = str(used.directory / "unread.plan")
    portal.edit("climate-a", limits={"cpu": 300, "mem": 1000, "gpu": 10})
    assert used("plan", "--out", path).code == 1
    assert used("apply", path).code == 1
    assert "cpu=18000" in slurm.shown("a_climate-a", "GrpTRESMins")


def test_a_bad_record_spoils_only_its_account(used: Program, slurm: Slurm, portal: StandIn) -> None:
    for account in ("a_climate-a", "a_fusion-b"):
        slurm.ran(account, "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "")  # nothing allocated
    said = report(used, code=4)
    assert "incomplete, so not sent: 1 of its records cannot be understood" in said
    assert held(portal, "climate-a") == {}
    assert held(portal, "fusion-b") == {"cpu": "8.00"}


def test_runaway_jobs_are_not_billed(used: Program, slurm: Slurm, portal: StandIn) -> None:
    """A run whose end was never told: slurmdbd lets it run up to now, in every month."""
    running = slurm.submit("a_fusion-b", "tbalice", 60, "-n2", "-t", "2")
    slurm.until("RUNNING", running)
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4")
    report(used)
    slurm.ran("a_climate-a", "tbalice", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=4", time_end=0, state=1)
    said = report(used, code=4)
    assert "incomplete, so not sent: job 100" in said and "sacctmgr show runawayjobs" in said
    assert held(portal, "climate-a") == {"cpu": "8.00"}
    found = json.loads(used("doctor", "--json").out)["findings"]
    (finding,) = [f for f in found if f["check"] == "runaway jobs"]
    assert finding["level"] == "warning" and "a_climate-a: 100" in finding["text"]
    # slurmctld is away: said, and nothing is guessed
    slurm.stop("slurmctld")
    try:
        assert "whether the jobs that run have ended could not be looked at" in report(used)
    finally:
        slurm.up()
    # mended: what was billed meanwhile falls, which the operator allows
    slurm.sql(
        "update testbed_job_table set state = 3, time_end = time_start + 60 where time_end = 0 and id_job >= 100000;"
    )
    said = report(used, code=4)
    assert "--allow-decrease sends 8.07" in said
    report(used, "--allow-decrease")
    assert held(portal, "climate-a") == {"cpu": "8.07"}


def test_a_limit_without_a_unit_spoils_only_its_account(used: Program, slurm: Slurm, portal: StandIn) -> None:
    """From 1024 PiB on SLURM has no letter left, and nobody knows how much its question mark is."""
    slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", f"GrpTRESMins=mem={16 * 1024**4}")
    assert "mem=16?" in slurm.shown("a_climate-a", "GrpTRESMins")
    portal.edit("fusion-b", limits={"cpu": 200, "mem": 10, "gpu": 1})
    before = slurm.shown("a_climate-a", "GrpTRESMins")
    for _ in range(2):  # it is said until somebody mends it
        done = used("apply", "--auto-approve")
        assert done.code == 4, done.both
        assert "a number without a unit" in done.both
    assert slurm.shown("a_climate-a", "GrpTRESMins") == before
    assert "cpu=12000" in slurm.shown("a_fusion-b", "GrpTRESMins")
    portal.leave("tbbob", "climate")
    assert used("apply", "--auto-approve").code == 4
    assert slurm.users_of("a_climate-a") == {"tbalice"}  # its members are not held up


def test_accounts_in_any_case_and_users_who_left(used: Program, slurm: Slurm, portal: StandIn) -> None:
    slurm.ran("a_climate-a", "tbbob", f"{THIS}-01T01:00:00", f"{THIS}-01T03:00:00", "cpu=2")
    portal.edit("climate-a", backend_id="A_Climate-A")
    portal.leave("tbbob", "climate")
    assert used("apply", "--auto-approve").code == 0
    assert held(portal, "climate-a") == {"cpu": "4.00"}
    assert users(portal, "cpu", "climate-a") == {"tbbob": "4.00"}


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
    calls = used.directory / "processes"
    around(used.directory / "bin", "sacct", log(calls))
    path = in_front(used.directory / "bin")
    report_ = used("usage", "report", "--auto-approve", PATH=path)
    assert report_.code == 0, report_.both
    assert len(calls.read_text().splitlines()) == 2  # one per month
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
