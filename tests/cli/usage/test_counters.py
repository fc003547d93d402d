"""Usage side by side: what slurmctld counts beside sacct, and why it may not be compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.usage.conftest import Jobs
from tests.conftest import Program
from tests.fakes import log, program
from tests.standin.portal import StandIn
from tests.usage import COMPONENTS, THIS

CONFIG = {
    "PriorityType": "priority/multifactor",
    "PriorityDecayHalfLife": "00:00:00",
    "PriorityUsageResetPeriod": "MONTHLY",
    "PriorityCalcPeriod": "00:05:00",
}


def counters(jobs: Jobs, used: dict[str, str], running: str = "", **settings: str) -> None:
    """A scontrol that shows settings of slurmctld, and TRES-minutes by account."""
    listed = "\n".join(f"{name:<23} = {value}" for name, value in {**CONFIG, **settings}.items())
    lines = "\n".join(
        f"ClusterName=tc Account={a} UserName= Partition= GrpTRES={running} GrpTRESMins={tres} "
        for a, tres in {"root": "", **used}.items()
    )
    (jobs.directory / "config").write_text(listed + "\n")
    (jobs.directory / "assoc").write_text(lines + "\n")
    asked = f'case "$*" in "show config") cat {jobs.directory}/config;; *) cat {jobs.directory}/assoc;; esac'
    program(jobs.directory, "scontrol", log(jobs.directory / "scontrol.log"), asked)


def since(document: dict[str, Any]) -> dict[str, tuple[dict[str, str], bool]]:
    return {
        c["component"]: (c["amounts"], c["differs"]) for c in document["comparisons"] if c["span"] == f"since {THIS}-01"
    }


def test_what_both_count_is_compared_since_the_last_reset(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 30)
    counters(jobs, {"A_climate-a": "cpu=N(1799),gres/gpu:a100=N(600),gres/gpu:h100=N(60)"})
    found = since(json.loads(site("usage", "verify", "--all", "--json").out))
    assert found == {
        "cpu": ({"sacct": "30.00", "slurmctld": "29.98"}, False),
        "gpu": ({"sacct": "0.00", "slurmctld": "11.00"}, True),
    }
    assert (jobs.directory / "scontrol.log").read_text().splitlines()[-2:] == [
        "show config",
        "-o show assoc_mgr flags=assoc",
    ]


@pytest.mark.parametrize(("running", "differs"), [("", True), ("cpu=N(40)", False)])
def test_what_runs_may_not_be_added_up_yet(
    site: Program, portal: StandIn, jobs: Jobs, running: str, *, differs: bool
) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    counters(jobs, {"a_climate-a": "cpu=N(20)"}, running)
    assert since(json.loads(site("usage", "verify", "--all", "--json").out))["cpu"][1] is differs


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"PriorityType": "priority/basic"}, "slurmctld keeps no usage: PriorityType is priority/basic"),
        ({"PriorityDecayHalfLife": "7-00:00:00"}, "slurmctld's counters decay (PriorityDecayHalfLife = 7-00:00:00)"),
        (
            {"PriorityUsageResetPeriod": "DAILY"},
            "slurmctld resets its counters too often (PriorityUsageResetPeriod = DAILY)",
        ),
    ],
)
def test_counters_that_cannot_be_compared(
    site: Program, portal: StandIn, jobs: Jobs, settings: dict[str, str], says: str
) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    counters(jobs, {}, **settings)
    assert says in json.loads(site("usage", "verify", "--json").out)["notes"]


def test_accounts_and_components_that_only_one_side_has(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.resource("other", backend_id="a_other")
    several = {**COMPONENTS["gpu"], "target_components": {"gres/gpu": {"factor": 60}, "cpu": {"factor": 3840}}}
    site.document["offerings"][0]["backend_components"]["gpu"] = several
    jobs.ran("a_climate-a", "alice", 3)
    counters(jobs, {"a_climate-a": "cpu=N(180)"})
    assert json.loads(site("usage", "verify", "--json").out)["notes"] == [
        "component 'gpu' of several TRES: slurmctld counts each of them alone",
        "slurmctld has no account 'a_other'",
    ]


def test_counters_that_do_not_answer_are_a_problem(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    program(jobs.directory, "scontrol", "echo 'slurm_load_ctl_conf error' >&2; exit 1")
    ran = site("usage", "verify")
    assert ran.code == 1
    assert "scontrol show config: exit code 1: slurm_load_ctl_conf error" in ran.both
    assert "a_climate-a" in ran.out
