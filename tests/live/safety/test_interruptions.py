"""Signals, deaths within a run, and what the journal says of them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes import KILLS, PASS, READS, after, around, in_front, log, nth, on, refuse, slow, unless
from tests.live.conftest import Site
from tests.live.safety.conftest import last_run

ACCOUNTS = ("c_nordic", "p_climate", "a_one", "a_two", "a_three", "a_other")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_command_in_flight_end(
    world: Site, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    site, portal, _slurm = world
    for n in range(4):
        portal.edit("one", limits={"cpu": 5})
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1}, project=f"p{n}")
    around(tmp_path / "bin", "sacctmgr", unless(READS, log(tmp_path / "writes"), slow(1)))
    path = in_front(tmp_path / "bin")
    process = site.begun("apply", "--auto-approve", out=subprocess.PIPE, err=subprocess.PIPE, PATH=path)
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


def test_a_signal_within_the_last_command_ends_the_run_all_the_same(world: Site, tmp_path: Path) -> None:
    """Other clusters and usage would follow."""
    site, portal, slurm = world
    site.document["reconcile"]["usage_minutes"] = 1000
    portal.edit("one", limits={"cpu": 5})
    around(tmp_path / "bin", "sacctmgr", on(READS, PASS), after("kill -TERM $PPID"))
    ran = site.process("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
    assert ran.code == 143, ran.both
    assert "failed" not in ran.out, "what is not begun has not failed"
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=300000"


def test_a_killed_run_is_said_and_healed(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    around(tmp_path / "bin", "sacctmgr", on(READS, PASS), KILLS["after"])
    died = site.process("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
    assert died.code == -9
    again = site("apply", "--auto-approve")
    assert again.code == 0, again.both
    assert "was interrupted; half done: create slurm.account" in again.err
    assert slurm.shown("a_three", "GrpTRESMins") == "cpu=180000"
    shown = site("history")
    assert "interrupted" in shown.out and "done" in shown.out
    assert "interrupted" not in site("apply", "--auto-approve").both


@pytest.mark.parametrize("place", KILLS)
def test_kill_9_at_every_command_heals_in_the_next_cycle(world: Site, tmp_path: Path, place: str) -> None:
    """Before, inside and after each command of a plan that creates, changes and removes."""
    site, portal, slurm = world
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    portal.user("tbcarol", "fusion")
    portal.resource("other", backend_id="a_other", project="fusion", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    wanted = {a: (slurm.users_of(a), slurm.shown(a, "GrpTRESMins"), slurm.shown(a, "QOS")) for a in ACCOUNTS}
    for number in range(1, 20):
        slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=1")
        slurm.sacctmgr("modify", "account", "where", "name=a_two", "set", "qos=paused")
        slurm.sacctmgr("remove", "user", "where", "name=tbbob", "account=a_three,a_two")
        slurm.sacctmgr("remove", "user", "where", "name=tbalice", "account=a_three")
        slurm.sacctmgr("remove", "account", "where", "name=a_three")
        slurm.sacctmgr("add", "user", "name=tbcarol", "account=a_one")
        writes = nth(tmp_path / str(number), number, KILLS[place])
        around(tmp_path / "bin", "sacctmgr", on(READS, PASS), writes)
        died = site.process("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
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


def test_what_is_tried_again_one_by_one_is_in_the_journal(world: Site, tmp_path: Path) -> None:
    site, portal, _slurm = world
    for name in ("one", "two"):
        portal.edit(name, limits={"cpu": 6})
    # what is done for two at once fails, as one name that is wrong makes it
    around(tmp_path / "bin", "sacctmgr", on(READS, PASS), on("*a_one,a_two*", refuse("error: no")))
    done = site("apply", "--auto-approve", PATH=in_front(tmp_path / "bin"))
    assert done.code == 0, done.both
    actions = json.loads(site("history", "--run", last_run(site), "--json").out)["actions"]
    commands = {a["address"]: a["command"].split("\n") for a in actions if a["address"].startswith("slurm.account")}
    assert len(commands) == 2
    for address, (together, alone) in commands.items():
        name = address.split('"')[1]
        assert "a_one,a_two" in together and name in alone and "a_one,a_two" not in alone
    assert "then: sacctmgr" in site("history", "--address", "slurm.account[a_one]").out


def test_what_died_is_said_until_an_apply_goes_on(world: Site, tmp_path: Path) -> None:
    site, portal, _slurm = world
    portal.edit("one", limits={"cpu": 9})
    around(tmp_path / "bin", "sacctmgr", on(READS, PASS), KILLS["before"])
    assert site.process("apply", "--auto-approve", PATH=in_front(tmp_path / "bin")).code == -9
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


def test_history_by_address_and_time(world: Site) -> None:
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
