"""Orders of customers on a real SLURM and the HTTP stand-in: every type, every step, every interruption."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn, uid

Site = tuple[Program, StandIn, Slurm]

CREATED = ["order/approve_by_provider", "resource/set_backend_id", "resource/set_backend_metadata"]
DONE = "order/set_state_done"
SYNCED = "resource/refresh_last_sync"


@pytest.fixture
def site_(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """A project with two people and one allocation that is there already."""
    for name in ("tbalice", "tbbob"):
        portal.user(name, "climate")
    portal.resource("old", limits={"cpu": 7})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    portal.forget()
    return site, portal, slurm


def ordered(portal: StandIn, kind: str, state: str = "pending-provider", **facts: Any) -> None:
    """A customer's order, as Waldur shows it while it waits for the provider."""
    if kind == "Create":
        portal.resource("new", state="Creating", limits={"cpu": 100}, last_sync="2026-01-01T00:00:00Z")
        portal.order("new", kind, state, **facts)
        if state == "executing":
            return
    elif kind == "Update":
        portal.order("old", kind, state, limits={"cpu": 9}, **facts)
    elif kind == "Terminate":
        portal.order("old", kind, state, **facts)
    elif kind == "Restore":
        portal.resource("back", state="Terminated", backend_id="a_back", limits={"cpu": 3})
        portal.order("back", kind, state, **facts)


SUBJECT = {"Create": "new", "Update": "old", "Terminate": "old", "Restore": "back"}


def as_ordered(world: Site, kind: str) -> None:
    """The cluster and the portal after the order's success, and nothing left to do."""
    site, portal, slurm = world
    name = SUBJECT[kind]
    assert portal.found("order", name, kind)["state"] == "done"
    resource = portal.found("resource", name)
    if kind == "Terminate":
        assert resource["state"] == "Terminated"
        assert slurm.accounts() == {"root"}
    else:
        assert resource["state"] == "OK"
        assert resource["backend_id"] == f"a_{name}"
        minutes = {"Create": 6000000, "Update": 540000, "Restore": 180000}[kind]
        assert slurm.shown(f"a_{name}", "GrpTRESMins") == f"cpu={minutes}"
        assert slurm.users_of(f"a_{name}") == {"tbalice", "tbbob"}
        assert resource["backend_metadata"] == {"qos": "normal", "fairshare": 1, "limits": {"cpu": minutes}}
        # never doubled
        assert len([a for a in slurm.accounts() if name in a]) == 1
    settled = site("plan", "--detailed-exitcode")
    assert settled.code == 0, settled.both


KINDS = ("Create", "Update", "Terminate", "Restore")
REQUESTS = {
    "Create": [*CREATED, SYNCED, DONE],
    "Update": ["order/approve_by_provider", "resource/set_backend_metadata", DONE],
    "Terminate": ["order/approve_by_provider", DONE],
    "Restore": ["order/approve_by_provider", "resource/set_backend_metadata", DONE],
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_is_fulfilled_in_one_apply(site_: Site, kind: str) -> None:
    site, portal, _ = site_
    ordered(portal, kind)
    shown = site("plan")
    assert f'waldur.order["{uid("order", SUBJECT[kind], kind)}"] will be updated in-place' in shown.out
    assert '~ state = "pending-provider" -> "done"' in shown.out
    assert portal.writes() == []
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS[kind]
    as_ordered(site_, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_is_executing_already_is_not_approved_again(site_: Site, kind: str) -> None:
    site, portal, _ = site_
    ordered(portal, kind, "executing")
    portal.edit(SUBJECT[kind], state={"Create": "Creating", "Update": "Updating"}.get(kind, "Terminating"))
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS[kind][1:]
    as_ordered(site_, kind)


# ---------------------------------------------------------------------- requests that fail

STEPS = [(kind, step) for kind in KINDS for step in dict.fromkeys(REQUESTS[kind])]


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
@pytest.mark.parametrize("status", [500, 403])
def test_a_request_that_fails_leaves_the_order_and_the_next_cycle_goes_on(
    site_: Site, kind: str, step: str, status: int
) -> None:
    site, portal, _ = site_
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": status, "body": "<html>oops</html>"})
    failed = site("apply", "--auto-approve")
    assert failed.code == 1, failed.both
    assert step.partition("/")[2] in failed.both
    assert portal.found("order", SUBJECT[kind], kind)["state"] in ("pending-provider", "executing")
    if step.endswith("approve_by_provider"):
        # nothing was begun that the provider had not taken on
        assert not {"a_new", "a_back"} & site_[2].accounts()
        assert "a_old" in site_[2].accounts()
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(site_, kind)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
def test_an_answer_that_is_lost_is_no_doubt_for_the_next_cycle(site_: Site, kind: str, step: str) -> None:
    """Waldur did it, and the answer never came."""
    site, portal, _ = site_
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": 502, "after": True})
    assert site("apply", "--auto-approve").code == 1
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(site_, kind)


# ---------------------------------------------------------------------- the program is killed


def killed(site: Program, until: Callable[[], bool], timeout: float = 60) -> None:
    """Start an apply as a process and kill -9 it as soon as ``until`` holds."""
    site.write()
    environment = {**os.environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply", "--auto-approve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + timeout
        while not until():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
def test_kill_9_after_each_request_heals_in_the_next_cycle(site_: Site, kind: str, step: str) -> None:
    site, portal, _ = site_
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": 200, "after": True, "sleep": 1.5})
    killed(site, lambda: step in portal.writes())
    time.sleep(1.6)  # the stand-in ends the request that nobody waits for
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(site_, kind)


WRAPPER = """#!/bin/sh
{before}
/usr/bin/sacctmgr "$@"
code=$?
case " $* " in *"{words}"*) [ -e {flag} ] && rm {flag} && {action};; esac
exit $code
"""


def wrapped(site: Program, directory: Path, words: str, action: str, before: str = "") -> None:
    """SLURM's programs with something that happens right after a command with these words, once."""
    directory.mkdir(exist_ok=True)
    flag = directory / "armed"
    flag.touch()
    for program in ("sacctmgr", "sacct", "squeue", "scancel", "scontrol", "sshare"):
        path = directory / program
        path.unlink(missing_ok=True)
        if program == "sacctmgr":
            path.write_text(WRAPPER.format(words=words, flag=flag, action=action, before=before))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        else:
            path.symlink_to(f"/usr/bin/{program}")
    site.document["reconcile"]["runner"] = {"slurm_bin_path": str(directory)}


COMMANDS = {
    "Create": ["add account", "add user"],
    "Update": ["modify account"],
    "Terminate": ["remove user", "remove account"],
    "Restore": ["add account", "add user"],
}


@pytest.mark.parametrize(("kind", "words"), [(k, w) for k in KINDS for w in COMMANDS[k]])
def test_kill_9_after_each_command_heals_in_the_next_cycle(site_: Site, kind: str, words: str, tmp_path: Path) -> None:
    site, portal, _ = site_
    ordered(portal, kind)
    directory = tmp_path / "bin"
    wrapped(site, directory, words, "kill -9 $PPID")
    done = site.process("apply", "--auto-approve")
    assert done.code == -signal.SIGKILL, done.both
    assert not (directory / "armed").exists()
    assert portal.found("order", SUBJECT[kind], kind)["state"] == "executing"
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(site_, kind)


# ---------------------------------------------------------------------- the cluster fails


@pytest.mark.parametrize("kind", KINDS)
def test_slurmdbd_down_in_the_middle_leaves_the_order_executing(site_: Site, kind: str) -> None:
    site, portal, slurm = site_
    ordered(portal, kind)
    portal.faults({"path": "/approve_by_provider/", "status": 200, "after": True, "sleep": 1.0})
    site.write()
    environment = {**os.environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply", "--auto-approve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while "order/approve_by_provider" not in portal.writes():
            assert process.poll() is None
            time.sleep(0.02)
        slurm.stop("slurmdbd")
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert portal.found("order", SUBJECT[kind], kind)["state"] == "executing"
    assert "order/set_state_erred" not in portal.writes()
    slurm.up()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(site_, kind)


REFUSING = (
    """case " $* " in *"{words}"*) echo "sacctmgr: error: Invalid value, secret site detail" >&2; exit 1;; esac"""
)


@pytest.mark.parametrize(("kind", "words"), [("Create", "add account"), ("Update", "modify account")])
def test_what_the_cluster_refuses_for_good_ends_the_order_with_words_for_the_customer(
    site_: Site, kind: str, words: str, tmp_path: Path
) -> None:
    site, portal, slurm = site_
    ordered(portal, kind)
    wrapped(site, tmp_path / "bin", "nothing", "true", REFUSING.format(words=words))
    done = site("apply", "--auto-approve")
    assert done.code == 1
    assert "secret site detail" in done.both  # the technical part is the operator's
    order = portal.found("order", SUBJECT[kind], kind)
    assert order["state"] == "erred"
    assert "refused" in order["error_message"]
    assert "secret" not in order["error_message"] + order["error_traceback"]
    assert "a_new" not in slurm.accounts()
    del site.document["reconcile"]["runner"]
    after = site("apply", "--auto-approve")
    assert after.code == 0, after.both
    if kind == "Update":
        # the old limits hold, and the resource is no longer marked
        assert portal.found("resource", "old")["state"] == "OK"
        assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"
    else:
        assert portal.found("resource", "new")["state"] == "Erred"
        # the provider tries again
        portal.edit("new", state="Creating")
        next(o for o in portal.world["orders"] if o["type"] == kind)["state"] = "executing"
        portal.push()
        assert site("apply", "--auto-approve").code == 0
        as_ordered(site_, kind)


def test_a_name_that_cannot_be_ends_the_order_before_anything_is_made(site_: Site) -> None:
    site, portal, slurm = site_
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


def test_amounts_that_cannot_be_end_the_order(site_: Site) -> None:
    site, portal, slurm = site_
    portal.order("old", "Update", "pending-provider", limits={"cpu": -5})
    assert site("apply", "--auto-approve").code == 4
    order = portal.found("order", "old", "Update")
    assert order["state"] == "erred"
    assert "negative amount" in order["error_message"]
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"


def test_what_the_site_has_to_mend_lets_the_order_wait(site_: Site) -> None:
    site, portal, slurm = site_
    site.document["offerings"][0]["backend_settings"]["qos_default"] = "nosuchqos"
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "waits" in done.out
    assert portal.found("order", "new", "Create")["state"] == "pending-provider"
    assert "a_new" not in slurm.accounts()
    site.document["offerings"][0]["backend_settings"]["qos_default"] = "normal"
    assert site("apply", "--auto-approve").code == 0
    as_ordered(site_, "Create")


# ---------------------------------------------------------------------- others act as well


@pytest.mark.parametrize("state", ["done", "rejected", "canceled"])
def test_an_order_that_somebody_else_finished_is_left_alone(site_: Site, state: str) -> None:
    site, portal, slurm = site_
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


def test_an_order_that_another_agent_approved_meanwhile_goes_on(site_: Site) -> None:
    site, portal, _ = site_
    ordered(portal, "Create")
    moved = [{**o, "state": "executing"} for o in portal.world["orders"]]
    portal.faults({"path": "/approve_by_provider/", "change": {"orders": moved}})
    assert site("apply", "--auto-approve").code == 0
    as_ordered(site_, "Create")


def test_orders_that_wait_for_the_consumer_are_none_of_ours(site_: Site) -> None:
    site, portal, slurm = site_
    ordered(portal, "Create", "pending-consumer")
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
    assert "a_new" not in slurm.accounts()


# ---------------------------------------------------------------------- ends


def running(slurm: Slurm, account: str) -> None:
    subprocess.run(
        ["sbatch", "-A", account, "--wrap", "sleep 300", "-o", "/dev/null"],
        env={**os.environ, **slurm.environment},
        user="tbalice",
        cwd="/",
        check=True,
        capture_output=True,
    )


def test_terminate_cancels_jobs_and_waits_for_their_end(site_: Site) -> None:
    site, portal, slurm = site_
    running(slurm, "a_old")
    ordered(portal, "Terminate")
    shown = site("plan")
    assert "cancels 1 job" in shown.out
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == REQUESTS["Terminate"]
    as_ordered(site_, "Terminate")


def test_terminate_waits_for_jobs_where_the_site_says_so(site_: Site) -> None:
    site, portal, slurm = site_
    site.document["reconcile"]["on_terminate"] = "wait"
    running(slurm, "a_old")
    ordered(portal, "Terminate")
    waiting = site("apply", "--auto-approve")
    assert waiting.code == 0, waiting.both
    assert "1 jobs have to end first" in waiting.out
    assert portal.writes() == ["order/approve_by_provider"]
    assert slurm.run("squeue", "-h", "-o", "%a").split() == ["a_old"]
    # who has no jobs has left, who has gets no new ones
    assert slurm.users_of("a_old") == {"tbalice"}
    assert slurm.shown("a_old", "MaxSubmitJobs", "tbalice") == "0"
    slurm.run("scancel", "-u", "tbalice")
    while slurm.run("squeue", "-h").strip():
        time.sleep(0.1)
    assert site("apply", "--auto-approve").code == 0
    as_ordered(site_, "Terminate")


def test_terminate_is_refused_for_jobs_where_the_site_says_so(site_: Site) -> None:
    site, portal, slurm = site_
    site.document["reconcile"]["on_terminate"] = "refuse"
    running(slurm, "a_old")
    ordered(portal, "Terminate")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    order = portal.found("order", "old", "Terminate")
    assert order["state"] == "erred"
    assert "1 jobs are running" in order["error_message"]
    assert portal.found("resource", "old")["state"] == "OK"
    assert slurm.state() == before
    assert slurm.run("squeue", "-h", "-o", "%a").split() == ["a_old"]


def test_terminate_keeps_what_others_use(site_: Site) -> None:
    site, portal, slurm = site_
    portal.resource("sibling", limits={"cpu": 1})
    portal.resource("cousin", project="fusion", limits={"cpu": 1})
    site("apply", "--auto-approve")
    ordered(portal, "Terminate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "p_fusion", "a_sibling", "a_cousin"}
    assert slurm.users_of("a_sibling") == {"tbalice", "tbbob"}
    portal.order("sibling", "Terminate", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic", "p_fusion", "a_cousin"}


def test_terminate_in_a_project_with_capitals_keeps_its_siblings(site_: Site) -> None:
    """SLURM folds names; an agent that does not would find the project empty and drop the subtree."""
    site, portal, slurm = site_
    site.document["offerings"][0]["backend_settings"]["project_prefix"] = "P_"
    for name in ("Upper-One", "Upper-Two"):
        portal.resource(name, slug=name, project="Big-Project", limits={"cpu": 1})
    portal.user("tbcarol", "Big-Project")
    assert site("apply", "--auto-approve").code == 0
    portal.order("Upper-One", "Terminate", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert "a_upper-one" not in slurm.accounts()
    assert {"p_big-project", "a_upper-two"} <= slurm.accounts()
    assert slurm.users_of("a_upper-two") == {"tbcarol"}


def test_one_order_alone_by_target(site_: Site) -> None:
    site, portal, slurm = site_
    ordered(portal, "Create")
    portal.edit("old", limits={"cpu": 8})
    done = site("apply", "--auto-approve", "--target", f"waldur.order[{uid('order', 'new', 'Create')}]")
    assert done.code == 0, done.both
    assert portal.found("order", "new", "Create")["state"] == "done"
    assert slurm.users_of("a_new") == {"tbalice", "tbbob"}
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"


def test_a_saved_plan_holds_its_orders_or_is_stale(site_: Site, tmp_path: Path) -> None:
    site, portal, slurm = site_
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
    as_ordered(site_, "Create")


def test_terminate_of_one_of_two_that_share_an_account_takes_it_from_nobody(site_: Site) -> None:
    """Waldur lets two resources have one backend_id."""
    site, portal, slurm = site_
    portal.resource("shares", slug="shares", backend_id="a_old", limits={"cpu": 7})
    portal.order("shares", "Terminate", "pending-provider")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert portal.found("order", "shares", "Terminate")["state"] == "pending-provider"
    assert "is claimed by" in done.out
    assert slurm.state() == before


def test_customers_without_resources_stay_where_the_site_says_so(site_: Site) -> None:
    site, portal, slurm = site_
    site.document["reconcile"]["empty_customers"] = "keep"
    ordered(portal, "Terminate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "c_nordic"}
    assert site("plan", "--detailed-exitcode").code == 0


def test_soft_delete_keeps_the_account_and_restore_brings_it_back(site_: Site) -> None:
    site, portal, slurm = site_
    site.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    ordered(portal, "Terminate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("order", "old", "Terminate")["state"] == "done"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=0"
    assert slurm.users_of("a_old") == set()
    assert site("plan", "--detailed-exitcode").code == 0
    portal.order("old", "Restore", "pending-provider")
    assert site("apply", "--auto-approve").code == 0
    assert portal.found("resource", "old")["state"] == "OK"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"
    assert slurm.users_of("a_old") == {"tbalice", "tbbob"}


def test_terminate_of_what_never_had_an_account_is_done_at_once(site_: Site) -> None:
    site, portal, slurm = site_
    before = slurm.state()
    portal.resource("ghost", state="Terminating")
    portal.order("ghost", "Terminate", "executing")
    assert site("apply", "--auto-approve").code == 0
    assert portal.writes() == [DONE]
    assert slurm.state() == before


def test_many_orders_at_once(site_: Site) -> None:
    """Twelve creations and an end in one apply, in a number of commands that does not grow with them."""
    site, portal, slurm = site_
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


# ---------------------------------------------------------------------- accounts that are there already


def test_an_account_in_its_place_that_nobody_owns_is_adopted(site_: Site) -> None:
    site, portal, slurm = site_
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    ordered(portal, "Create")
    shown = site("plan")
    assert "adopt" in shown.out
    assert site("apply", "--auto-approve").code == 0
    as_ordered(site_, "Create")


def test_an_account_elsewhere_is_not_adopted(site_: Site) -> None:
    site, portal, slurm = site_
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=root")
    before = slurm.state()
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "nothing shows that it is this one's" in done.out
    assert portal.found("order", "new", "Create")["state"] == "erred"
    assert slurm.state() == before


def test_an_account_of_another_resource_is_not_adopted(site_: Site) -> None:
    """Another offering of the provider, not on this configuration, has the account."""
    site, portal, slurm = site_
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    portal.resource("theirs", backend_id="a_new", offering_uuid=uid("another"), slug="theirs")
    ordered(portal, "Create")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert '"theirs"' in done.out
    assert portal.found("order", "new", "Create")["state"] == "erred"
    assert slurm.users_of("a_new") == set()


def test_names_of_the_project_are_counted_on_past_accounts_of_others(site_: Site) -> None:
    site, portal, slurm = site_
    portal.world["offering"]["plugin_options"] = {"account_name_generation_policy": "project_slug"}
    portal.push()
    slurm.sacctmgr("add", "account", "name=a_climate", "cluster=testbed", "parent=root")
    for name in ("one", "two"):
        portal.resource(name, state="Creating")
        portal.order(name, "Create", "pending-provider")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    names = {portal.found("resource", n)["backend_id"] for n in ("one", "two")}
    assert names == {"a_climate-0", "a_climate-1"}
    assert slurm.shown("a_climate", "ParentName") == "root"
    assert site("plan", "--detailed-exitcode").code == 0


def test_the_end_of_what_never_had_an_account_takes_nobody_elses(site_: Site) -> None:
    """Its Create failed since the account is another offering's; then the customer ends the failed resource."""
    site, portal, slurm = site_
    slurm.sacctmgr("add", "account", "name=a_new", "cluster=testbed", "parent=p_climate")
    slurm.sacctmgr("add", "user", "name=tbcarol", "account=a_new")
    portal.resource("theirs", backend_id="a_new", offering_uuid=uid("another"), slug="theirs")
    portal.resource("new", state="Terminating", limits={"cpu": 100})
    portal.order("new", "Terminate", "executing")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("order", "new", "Terminate")["state"] == "done"
    assert slurm.state() == before
    assert site("apply", "--auto-approve").code == 0
    assert slurm.state() == before


def test_a_half_done_create_is_finished_also_where_an_ended_resource_had_the_name(site_: Site) -> None:
    site, portal, slurm = site_
    portal.world["offering"]["plugin_options"] = {"account_name_generation_policy": "project_slug"}
    portal.push()
    portal.resource("first", project="ocean", state="Terminated", backend_id="a_ocean")
    portal.resource("second", project="ocean", state="Creating", limits={"cpu": 1})
    portal.order("second", "Create", "pending-provider")
    portal.faults({"path": "/set_backend_id/", "status": 500})
    assert site("apply", "--auto-approve").code == 1
    portal.faults()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.found("resource", "second")["backend_id"] == "a_ocean"
    assert {a for a in slurm.accounts() if "ocean" in a} == {"p_ocean", "a_ocean"}


PASSING = {
    "killed": "kill -9 $$",
    "database": 'echo "sacctmgr: error: Problem talking to the database: Resource unavailable" >&2; exit 1',
    "libraries": 'echo "sacctmgr: error while loading shared libraries: libslurm.so" >&2; exit 127',
    "docker": 'echo "Error response from daemon: container 3f is not running" >&2; exit 1',
    "busy": 'echo "Database is busy or waiting for lock from other user." >&2; exit 1',
}
FAILING = [
    *(("Create", "add account", failure) for failure in PASSING),
    *((kind, words, "busy") for kind in KINDS for words in COMMANDS[kind]),
]


@pytest.mark.parametrize(("kind", "words", "failure"), FAILING, ids=lambda v: v.replace(" ", "-"))
def test_what_may_pass_ends_no_order(site_: Site, kind: str, words: str, failure: str, tmp_path: Path) -> None:
    """Each step on the cluster fails in ways that say nothing about what was ordered."""
    site, portal, _ = site_
    ordered(portal, kind)
    refusing = f'case " $* " in *"{words}"*) {PASSING[failure]};; esac'
    wrapped(site, tmp_path / "bin", "nothing", "true", refusing)
    assert site("apply", "--auto-approve").code == 1
    assert portal.found("order", SUBJECT[kind], kind)["state"] == "executing"
    del site.document["reconcile"]["runner"]
    assert site("apply", "--auto-approve").code == 0
    as_ordered(site_, kind)


def test_trouble_with_something_else_ends_no_order(site_: Site, tmp_path: Path) -> None:
    """The project's description cannot be set, and one member is refused: the customer's order is done."""
    site, portal, slurm = site_
    slurm.sacctmgr("modify", "account", "where", "name=p_climate", "set", "description=wrong")
    portal.user("tbcarol", "climate")
    ordered(portal, "Create")
    refusing = """case " $* " in *"modify account"*p_climate*|*"add user"*tbcarol*)
        echo "sacctmgr: error: Invalid value" >&2; exit 1;; esac"""
    wrapped(site, tmp_path / "bin", "nothing", "true", refusing)
    assert site("apply", "--auto-approve").code == 1
    assert portal.found("order", "new", "Create")["state"] == "done"
    assert portal.found("resource", "new")["backend_id"] == "a_new"
    assert slurm.users_of("a_new") == {"tbalice", "tbbob"}


def test_what_the_configuration_protects_lets_orders_wait(site_: Site) -> None:
    site, portal, slurm = site_
    ordered(portal, "Update")
    portal.resource("new", state="Creating", limits={"cpu": 100})
    portal.order("new", "Create", "pending-provider")
    site.document["reconcile"]["guards"] = {"protected": ["root", "a_*"]}
    before = slurm.state()
    assert site("apply", "--auto-approve").code == 4
    assert {o["state"] for o in portal.world["orders"]} == {"pending-provider"}
    assert slurm.state() == before


def test_a_restore_never_harms_who_has_the_name_now(site_: Site) -> None:
    site, portal, slurm = site_
    portal.resource("dead", slug="dead", project="fusion", state="Terminated", backend_id="a_old")
    portal.order("dead", "Restore", "pending-provider")
    ordered(portal, "Update")
    assert site("apply", "--auto-approve").code == 4
    assert portal.found("order", "dead", "Restore")["state"] == "erred"
    assert portal.found("order", "old", "Update")["state"] == "done"
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=540000"


@pytest.mark.parametrize("how", ["soft", "wait"])
def test_the_members_of_an_ending_account_are_no_mass_deletion(site_: Site, how: str) -> None:
    site, portal, slurm = site_
    for number in range(10):
        portal.user(f"u{number}", "climate")
    assert site("apply", "--auto-approve").code == 0
    if how == "soft":
        site.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    else:
        site.document["reconcile"]["on_terminate"] = "wait"
        running(slurm, "a_old")
    ordered(portal, "Terminate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.users_of("a_old") == (set() if how == "soft" else {"tbalice"})


@pytest.mark.parametrize("action", ["set_backend_metadata", "refresh_last_sync"])
def test_an_action_that_the_server_lacks_is_said_once_and_holds_nothing_up(site_: Site, action: str) -> None:
    site, portal, slurm = site_
    ordered(portal, "Create")
    portal.faults({"path": f"/{action}/", "status": 404, "body": "<html>Not Found</html>", "times": 100})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert done.err.count("has no place for") == 1
    assert portal.found("order", "new", "Create")["state"] == "done"
    settled = site("plan", "--detailed-exitcode")
    assert settled.code == 0, settled.both
    portal.forget()
    portal.edit("old", limits={"cpu": 8})
    assert "has no place for" not in site("apply", "--auto-approve").both
    assert f"resource/{action}" not in portal.writes()
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=480000"


def test_an_order_that_cannot_be_approved_freezes_nothing_else(site_: Site) -> None:
    """A token of an offering manager may not approve; pausing and members go on all the same."""
    site, portal, slurm = site_
    ordered(portal, "Update")
    portal.edit("old", paused=True)
    portal.user("tbcarol", "climate")
    for name in ("n1", "n2"):
        portal.resource(name, project="ocean", customer="south", state="Creating")
        portal.order(name, "Create", "pending-provider")
    portal.world["role"] = "manager"
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 1, done.both
    assert slurm.shown("a_old", "QOS") == "paused"
    assert slurm.users_of("a_old") == {"tbalice", "tbbob", "tbcarol"}
    assert slurm.shown("a_old", "GrpTRESMins") == "cpu=420000"
    # and nothing is made for orders that were not taken on
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "a_old"}


def test_a_resource_that_is_not_as_it_should_be_stays_erred(site_: Site) -> None:
    site, portal, _ = site_
    portal.edit("old", state="Erred", error_message="set by staff", limits={"cpu": -5})
    assert site("apply", "--auto-approve").code == 4
    assert portal.found("resource", "old")["state"] == "Erred"
    assert portal.writes() == []


def test_odd_orders_spoil_only_themselves_and_are_said(site_: Site) -> None:
    site, portal, slurm = site_
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


def test_a_held_account_keeps_its_members_until_its_order_can_end_it(site_: Site) -> None:
    """Another resource's row cannot be read and names the same account."""
    site, portal, slurm = site_
    portal.resource("unreadable", backend_id="a_old", paused="perhaps")
    ordered(portal, "Terminate", "executing")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert slurm.users_of("a_old") == {"tbalice", "tbbob"}
    assert "could not be read from Waldur" in done.out
    assert portal.found("order", "old", "Terminate")["state"] == "executing"
