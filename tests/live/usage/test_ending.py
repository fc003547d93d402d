"""The last usage of what ends: as of the end of its jobs, and never lost."""

from __future__ import annotations

import time

import pytest

from reconciler.providers.slurm.usage import COLUMNS
from tests.conftest import Program
from tests.fakes import answer, around, linked, on, where
from tests.live.conftest import Slurm, answered
from tests.standin.portal import StandIn
from tests.usage import THIS, held, users


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


@pytest.fixture
def ending(used: Program, slurm: Slurm, portal: StandIn) -> Program:
    """An order ends climate-a while a job of 64 cpus runs on it; amounts are in cpu-minutes."""
    used.document["offerings"][0]["backend_components"] = {
        "cpu": {"measured_unit": "CPU-minutes", "unit_factor": 1, "accounting_type": "limit", "label": "CPU"}
    }
    portal.edit("climate-a", limits={"cpu": 100000})
    # another unit makes all other limits smaller
    assert used("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    slurm.until("RUNNING", slurm.submit("a_climate-a", "tbalice", 300, "-n64", "-t", "10"))
    portal.order("climate-a", "Terminate", "pending-provider")
    portal.forget()
    return used


def truly_used(slurm: Slurm) -> str:
    """CPU-minutes of climate-a, as the accounting database has them in the end."""
    rows = slurm.run("sacct", "-aXDPn", "-S", f"{THIS}-01", "-A", "a_climate-a", "-o", "AllocCPUS,ElapsedRaw,End")
    runs = [row.split("|") for row in rows.splitlines()]
    assert all(end != "Unknown" for _, _, end in runs), runs
    return f"{sum(int(cpus) * int(seconds) for cpus, seconds, _ in runs) / 60:.2f}"


def ended_as_used(slurm: Slurm, portal: StandIn) -> None:
    """The order is done, and all was told that the resource used."""
    assert portal.found("order", "climate-a", "Terminate")["state"] == "done"
    assert "a_climate-a" not in slurm.accounts()
    assert held(portal, "climate-a") == {"cpu": truly_used(slurm)}
    assert users(portal, "cpu", "climate-a") == {"tbalice": truly_used(slurm)}


def later(slurm: Slurm, seconds: int) -> None:
    """Let the job of climate-a run for so long from now on."""

    def elapsed() -> int:
        return int(slurm.run("sacct", "-aXPn", "-S", "now-1hours", "-A", "a_climate-a", "-o", "ElapsedRaw"))

    until = elapsed() + seconds
    while elapsed() < until:
        time.sleep(0.1)


SLOW_APPROVAL = {"path": "/approve_by_provider/", "sleep": 4.0, "change": {"slow": True}}


@pytest.mark.parametrize("mode", ["all", "order_process"])
def test_the_last_usage_is_that_of_the_jobs_end(ending: Program, slurm: Slurm, portal: StandIn, mode: str) -> None:
    """The provider's approval takes four seconds, and the job runs on meanwhile."""
    portal.faults(SLOW_APPROVAL)
    done = ending("apply", "--auto-approve", "--mode", mode)
    assert done.code == 0, done.both
    ended_as_used(slurm, portal)
    assert ending("plan", "--detailed-exitcode").code == 0


def test_the_last_usage_where_the_question_stays_open(ending: Program, slurm: Slurm, portal: StandIn) -> None:
    code, said = answered(ending, lambda: later(slurm, 6))
    assert code == 0, said
    ended_as_used(slurm, portal)


def test_the_last_usage_of_a_saved_plan(ending: Program, slurm: Slurm, portal: StandIn) -> None:
    path = str(ending.directory / "ending.plan")
    assert ending("plan", "--out", path).code == 0
    later(slurm, 8)
    done = ending("apply", path)
    assert done.code == 0, done.both
    ended_as_used(slurm, portal)


def failing_sacct(site: Program, code: int, gone: str = "") -> None:
    """sacct that cannot tell usage, once the account ``gone`` is gone; with code 0 it knows nobody."""
    directory = site.directory / "bin"
    linked(directory, "sacctmgr", "squeue", "scancel", "scontrol", "sshare")
    end = f"exit {code}"
    silent = on('*" -aXDTP "*', *([] if code else [answer("|".join(COLUMNS))]), end)
    when = f'[ -z "$(/usr/bin/sacctmgr -nP show assoc where account={gone})" ]' if gone else "true"
    around(directory, "sacct", where(when, silent, on('*" -o Account,ElapsedRaw "*', end)))
    site.document["reconcile"]["runner"] = {"slurm_bin_path": str(directory)}


@pytest.mark.parametrize("code", [1, 0], ids=["fails", "silent"])
@pytest.mark.parametrize("saved", [False, True], ids=["plain", "saved"])
def test_an_order_waits_for_usage_that_cannot_be_read_at_its_end(
    ending: Program, slurm: Slurm, portal: StandIn, saved: bool, code: int
) -> None:
    """The account is gone by then; the next apply reads what its jobs used all the same."""
    failing_sacct(ending, code, "a_climate-a")
    path = str(ending.directory / "ending.plan")
    if saved:
        assert ending("plan", "--out", path).code == 0
    failed = ending("apply", path) if saved else ending("apply", "--auto-approve")
    assert failed.code == 1, failed.both
    assert "could not be read" in failed.both and "the next apply goes on" in failed.both
    assert "a_climate-a" not in slurm.accounts()
    assert portal.found("order", "climate-a", "Terminate")["state"] == "executing"
    # as long as it cannot be read the order waits, also now that it has no account
    failing_sacct(ending, code)
    assert ending("apply", "--auto-approve").code == 1
    assert portal.found("order", "climate-a", "Terminate")["state"] == "executing"
    del ending.document["reconcile"]["runner"]
    done = ending("apply", "--auto-approve")
    assert done.code == 0, done.both
    ended_as_used(slurm, portal)
