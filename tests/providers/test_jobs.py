"""Whose a job is, and how it is cancelled: what squeue prints, behind a program that prints it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from reconciler.config import Runner
from reconciler.errors import CommandError, ReadError
from reconciler.guards.jobs import Activity, Ending
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import dialect, jobs, kinds
from reconciler.state.diff import Action, Change
from reconciler.state.model import Obj, State
from tests.fakes import answer, in_front, program
from tests.pure import screen

KNOWN = {"4": ("pa", "ann"), "5": ("pa", "bob"), "6": ("pb", "ann")}
Program = Callable[[str, str], Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Programs on PATH, by what their shells do."""
    monkeypatch.setenv("PATH", in_front(tmp_path))
    program(tmp_path, "scontrol", answer("ClusterName             = tc"))
    return partial(program, tmp_path)


def row(job: int, association: int, account: str) -> str:
    return f"{job:<20}|{association:<20}|{account:<300}|"


def test_a_job_that_fits_nobody_concerns_its_account_alone(programs: Program) -> None:
    lines = [row(11, 4, "pa"), row(12, 99, "pb"), row(13, 5, "pb"), row(14, 0, "pa"), row(11, 4, "pa")]
    programs("squeue", answer("\n".join(lines)))
    found = jobs.active_jobs(CommandRunner(Runner()), "tc", KNOWN)
    assert found == {("pa", "ann"): ("11",), ("pb", ""): ("12", "13"), ("pa", ""): ("14",)}


@pytest.mark.parametrize("line", ["11|4|pa", "x" * 20 + "|4|pa|", "11|4|pa|more|"])
def test_what_is_no_answer_of_squeue_is_an_error(programs: Program, line: str) -> None:
    programs("squeue", answer(line))
    with pytest.raises(ReadError):
        jobs.active_jobs(CommandRunner(Runner()), "tc", KNOWN)


def test_another_clusters_commands_name_it(programs: Program) -> None:
    programs("squeue", 'echo "$*" >&2; exit 1')
    for cluster, named in (("TC", False), ("other", True)):
        with pytest.raises(CommandError) as error:
            jobs.active_jobs(CommandRunner(Runner()), cluster, KNOWN)
        assert ("-M other" in error.value.message) is named


def test_an_account_that_goes_takes_jobs_of_nobody_and_its_members_stay_out_of_it() -> None:
    actual: State = {kinds.account("pa"): Obj({"parent": "root"}), kinds.association("pa", "ann"): Obj({})}
    activity = Activity(jobs={("pa", "ann"): ("11",), ("pa", ""): ("12", "13")})
    gone = [Change(a, Action.DELETE, {}, None, "it ended") for a in actual]
    found = {c.address: c for c in screen(gone, actual, activity, ending=Ending(frozenset({"pa"}))).changes}
    assert found[kinds.account("pa")].jobs == ("12", "13")
    assert found[kinds.association("pa", "ann")].jobs == ("11",)
    # a member who leaves an account that stays is none of those
    alone = screen(gone[1:], actual, activity).changes
    assert [c.jobs for c in alone] == [("11",)]


def test_commands_get_what_is_listed_and_no_more(programs: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    programs("sacctmgr", "env")
    for name in ("SQUEUE_USERS", "SLURM_CLUSTERS", "MY_OWN", "WALDUR_API_TOKEN"):
        monkeypatch.setenv(name, "there")
    monkeypatch.setenv("SLURM_CONF", "/etc/other/slurm.conf")
    runner = dialect.introduced(CommandRunner(Runner(pass_environment=("MY_OWN", "WALDUR_API_TOKEN"))))
    said = runner.run("sacctmgr").stdout.splitlines()
    given = {line.partition("=")[0] for line in said}
    assert {"PATH", "SLURM_CONF", "MY_OWN", "LC_ALL"} <= given
    assert not given & {"SQUEUE_USERS", "SLURM_CLUSTERS", "WALDUR_API_TOKEN"}, "a secret is passed to nobody"
