"""Periodic limits on a real SLURM: fields, limit types, QoS by live usage, and counters that begin anew."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.record import Outcome
from reconciler.config import load
from reconciler.cycle.cluster import Cluster
from reconciler.state.periodic import MONTH, Span
from tests.bench.live import fill
from tests.conftest import Program
from tests.fakes import KILLS, PASS, READS, around, in_front, log, nth, on
from tests.live.conftest import CLUSTER, Site, Slurm
from tests.standin.portal import StandIn, uid

THIS = Span.of(MONTH, datetime.now(UTC).date())
LAST = Span.of(MONTH, (THIS.start or date.min) - timedelta(days=1))
MINUTES = {"cpu": {"measured_unit": "Minutes", "unit_factor": 1, "accounting_type": "limit", "label": "CPU"}}
#: no policy of a real site: so generous with grace that jobs may start, and so small that a job of seconds is over it
SMALL: dict[str, Any] = {
    "tres_billing_weights": {"CPU": 1}, "carryover_enabled": False, "grace_ratio": 30, "raw_usage_reset": False,
}  # fmt: skip


@pytest.fixture
def world(site: Program, slurm: Slurm, portal: StandIn) -> Site:
    """An allocation of a project with two members, with a policy on its offering."""
    site.document["offerings"][0]["backend_components"] = dict(MINUTES)
    portal.resource("one", backend_id="a_one", limits={"cpu": 1000})
    for user in ("tbalice", "tbbob"):
        portal.user(user, "climate")
    return site, portal, slurm


def policy(portal: StandIn, **about: object) -> None:
    portal.world["policies"] = [about]
    portal.push()


def used(portal: StandIn, month: Span, amount: float, name: str = "one") -> None:
    portal.world.setdefault("usages", []).append(
        {"uuid": uid("usage", name, str(month)), "resource_uuid": uid("resource", name), "type": "cpu",
         "billing_period": str(month.start), "usage": str(amount)}
    )  # fmt: skip
    portal.push()


def applied(site: Program, *more: str) -> str:
    done = site("apply", "--auto-approve", *more)
    assert done.code == 0, done.both
    assert site("plan", "--detailed-exitcode").code == 0, "a second apply has nothing to do"
    return done.out


def counted(slurm: Slurm, account: str, tres: str) -> int:
    for line in slurm.run("scontrol", "-o", "show", "assoc_mgr", "flags=assoc").splitlines():
        if f"Account={account} UserName= " in line:
            field = line.partition(" GrpTRESMins=")[2].split(" ")[0]
            return int(next(p for p in field.split(",") if p.startswith(f"{tres}=")).partition("(")[2].rstrip(")"))
    raise AssertionError(f"slurmctld has no account {account}")


def works(slurm: Slurm, seconds: int = 4, cpus: int = 60) -> None:
    """A job of four CPU-minutes, as slurmctld counts it."""
    before = counted(slurm, "a_one", "cpu")
    job = slurm.submit("a_one", "tbalice", seconds, "-n", str(cpus), "-t", "1")
    slurm.until("COMPLETED", job)
    least = before + seconds * cpus // 60
    slurm.eventually(lambda: counted(slurm, "a_one", "cpu") >= least, "slurmctld counts the job")


def was_last_month(slurm: Slurm) -> None:
    """What jobs used counts for slurmctld as ever, and for the accounting database a month ago."""
    begin = f"unix_timestamp('{THIS.start} 00:00:00')"
    moved = ", ".join(f"{c} = {begin} - 1000" for c in ("time_submit", "time_eligible", "time_start"))
    slurm.sql(f"update testbed_job_table set {moved}, time_end = {begin} - 900 where account = 'a_one';")


def refused(slurm: Slurm) -> bool:
    """Whether a further job of a member is refused."""
    with pytest.raises(AssertionError):
        slurm.submit("a_one", "tbalice", 1, "-t", "1")
    return True


# ---------------------------------------------------------------------- what is written


def test_a_policy_owns_limits_and_fairshare(world: Site) -> None:
    """700 of 1000 were used last month: 300 are carried over, and 20 % of grace come on top."""
    site, portal, slurm = world
    policy(portal, tres_billing_weights={"CPU": 0.5})
    used(portal, LAST, 700)
    applied(site)
    assert slurm.shown("a_one", "Fairshare,GrpTRESMins") == "433|billing=780,cpu=1560"
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "fairshare=7", "GrpTRESMins=cpu=5")
    found = site("diagnose", "a_one", "--json")
    assert found.code == 2
    told = json.loads(found.out)
    wrong = {c["field"]: (c["expected"], c["actual"]) for c in told["comparisons"] if not c["match"]}
    assert wrong == {"fairshare": (433, 7), "GrpTRESMins[cpu]": (1560, 5)}
    about = told["policy_info"]
    assert (about["period_name"], about["limit_type"], about["grace_ratio"]) == (str(THIS), "GrpTRESMins", "0.2")
    assert about["carryover_details"]["per_component"]["cpu"]["carryover"] == "300"
    for command in told["fix_commands"]:
        slurm.run(*shlex.split(command))
    assert site("diagnose", "a_one").code == 0, "pasted remedies heal"
    assert slurm.shown("a_one", "Fairshare,GrpTRESMins") == "433|billing=780,cpu=1560"


def test_each_limit_type_and_a_change_of_it(world: Site) -> None:
    """What the old type set goes; what an operator set beside it stays."""
    site, portal, slurm = world
    about = {**SMALL, "grace_ratio": 0}
    policy(portal, **about, limit_type="MaxTRESMins")
    applied(site)
    whole = THIS.days * 1440 * 3
    columns = "GrpTRESMins,MaxTRESMins,GrpTRES"
    assert slurm.shown("a_one", columns) == "|billing=1000,cpu=1000|"
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "MaxTRESMins=node=50")
    assert site("plan", "--detailed-exitcode").code == 0, "an operator's own"
    policy(portal, **about, limit_type="GrpTRES")
    portal.edit("one", limits={"cpu": whole})
    applied(site)
    assert slurm.shown("a_one", columns) == "|node=50|billing=3,cpu=3", "3 CPUs all month long use it up"
    policy(portal, **about)
    applied(site)
    assert slurm.shown("a_one", columns) == f"billing={whole},cpu={whole}|node=50|"
    portal.world["policies"] = []
    portal.push()
    applied(site)
    assert slurm.shown("a_one", columns) == f"cpu={whole}|node=50|", "without a policy: limit x factor"


def test_the_configuration_rules_where_waldur_has_no_policy(world: Site) -> None:
    site, portal, slurm = world
    limits = {"enabled": True, "billing_weights": {"cpu": 2}, "default_grace_ratio": 0.1, "carryover_factor": 10}
    site.document["offerings"][0]["backend_settings"]["periodic_limits"] = limits
    applied(site)
    assert slurm.shown("a_one", "Fairshare,GrpTRESMins") == "366|billing=2420,cpu=1210"
    limits["enabled"] = False
    policy(portal)
    applied(site)
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=1000", "switched off, whatever Waldur has"


def test_a_policy_that_cannot_be_used_leaves_limits_as_they_are(world: Site) -> None:
    site, portal, slurm = world
    policy(portal)
    applied(site)
    before = slurm.shown("a_one", "Fairshare,GrpTRESMins")
    for wrong in ({"limit_type": "GrpWall"}, {"period": 9}, {"apply_to_all": False}, {"grace_ratio": "much"}):
        policy(portal, **wrong)
        portal.edit("one", limits={"cpu": 5})
        done = site("apply", "--auto-approve")
        assert done.code == 0 and "polic" in done.out and "left as they are" in done.out, done.both
        assert slurm.shown("a_one", "Fairshare,GrpTRESMins") == before


# ---------------------------------------------------------------------- QoS by live usage


@pytest.fixture
def levels(world: Site) -> Iterator[Site]:
    """A policy of which a job of seconds is over the threshold; QoS paused takes no jobs."""
    site, portal, slurm = world
    site.document["offerings"][0]["backend_settings"]["periodic_limits"] = {"qos_levels": {"default": "normal"}}
    portal.edit("one", limits={"cpu": 4})
    policy(portal, **SMALL)
    slurm.sacctmgr("modify", "qos", "where", "name=paused", "set", "MaxSubmitJobsPerUser=0")
    applied(site)
    yield world
    slurm.sacctmgr("modify", "qos", "where", "name=paused", "set", "MaxSubmitJobsPerUser=-1")


def test_jobs_that_cross_threshold_and_grace_change_the_qos_in_the_next_cycle(levels: Site) -> None:
    site, portal, slurm = levels
    assert slurm.shown("a_one", "QOS,DefaultQOS") == "normal|"
    works(slurm)
    assert "minutes used, at or beyond 4" in applied(site)
    assert slurm.shown("a_one", "QOS,DefaultQOS") == "slowdown|slowdown"
    job = slurm.submit("a_one", "tbalice", 60, "-t", "1")
    slurm.eventually(lambda: "slowdown" in slurm.run("squeue", "-h", "-j", job, "-o", "%q"), "the job is slowed down")
    slurm.run("scancel", job)
    policy(portal, **{**SMALL, "grace_ratio": 0})
    applied(site)
    assert slurm.shown("a_one", "QOS,DefaultQOS") == "paused|paused"
    assert refused(slurm)
    assert site("diagnose", "a_one").code == 0
    portal.edit("one", limits={"cpu": 1000})
    applied(site)
    assert slurm.shown("a_one", "QOS,DefaultQOS") == "normal|normal", "below the threshold again"
    portal.edit("one", paused=True)
    applied(site)
    assert slurm.shown("a_one", "QOS") == "paused", "a pause of Waldur's is never lifted by usage"


def test_while_nobody_can_tell_what_was_used_nothing_is_loosened(levels: Site) -> None:
    site, portal, slurm = levels
    works(slurm)
    applied(site)
    portal.edit("one", limits={"cpu": 1000})
    slurm.stop("slurmctld")
    done = site("apply", "--auto-approve")
    slurm.up()
    assert done.code == 0 and "live usage is unknown, so no QoS is loosened" in done.out, done.both
    assert slurm.shown("a_one", "QOS") == "slowdown"
    applied(site)
    assert slurm.shown("a_one", "QOS") == "normal"


def broken(site: Program, portal: StandIn, how: str) -> None:
    """What leaves nobody a rule to go by."""
    if how == "policy":
        policy(portal, **SMALL, apply_to_all=False)
    elif how == "token":
        portal.world["policies_denied"] = True
        portal.push()
    elif how == "usage":
        policy(portal, **{**SMALL, "carryover_enabled": True})
        used(portal, LAST, float("nan"))
    else:
        portal.edit("one", ordered=False, limits={"cpu": "abc"} if how == "odd limit" else {})


@pytest.mark.parametrize("how", ["policy", "token", "usage", "odd limit", "no limit"])
def test_rules_that_cannot_be_used_loosen_nothing(levels: Site, how: str) -> None:
    site, portal, slurm = levels
    policy(portal, **{**SMALL, "grace_ratio": 0})
    works(slurm)
    applied(site)
    columns = "QOS,DefaultQOS,Fairshare,GrpTRESMins"
    before = slurm.shown("a_one", columns)
    assert before.startswith("paused|paused")
    broken(site, portal, how)
    done = site("apply", "--auto-approve")
    assert done.code == (4 if how == "odd limit" else 0), done.both
    assert slurm.shown("a_one", columns) == before
    assert site("plan").code == 0


def test_a_level_without_its_qos_is_said(levels: Site) -> None:
    site, _portal, slurm = levels
    works(slurm)
    settings = site.document["offerings"][0]["backend_settings"]["periodic_limits"]
    settings["qos_levels"] = {"slowdown": "nosuch"}
    done = site("apply", "--auto-approve")
    assert done.code == 4 and "no QoS 'nosuch'" in done.out, done.both
    assert slurm.shown("a_one", "QOS") == "normal"
    site.document["reconcile"]["qos"] = {"nosuch": {}}
    applied(site)
    assert slurm.shown("a_one", "QOS") == "nosuch"


# ---------------------------------------------------------------------- counters that begin anew


@pytest.fixture
def begun(world: Site) -> Site:
    """An account with usage of last month in slurmctld's counters, under a policy that resets them."""
    site, portal, slurm = world
    applied(site)
    works(slurm)
    was_last_month(slurm)
    policy(portal, **{**SMALL, "raw_usage_reset": True})
    return world


def test_counters_begin_anew_once(begun: Site) -> None:
    site, _portal, slurm = begun
    planned = site("plan")
    assert f'usage_period  = "earlier" -> "{THIS}"' in planned.out, planned.out
    assert "RawUsage=0" in site("plan", "--script").out
    assert counted(slurm, "a_one", "cpu") >= 4
    applied(site)
    assert counted(slurm, "a_one", "cpu") == 0
    works(slurm)
    applied(site)
    assert counted(slurm, "a_one", "cpu") >= 4, "what is used now stays"
    shutil.rmtree(site.directory / "state")
    assert site("apply", "--auto-approve").code == 0
    assert counted(slurm, "a_one", "cpu") >= 4, "a lost store resets nothing twice"


def test_a_month_ends(world: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an injected clock: in the next month's first cycle counters begin anew, and what was left comes on top."""
    site, portal, slurm = world
    policy(portal, tres_billing_weights={"CPU": 1})
    applied(site)
    works(slurm)
    was_last_month(slurm)
    used(portal, THIS, 700)
    later = THIS.following
    assert later is not None
    began = datetime(later.first.year, later.first.month, 1, 0, 10, tzinfo=UTC)
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    config = load(site.write())

    def cycle(moment: datetime) -> Outcome:
        cluster = Cluster(config, CLUSTER, config.offerings, config.reconcile.runner, lambda: moment)
        planned = cluster.plan()
        with cluster.locked():
            cluster.remember(planned)
            return cluster.apply(planned.plan, planned=planned)

    (change, *_), failures = (done := cycle(began)).applied, done.failures
    assert not failures and {"usage_period", "fairshare"} <= set(change.changed())
    assert (change.after or {})["usage_period"] == str(later)
    assert counted(slurm, "a_one", "cpu") == 0
    assert slurm.shown("a_one", "Fairshare,GrpTRESMins") == "433|billing=1560,cpu=1560"
    works(slurm)
    assert not [c for c in cycle(began + timedelta(days=20)).applied if c.kind.renews in c.changed()]
    assert counted(slurm, "a_one", "cpu") >= 4


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("place", KILLS)
def test_kill_9_around_the_reset_never_resets_twice(begun: Site, tmp_path: Path, place: str, number: int) -> None:
    """The first command resets, the second one sets the limits of the new period."""
    site, _portal, slurm = begun
    writes = nth(tmp_path / "writes", number, KILLS[place])
    around(tmp_path / "bin", "sacctmgr", on(READS, PASS), writes)
    died = site.process("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
    assert died.code == -9, died.both
    reset = number == 2 or place != "before"
    if reset:
        slurm.eventually(lambda: counted(slurm, "a_one", "cpu") == 0, "what was begun goes on")
        works(slurm)
    assert site("apply", "--auto-approve").code == 0
    left = counted(slurm, "a_one", "cpu")
    assert left >= 4 if reset else left == 0, "what was used since is not forgiven"
    assert site("plan", "--detailed-exitcode").code == 0


def test_a_late_reset_needs_consent(begun: Site) -> None:
    """The first cycle of the month should have done it: by now 4 minutes of 1000 would be forgiven."""
    site, portal, slurm = begun
    works(slurm)
    site.document["reconcile"]["guards"] = {"late_reset": 0.001}
    done = site("apply", "--auto-approve")
    assert done.code == 4 and "would forgive" in done.out and "--allow late_reset" in done.out, done.both
    assert counted(slurm, "a_one", "cpu") >= 8
    assert slurm.shown("a_one", "GrpTRESMins") == "billing=31000,cpu=31000", "all else goes on"
    assert site("apply", "--auto-approve", "--allow", "late_reset").code == 0
    assert counted(slurm, "a_one", "cpu") == 0
    assert site("plan", "--detailed-exitcode").code == 0
    del portal


def test_qos_follow_the_new_period_in_the_very_cycle_that_resets(begun: Site) -> None:
    """Last month's usage is beyond the threshold; of this month nothing is used."""
    site, portal, slurm = begun
    site.document["offerings"][0]["backend_settings"]["periodic_limits"] = {"qos_levels": {}}
    portal.edit("one", limits={"cpu": 4})
    policy(portal, **{**SMALL, "raw_usage_reset": True, "grace_ratio": 0})
    applied(site)
    assert slurm.shown("a_one", "QOS") == "normal" and counted(slurm, "a_one", "cpu") == 0


def test_what_accounts_below_use_counts_as_theirs(world: Site) -> None:
    """A coordinator's account below ours: slurmctld adds it up, so sacct is asked for it as well."""
    site, portal, slurm = world
    policy(portal, **{**SMALL, "raw_usage_reset": True})
    applied(site)
    slurm.sacctmgr("add", "account", "sub_one", "parent=a_one")
    slurm.sacctmgr("add", "user", "tbcarol", "account=sub_one")
    slurm.knows("sub_one")
    slurm.until("COMPLETED", slurm.submit("sub_one", "tbcarol", 4, "-n", "60", "-t", "1"))
    slurm.eventually(lambda: counted(slurm, "a_one", "cpu") >= 4, "slurmctld counts the job")
    shutil.rmtree(site.directory / "state")
    site.document["reconcile"]["guards"] = {"late_reset": 0}
    done = site("apply", "--auto-approve")
    assert done.code == 0 and counted(slurm, "a_one", "cpu") >= 4, done.both


def test_an_account_of_this_period_has_nothing_to_reset(world: Site) -> None:
    """What slurmdbd has not heard of yet is no usage of an earlier one."""
    site, portal, slurm = world
    policy(portal, **{**SMALL, "raw_usage_reset": True})
    applied(site)
    works(slurm)
    slurm.sql("delete from testbed_job_table where account = 'a_one';")
    assert site("apply", "--auto-approve").code == 0
    assert counted(slurm, "a_one", "cpu") >= 4


def test_nothing_is_reset_while_slurmctld_is_down(begun: Site) -> None:
    site, _portal, slurm = begun
    slurm.stop("slurmctld")
    done = site("apply", "--auto-approve")
    slurm.up()
    assert done.code == 0 and "no counter begins anew" in done.out, done.both
    slurm.eventually(lambda: counted(slurm, "a_one", "cpu") >= 4, "slurmctld has read what it counted before")
    was_last_month(slurm)  # what it tells of again after its start
    applied(site)
    assert counted(slurm, "a_one", "cpu") == 0


def test_a_reset_that_slurmctld_did_not_take_is_no_success(begun: Site, tmp_path: Path) -> None:
    site, _portal, slurm = begun
    around(tmp_path / "bin", "sacctmgr", on("*RawUsage*", "exit 0"))
    done = site("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
    assert done.code == 1 and "slurmctld still counts the usage of a_one" in done.both, done.both
    applied(site)
    assert counted(slurm, "a_one", "cpu") == 0


# ---------------------------------------------------------------------- told to Waldur


def test_what_ran_is_reported_where_the_token_may(world: Site) -> None:
    """Staff alone may on most servers: that is noticed and said once."""
    site, portal, slurm = world
    policy(portal)
    done = site("apply", "--auto-approve")
    assert done.code == 0 and "no place for command results of periodic policies" in done.both, done.both
    portal.world["staff"] = True
    portal.edit("one", limits={"cpu": 900})
    assert "command results" not in applied(site)
    assert not portal.world.get("reports"), "not asked again for a week"
    shutil.rmtree(site.directory / "state")
    portal.edit("one", limits={"cpu": 1200})
    applied(site)
    (told,) = portal.world["reports"]
    assert (told["resource_uuid"], told["success"], told["mode"]) == (uid("resource", "one"), True, "production")
    assert any("set fairshare=600 GrpTRESMins=" in c for c in told["commands_executed"])
    assert slurm.shown("a_one", "Fairshare") == "600"


# ---------------------------------------------------------------------- cost


def test_a_steady_cycle_costs_the_same_however_many_accounts(site: Program, portal: StandIn, slurm: Slurm) -> None:
    """The targets at 100 accounts with 10 users each: 7 processes, 35 requests, no write."""
    fill(portal, 100)
    policy(portal, carryover_enabled=True)
    site.document["offerings"][0]["backend_settings"]["periodic_limits"] = {"qos_levels": {}}
    assert site("apply", "--auto-approve").code == 0
    calls = site.directory / "calls"
    for name in ("sacctmgr", "sacct", "scontrol", "squeue"):
        around(site.directory / "bin", name, log(calls, f"{name} $*"))
    portal.forget()
    done = site("apply", "--auto-approve", PATH=in_front(site.directory / "bin"))
    assert done.code == 0 and "No changes" in done.out, done.both
    ran, requests = calls.read_text().splitlines(), portal.log()
    assert len(ran) <= 7, ran
    assert not [c for c in ran if " modify " in c or " add " in c]
    assert len(requests) <= 35 and {r["method"] for r in requests} == {"GET"}, requests
    assert slurm.shown("a_r99", "Fairshare") == "49"


def test_what_follows_from_slurms_own_settings_is_said(world: Site) -> None:
    """slurm.conf resets nothing by itself, and the policy does not either."""
    site, portal, _slurm = world
    policy(portal, raw_usage_reset=False)
    assert "nothing ever resets usage" in site("plan").out
    limits = {"enabled": True, "raw_usage_reset": False}
    site.document["offerings"][0]["backend_settings"]["periodic_limits"] = limits
    assert "nothing ever resets usage" in site("doctor").out
    limits["raw_usage_reset"] = True
    assert "slurmctld keeps what is used until it is reset" in site("doctor").out
