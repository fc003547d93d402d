"""What keeps a site safe, on a real SLURM: signals, the journal, rollback, freezes, and guards over time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import ROOT, Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn

MONTH = f"{datetime.now(UTC):%Y-%m}"
World = tuple[Program, StandIn, Slurm]
ACCOUNTS = ("c_nordic", "p_climate", "a_one", "a_two", "a_three", "a_other")


@pytest.fixture
def world(site: Program, slurm: Slurm, portal: StandIn) -> World:
    """Two allocations of one project with two members, applied."""
    for name in ("one", "two"):
        portal.resource(name, backend_id=f"a_{name}", limits={"cpu": 1})
    for user in ("tbalice", "tbbob"):
        portal.user(user, "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site, portal, slurm


def last_run(site: Program) -> str:
    return str(json.loads(site("history", "--json").out)["runs"][0]["id"])


# ---------------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_command_in_flight_end(
    world: World, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    site, portal, slurm = world
    for n in range(4):
        portal.edit("one", limits={"cpu": 5})
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1}, project=f"p{n}")
    slow = tmp_path / "bin"
    slow.mkdir()
    real = slurm.run("which", "sacctmgr").strip()
    (slow / "sacctmgr").write_text(
        f'#!/bin/sh\ncase "$*" in *show*) ;; *) echo "$@" >> {tmp_path}/writes; sleep 1;; esac\nexec {real} "$@"\n'
    )
    (slow / "sacctmgr").chmod(0o755)
    site.write()
    environment = {**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path), **site.environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply", "--auto-approve"],
        env={**environment, "PATH": f"{slow}:{environment['PATH']}"},
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(300):
        if (tmp_path / "writes").exists():
            break
        time.sleep(0.05)
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"stopped by {number.name}" in err and "changes are left" in err
    assert len((tmp_path / "writes").read_text().splitlines()) == 1  # it ended, and no other began
    runs = json.loads(site("history", "--json").out)["runs"]
    assert runs[0]["state"] == "interrupted"
    assert site("apply", "--auto-approve").code == 0  # the lock is free, and the rest is done
    assert site("plan", "--detailed-exitcode").code == 0


def test_a_signal_within_the_last_command_ends_the_run_all_the_same(world: World, tmp_path: Path) -> None:
    """Other clusters and usage would follow."""
    site, portal, slurm = world
    site.document["reconcile"]["usage_minutes"] = 1000
    portal.edit("one", limits={"cpu": 5})
    real = slurm.run("which", "sacctmgr").strip()
    deadly = tmp_path / "bin"
    deadly.mkdir()
    (deadly / "sacctmgr").write_text(
        f'#!/bin/sh\n{real} "$@"; code=$?\ncase "$*" in *show*) ;; *) kill -TERM $PPID;; esac\nexit $code\n'
    )
    (deadly / "sacctmgr").chmod(0o755)
    ran = site.process("apply", "--auto-approve", PATH=f"{deadly}:{os.environ['PATH']}")
    assert ran.code == 143, ran.both
    assert "failed" not in ran.out, "what is not begun has not failed"
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=300000"


# ---------------------------------------------------------------------- the journal


def test_a_killed_run_is_said_and_healed(world: World, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    real = slurm.run("which", "sacctmgr").strip()
    deadly = tmp_path / "bin"
    deadly.mkdir()
    (deadly / "sacctmgr").write_text(
        f'#!/bin/sh\ncase "$*" in *show*) exec {real} "$@";; esac\n{real} "$@"; kill -9 $PPID\n'
    )
    (deadly / "sacctmgr").chmod(0o755)
    died = site.process("apply", "--auto-approve", PATH=f"{deadly}:{os.environ['PATH']}")
    assert died.code == -9
    again = site("apply", "--auto-approve")
    assert again.code == 0, again.both
    assert "was interrupted; half done: create slurm.account" in again.err
    assert slurm.shown("a_three", "GrpTRESMins") == "cpu=180000"
    shown = site("history")
    assert "interrupted" in shown.out and "done" in shown.out
    assert "interrupted" not in site("apply", "--auto-approve").both


PLACES = {
    "before": "kill -9 $PPID; exit 1",
    "inside": 'kill -9 $PPID; sleep 0.3; exec {real} "$@"',  # what was begun goes on without the one that began it
    "after": '{real} "$@"; kill -9 $PPID; exit 0',
}


@pytest.mark.parametrize("place", PLACES)
def test_kill_9_at_every_command_heals_in_the_next_cycle(world: World, tmp_path: Path, place: str) -> None:
    """Before, inside and after each command of a plan that creates, changes and removes."""
    site, portal, slurm = world
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    portal.user("tbcarol", "fusion")
    portal.resource("other", backend_id="a_other", project="fusion", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    wanted = {a: (slurm.users_of(a), slurm.shown(a, "GrpTRESMins"), slurm.shown(a, "QOS")) for a in ACCOUNTS}
    real = slurm.run("which", "sacctmgr").strip()
    deadly = tmp_path / "bin"
    deadly.mkdir()
    for number in range(1, 20):
        slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=1")
        slurm.sacctmgr("modify", "account", "where", "name=a_two", "set", "qos=paused")
        slurm.sacctmgr("remove", "user", "where", "name=tbbob", "account=a_three,a_two")
        slurm.sacctmgr("remove", "user", "where", "name=tbalice", "account=a_three")
        slurm.sacctmgr("remove", "account", "where", "name=a_three")
        slurm.sacctmgr("add", "user", "name=tbcarol", "account=a_one")
        (deadly / "sacctmgr").write_text(
            f'#!/bin/sh\ncase "$*" in *show*) exec {real} "$@";; esac\necho >> {tmp_path}/{number}\n'
            f"[ $(wc -l < {tmp_path}/{number}) -eq {number} ] && {{ {PLACES[place].format(real=real)}; }}\n"
            f'exec {real} "$@"\n'
        )
        (deadly / "sacctmgr").chmod(0o755)
        died = site.process("apply", "--auto-approve", PATH=f"{deadly}:{os.environ['PATH']}")
        if died.code == 0:
            break
        assert died.code == -signal.SIGKILL, died.both
        again = site("apply", "--auto-approve")
        assert again.code == 0, again.both
        assert "was interrupted" in again.err
        if place == "inside":
            time.sleep(0.4)
        assert site("plan", "--detailed-exitcode").code == 0, number
        found = {a: (slurm.users_of(a), slurm.shown(a, "GrpTRESMins"), slurm.shown(a, "QOS")) for a in ACCOUNTS}
        assert found == wanted
    assert number > 4, "a plan of several commands"


def test_what_is_tried_again_one_by_one_is_in_the_journal(world: World, tmp_path: Path) -> None:
    site, portal, slurm = world
    for name in ("one", "two"):
        portal.edit(name, limits={"cpu": 6})
    real = slurm.run("which", "sacctmgr").strip()
    fake = tmp_path / "bin"
    fake.mkdir()
    # what is done for two at once fails, as one name that is wrong makes it
    (fake / "sacctmgr").write_text(
        f'#!/bin/sh\ncase "$*" in *show*) ;; *a_one,a_two*) echo "error: no" >&2; exit 1;; esac\nexec {real} "$@"\n'
    )
    (fake / "sacctmgr").chmod(0o755)
    done = site("apply", "--auto-approve", PATH=f"{fake}:{os.environ['PATH']}")
    assert done.code == 0, done.both
    actions = json.loads(site("history", "--run", last_run(site), "--json").out)["actions"]
    commands = {a["address"]: a["command"].split("\n") for a in actions if a["address"].startswith("slurm.account")}
    assert len(commands) == 2
    for address, (together, alone) in commands.items():
        name = address.split('"')[1]
        assert "a_one,a_two" in together and name in alone and "a_one,a_two" not in alone
    assert "then: sacctmgr" in site("history", "--address", "slurm.account[a_one]").out


def test_what_died_is_said_until_an_apply_goes_on(world: World, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 9})
    real = slurm.run("which", "sacctmgr").strip()
    deadly = tmp_path / "bin"
    deadly.mkdir()
    (deadly / "sacctmgr").write_text(f'#!/bin/sh\ncase "$*" in *show*) exec {real} "$@";; esac\nkill -9 $PPID\n')
    (deadly / "sacctmgr").chmod(0o755)
    assert site.process("apply", "--auto-approve", PATH=f"{deadly}:{os.environ['PATH']}").code == -9
    assert "interrupted" in site("history").out
    everything = portal.world["resources"]
    portal.world["resources"] = []
    portal.push()
    assert site("apply", "--auto-approve").code == 3
    portal.world["resources"] = everything
    portal.push()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0 and "was interrupted; half done" in healed.err
    assert "was interrupted" not in site("apply", "--auto-approve").err


def test_history_by_address_and_time(world: World) -> None:
    site, portal, _slurm = world
    portal.edit("one", limits={"cpu": 7})
    assert site("apply", "--auto-approve").code == 0
    shown = site("history", "--address", "slurm.account[a_one]", "--since", "1h")
    assert shown.code == 0
    assert 'grp_tres_mins: {"cpu": 60000} -> {"cpu": 420000}' in shown.out
    assert "sacctmgr" in shown.out
    assert "0 actions" in site("history", "--address", "slurm.account[nobody]").out
    assert site("history", "--since", "yesterday").code == 1
    assert site("history", "--run", "nothing").code == 1


# ---------------------------------------------------------------------- rollback


def test_a_rollback_is_a_plan_under_guards(world: World) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    portal.edit("two", limits={"cpu": 8})
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    portal.leave("tbbob", "climate")
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    slurm.sacctmgr("modify", "account", "a_two", "set", "GrpTRESMins=cpu=999")  # somebody's own, since then
    path = str(site.directory / "back.plan")
    before = slurm.state()
    planned = site("rollback", run, "--out", path)
    assert planned.code == 0, planned.both
    assert "it was changed since the run" in planned.out
    assert slurm.state() == before  # only a plan
    done = site("rollback", run, "--auto-approve")
    assert done.code == 4, done.both  # what was changed since is left alone, and said
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert slurm.shown("a_two", "GrpTRESMins") == "cpu=999"
    assert slurm.users_of("a_one") == {"tbalice", "tbbob"}
    assert "a_three" not in slurm.accounts()
    # Waldur still wants it
    assert site("plan", "--detailed-exitcode").code == 2


def test_a_saved_plan_cancels_no_job_that_it_did_not_show(world: World) -> None:
    site, portal, slurm = world
    portal.leave("tbbob", "climate")
    path = str(site.directory / "leave.plan")
    assert site("plan", "--out", path).code == 0
    job = slurm.submit("a_one", "tbbob", 60)
    stale = site("apply", path)
    assert stale.code == 1, stale.both
    assert 'slurm.association["a_one","tbbob"]: 1 jobs, 0 when the plan was made' in stale.err
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%u").strip() == "tbbob"
    assert site("plan", "--out", path).code == 0
    assert site("apply", path).code == 0  # now it was shown
    assert slurm.users_of("a_one") == {"tbalice"}


def test_a_rollback_takes_no_qos_and_no_job(world: World) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["qos"] = {"gold": {}}
    portal.user("tbcarol", "climate")
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    job = slurm.submit("a_one", "tbcarol", 60)
    try:
        done = site("rollback", run, "--auto-approve")
        assert done.code in (0, 4), done.both
        assert "others may use it by now" in done.out
        assert slurm.run("squeue", "-h", "-j", job, "-o", "%u").strip() == "tbcarol"
        assert slurm.users_of("a_two") == {"tbalice", "tbbob"}  # there she had nothing to do
        assert slurm.shown("a_one", "MaxSubmit", "tbcarol") == "0"
    finally:
        slurm.run("scancel", job)
        slurm.wait()
        slurm.sacctmgr("delete", "qos", "where", "name=gold", check=False)


def test_a_saved_plan_cuts_no_budget_that_was_used_since(world: World, tmp_path: Path) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["guards"] = {"prevent_downgrade": True}
    portal.edit("one", limits={"cpu": 0})
    path = str(site.directory / "cut.plan")
    assert site("plan", "--out", path).code == 0
    real = slurm.run("which", "scontrol").strip()
    fake = tmp_path / "bin"
    fake.mkdir()
    used = r"s/\(Account=a_one UserName= .*GrpTRESMins=cpu=[0-9]*\)([0-9]*)/\1(500)/"
    (fake / "scontrol").write_text(
        f'#!/bin/sh\ncase "$*" in *assoc_mgr*) {real} "$@" | sed "{used}";; *) exec {real} "$@";; esac\n'
    )
    (fake / "scontrol").chmod(0o755)
    stale = site("apply", path, PATH=f"{fake}:{os.environ['PATH']}")
    assert stale.code == 1, stale.both
    assert "its budget falls below what was used" in stale.err
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("apply", path).code == 0


# ---------------------------------------------------------------------- freezes


def test_a_freeze_that_cannot_be_read_stops_no_plan(world: World) -> None:
    site, portal, _slurm = world
    portal.edit("one", limits={"cpu": 7})
    (site.directory / "state" / "frozen.json").write_text("[{")
    path = site.directory / "x.plan"
    planned = site("plan", "--out", str(path))
    assert planned.code == 0 and path.exists()
    assert "it cannot be told whether apply is frozen" in planned.err
    assert site("apply", "--auto-approve").code == 1
    assert site("unfreeze").code == 0
    assert site("apply", "--auto-approve").code == 0


def test_frozen_means_plans_and_nothing_else(world: World) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    assert site("freeze", "--until", "2h", "--reason", "slurmdbd upgrade").code == 0
    before = slurm.state()
    assert site("plan").code == 0
    refused = site("apply", "--auto-approve")
    assert refused.code == 3
    assert "slurmdbd upgrade" in refused.both and "reconcile unfreeze" in refused.both
    assert slurm.state() == before
    assert site("unfreeze").code == 0
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=420000"
    # maintenance by the clock
    minute = datetime.now(UTC) - timedelta(minutes=1)
    window = {"cron": f"{minute.minute} {minute.hour} * * *", "minutes": 10, "timezone": "UTC"}
    site.document["reconcile"]["maintenance"] = [window]
    portal.edit("one", limits={"cpu": 8})
    assert site("apply", "--auto-approve").code == 3
    site.document["reconcile"]["maintenance"] = [{"cron": "every day", "minutes": 10}]
    assert "is no cron expression" in site("plan").both


@pytest.mark.parametrize("name", ["testbed", "default"])
def test_a_cluster_is_frozen_by_either_name(world: World, name: str) -> None:
    """Where the configuration leaves the name to SLURM it has two."""
    site, portal, slurm = world
    del site.document["offerings"][0]["backend_settings"]["cluster_name"]
    portal.edit("one", limits={"cpu": 7})
    assert site("freeze", "--cluster", name).code == 0
    assert site("apply", "--auto-approve").code == 3
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("doctor").code == (2 if name == "default" else 0)  # it asks before SLURM tells its name
    assert site("unfreeze", "--cluster", name).code == 0
    assert site("apply", "--auto-approve").code == 0


def test_a_wrong_name_freezes_and_lifts_nothing(world: World) -> None:
    site, _portal, _slurm = world
    for command in ("freeze", "unfreeze"):
        assert site(command, "--cluster", "tsetbed").code == 1
    assert site("freeze").code == 0
    still = site("unfreeze", "--cluster", "testbed")
    assert still.code == 3 and "frozen until somebody lifts it" in still.err
    assert site("unfreeze").code == 0


def test_what_was_rolled_back_stays_so_while_frozen(world: World) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    assert site("apply", "--auto-approve").code == 0
    run = last_run(site)
    assert site("freeze", "--reason", "rolled back").code == 0
    assert site("rollback", run, "--auto-approve").code == 3
    assert site("rollback", run, "--auto-approve", "--while-frozen").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("apply", "--auto-approve").code == 3  # the timer does not redo it


# ---------------------------------------------------------------------- guards over time


def test_an_offering_that_shrank_since_the_last_run(world: World) -> None:
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    site.document["reconcile"]["guards"] = {"min_resources_share": 0}
    everything = list(portal.world["resources"])
    portal.world["resources"] = everything[:5]
    portal.push()
    before = slurm.state()
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both
    assert "below 0.7 of the 10 that it had at the last good read and that have not ended since" in refused.both
    assert site("apply", "--auto-approve").code == 3  # a refused read is no good one
    assert slurm.state() == before
    assert site("apply", "--auto-approve", "--accept-shrink").code in (0, 4)
    assert site("apply", "--auto-approve").code in (0, 4)  # accepted once, known from then on


def test_an_accepted_shrink_is_accepted_once(world: World) -> None:
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    everything = list(portal.world["resources"])

    def answers(number: int) -> None:
        portal.world["resources"] = everything[:number]
        portal.push()

    answers(5)
    assert site("apply", "--auto-approve", "--accept-shrink").code == 0
    assert site("apply", "--auto-approve").code == 0
    answers(10)
    assert site("apply", "--auto-approve").code == 0
    answers(7)
    assert site("apply", "--auto-approve").code == 0
    answers(5)
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both  # step by step is no way around it
    assert len(slurm.accounts()) == 13


def test_accounts_of_what_ended_long_ago_hide_no_shrinking(world: World) -> None:
    """They stay while a guard keeps them, and are missed no more only once."""
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    site.document["reconcile"]["guards"] = {"min_resources_share": 0, "delete_with_jobs": False}
    assert site("apply", "--auto-approve").code == 0
    slurm.submit("a_r0", "tbalice", 120)
    for name in ("r0", "r1", "r2"):
        portal.edit(name, state="Terminated")
        slurm.ran(f"a_{name}", "tbalice", f"{MONTH}-01T01:00:00", f"{MONTH}-01T02:00:00", "cpu=1")
    assert site("apply", "--auto-approve").code == 4  # 7 of 10, of which 3 have ended; they stay for their usage
    assert site("apply", "--auto-approve").code == 4
    left = [r for r in portal.world["resources"] if r["name"] not in ("r3", "r4", "r5")]
    portal.world["resources"] = left
    portal.push()
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both
    assert "Waldur has 4 resources" in refused.both and "of the 7 that" in refused.both


def test_a_budget_below_what_was_used(world: World) -> None:
    site, portal, slurm = world
    slurm.submit("a_one", "tbalice", 3, "-n64")
    slurm.wait()
    for _ in range(90):  # slurmctld adds up once a minute
        if int(slurm.run("sshare", "-nP", "-A", "a_one", "-o", "GrpTRESRaw").split("cpu=")[1].split(",")[0]) >= 2:
            break
        time.sleep(1)
    site.document["offerings"][0]["backend_components"]["cpu"]["unit_factor"] = 1
    portal.edit("one", limits={"cpu": 1})
    planned = site("plan")
    assert "its budget falls below what was used (cpu to 1, " in planned.out
    site.document["reconcile"]["guards"] = {"prevent_downgrade": True}
    blocked = site("apply", "--auto-approve", "--target", "slurm.account[a_one]")
    assert blocked.code == 4
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    slurm.stop("slurmctld")
    try:  # who cannot know does not cut
        unknown = site("apply", "--auto-approve", "--target", "slurm.account[a_one]")
        assert unknown.code == 4, unknown.both
        assert "what was used cannot be found out" in unknown.out
        assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    finally:
        slurm.up()
    allowed = ("--allow", "prevent_downgrade", "--target", "slurm.account[a_one]")
    assert site("apply", "--auto-approve", *allowed).code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=1"


def test_usage_that_cannot_be_known_holds_what_ended(world: World) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["guards"] = {"min_resources_share": 0}
    portal.edit("one", state="Terminated")
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        held = site("apply", "--auto-approve")
        assert held.code == 4, held.both
        assert "whether it was used cannot be found out" in held.out and "--allow delete_with_usage" in held.out
        assert "a_one" in slurm.accounts()
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    assert site("apply", "--auto-approve").code == 0
    assert "a_one" not in slurm.accounts()


def test_a_project_that_goes_with_its_orphan_is_held_as_it_is(world: World) -> None:
    site, portal, slurm = world
    portal.user("tbcarol", "fusion")
    portal.resource("other", backend_id="a_other", project="fusion", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "user", "tbcarol", "account=p_fusion")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    slurm.ran("p_fusion", "tbcarol", f"{yesterday:%Y-%m-%dT01:00:00}", f"{yesterday:%Y-%m-%dT02:00:00}", "cpu=1")
    slurm.sacctmgr("remove", "user", "where", "name=tbcarol", "account=p_fusion")
    portal.world["resources"] = [r for r in portal.world["resources"] if r["name"] != "other"]
    portal.push()
    site.document["reconcile"].update(prune=True, guards={"min_resources_share": 0, "min_read_share": 0})
    site("apply", "--auto-approve", "--allow", "delete_with_usage")
    assert "p_fusion" in slurm.accounts()


def test_an_orphan_in_use_is_never_pruned(world: World) -> None:
    site, _portal, slurm = world
    slurm.sacctmgr("add", "account", "a_stray", "parent=p_climate")
    slurm.sacctmgr("add", "user", "tbcarol", "account=a_stray")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    slurm.ran("a_stray", "tbcarol", f"{yesterday:%Y-%m-%dT01:00:00}", f"{yesterday:%Y-%m-%dT02:00:00}", "cpu=1")
    site.document["reconcile"].update(prune=True, guards={"min_resources_share": 0})
    ran = site("apply", "--auto-approve", "--allow", "delete_with_usage", "--allow", "delete_with_jobs")
    assert ran.code == 4, ran.both
    assert "an orphan that is in use is never removed" in ran.both
    assert slurm.users_of("a_stray") == {"tbcarol"}
    assert "--allow prune_grace" in ran.both
    # a query that fails (exit code 0, no rows) is no proof that it was not used
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        failed = site("apply", "--auto-approve")
        assert failed.code == 4, failed.both
        assert "sacct knows no job of anybody" in failed.out
        assert slurm.users_of("a_stray") == {"tbcarol"}
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    job = slurm.submit("a_stray", "tbcarol", 60)
    busy = site("apply", "--auto-approve", "--allow", "prune_grace", "--allow", "delete_with_jobs")
    assert busy.code == 4, busy.both
    assert "never removed: 1 jobs are running or waiting" in busy.both
    assert slurm.users_of("a_stray") == {"tbcarol"}
    slurm.run("scancel", job)
    slurm.wait()
    assert site("apply", "--auto-approve", "--allow", "prune_grace").code == 0
    assert "a_stray" not in slurm.accounts()
