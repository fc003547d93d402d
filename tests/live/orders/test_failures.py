"""Orders and failures at each step: requests, deaths, daemons, refusals."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.fakes import KILL, after, on, once, refuse
from tests.live.conftest import Site
from tests.live.orders.ordered import COMMANDS, KINDS, STEPS, SUBJECT, as_ordered, ordered, wrapped


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
@pytest.mark.parametrize("status", [500, 403])
def test_a_request_that_fails_leaves_the_order_and_the_next_cycle_goes_on(
    world: Site, kind: str, step: str, status: int
) -> None:
    site, portal, _ = world
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": status, "body": "<html>oops</html>"})
    failed = site("apply", "--auto-approve")
    assert failed.code == 1, failed.both
    assert step.partition("/")[2] in failed.both
    assert portal.found("order", SUBJECT[kind], kind)["state"] in ("pending-provider", "executing")
    if step.endswith("approve_by_provider"):
        # nothing was begun that the provider had not taken on
        assert not {"a_new", "a_back"} & world[2].accounts()
        assert "a_old" in world[2].accounts()
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(world, kind)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
def test_an_answer_that_is_lost_is_no_doubt_for_the_next_cycle(world: Site, kind: str, step: str) -> None:
    """Waldur did it, and the answer never came."""
    site, portal, _ = world
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": 502, "after": True})
    assert site("apply", "--auto-approve").code == 1
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(world, kind)


def killed(site: Program, until: Callable[[], bool], timeout: float = 60) -> None:
    """Start an apply as a process and kill -9 it as soon as ``until`` holds."""
    with site.begun("apply", "--auto-approve") as process:
        deadline = time.monotonic() + timeout
        while not until():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: v.replace("/", "-"))
def test_kill_9_after_each_request_heals_in_the_next_cycle(world: Site, kind: str, step: str) -> None:
    site, portal, _ = world
    ordered(portal, kind)
    portal.faults({"path": f"/{step.partition('/')[2]}/", "status": 200, "after": True, "sleep": 1.5})
    killed(site, lambda: step in portal.writes())
    time.sleep(1.6)  # the stand-in ends the request that nobody waits for
    portal.faults()
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(world, kind)


@pytest.mark.parametrize(("kind", "words"), [(k, w) for k in KINDS for w in COMMANDS[k]])
def test_kill_9_after_each_command_heals_in_the_next_cycle(world: Site, kind: str, words: str, tmp_path: Path) -> None:
    site, portal, _ = world
    ordered(portal, kind)
    directory = tmp_path / "bin"
    wrapped(site, directory, on(f'*"{words}"*', after(once(directory / "struck", KILL))))
    done = site.process("apply", "--auto-approve")
    assert done.code == -signal.SIGKILL, done.both
    assert (directory / "struck").exists()
    assert portal.found("order", SUBJECT[kind], kind)["state"] == "executing"
    healed = site("apply", "--auto-approve")
    assert healed.code == 0, healed.both
    as_ordered(world, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_slurmdbd_down_in_the_middle_leaves_the_order_executing(world: Site, kind: str) -> None:
    site, portal, slurm = world
    ordered(portal, kind)
    portal.faults({"path": "/approve_by_provider/", "status": 200, "after": True, "sleep": 1.0})
    with site.begun("apply", "--auto-approve", out=subprocess.PIPE) as process:
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
    as_ordered(world, kind)


@pytest.mark.parametrize(("kind", "words"), [("Create", "add account"), ("Update", "modify account")])
def test_what_the_cluster_refuses_for_good_ends_the_order_with_words_for_the_customer(
    world: Site, kind: str, words: str, tmp_path: Path
) -> None:
    site, portal, slurm = world
    ordered(portal, kind)
    refusal = refuse("sacctmgr: error: Invalid value, secret site detail")
    wrapped(site, tmp_path / "bin", on(f'*"{words}"*', refusal))
    done = site("apply", "--auto-approve")
    assert done.code == 1
    assert "secret site detail" in done.both  # the technical part is the operator's
    order = portal.found("order", SUBJECT[kind], kind)
    assert order["state"] == "erred"
    assert "refused" in order["error_message"]
    assert "secret" not in order["error_message"] + order["error_traceback"]
    assert "a_new" not in slurm.accounts()
    del site.document["reconcile"]["runner"]
    later = site("apply", "--auto-approve")
    assert later.code == 0, later.both
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
        as_ordered(world, kind)


PASSING = {
    "killed": "kill -9 $$",
    "database": refuse("sacctmgr: error: Problem talking to the database: Resource unavailable"),
    "libraries": refuse("sacctmgr: error while loading shared libraries: libslurm.so", 127),
    "docker": refuse("Error response from daemon: container 3f is not running"),
    "busy": refuse("Database is busy or waiting for lock from other user."),
}
FAILING = [
    *(("Create", "add account", failure) for failure in PASSING),
    *((kind, words, "busy") for kind in KINDS for words in COMMANDS[kind]),
]


@pytest.mark.parametrize(("kind", "words", "failure"), FAILING, ids=lambda v: v.replace(" ", "-"))
def test_what_may_pass_ends_no_order(world: Site, kind: str, words: str, failure: str, tmp_path: Path) -> None:
    """Each step on the cluster fails in ways that say nothing about what was ordered."""
    site, portal, _ = world
    ordered(portal, kind)
    wrapped(site, tmp_path / "bin", on(f'*"{words}"*', PASSING[failure]))
    assert site("apply", "--auto-approve").code == 1
    assert portal.found("order", SUBJECT[kind], kind)["state"] == "executing"
    del site.document["reconcile"]["runner"]
    assert site("apply", "--auto-approve").code == 0
    as_ordered(world, kind)


def test_trouble_with_something_else_ends_no_order(world: Site, tmp_path: Path) -> None:
    """The project's description cannot be set, and one member is refused: the customer's order is done."""
    site, portal, slurm = world
    slurm.sacctmgr("modify", "account", "where", "name=p_climate", "set", "description=wrong")
    portal.user("tbcarol", "climate")
    ordered(portal, "Create")
    refused = '*"modify account"*p_climate*|*"add user"*tbcarol*'
    wrapped(site, tmp_path / "bin", on(refused, refuse("sacctmgr: error: Invalid value")))
    assert site("apply", "--auto-approve").code == 1
    assert portal.found("order", "new", "Create")["state"] == "done"
    assert portal.found("resource", "new")["backend_id"] == "a_new"
    assert slurm.users_of("a_new") == {"tbalice", "tbbob"}


@pytest.mark.parametrize("action", ["set_backend_metadata", "refresh_last_sync"])
def test_an_action_that_the_server_lacks_is_said_once_and_holds_nothing_up(world: Site, action: str) -> None:
    site, portal, slurm = world
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


def test_an_order_that_cannot_be_approved_freezes_nothing_else(world: Site) -> None:
    """A token of an offering manager may not approve; pausing and members go on all the same."""
    site, portal, slurm = world
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
