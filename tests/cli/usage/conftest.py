"""A site whose sacct is a program of ours."""

from __future__ import annotations

import copy
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.providers.slurm.usage import COLUMNS
from tests.conftest import Program, offering
from tests.fakes import answer, program
from tests.standin.portal import StandIn
from tests.usage import COMPONENTS, THIS


class Jobs:
    """A sacct that knows jobs by month."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.numbers = 0
        asked = 'while [ $# -gt 1 ]; do [ "$1" = -S ] && month=${2%-01T*}; shift; done'
        program(directory, "sacct", answer("|".join(COLUMNS)), asked, f"cat {directory}/$month 2>/dev/null", "exit 0")

    def ran(self, account: str, user: str, hours: float, tres: str = "cpu=1", month: str = THIS) -> None:
        self.numbers += 1
        start = int(datetime.fromisoformat(f"{month}-10T00:00:00+00:00").timestamp())
        end = start + int(hours * 3600)
        with (self.directory / month).open("a") as file:
            file.write(f"{self.numbers}|{account}|{user}|{tres}|{end - start}|{start}|{end}|COMPLETED\n")

    def forget(self, month: str = THIS) -> None:
        (self.directory / month).unlink(missing_ok=True)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "bin")


@pytest.fixture
def site(tmp_path: Path, portal: StandIn, jobs: Jobs) -> Program:
    program = Program(tmp_path)
    where = {"slurm_bin_path": str(jobs.directory)}
    about = offering(portal.url, backend_settings=where, backend_components=copy.deepcopy(COMPONENTS))
    program.document["offerings"] = [about]
    program.document["reconcile"]["http_retries"] = 1
    portal.resource("climate-a", backend_id="a_climate-a", limits={"cpu": 100})
    portal.user("alice", "climate")
    portal.user("Bob", "climate")
    portal.forget()
    return program
