"""The simulated cluster of the slurm-emulator package, for tests that need a cluster but no real one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import Program, offering
from tests.standin.portal import StandIn

BIN = Path(sys.executable).parent


class Emulator:
    """A cluster whose state is one file."""

    cluster = "default"

    def __init__(self, directory: Path) -> None:
        self.environment = {
            "SLURM_EMULATOR_STATE_FILE": str(directory / "cluster.json"),
            "SLURM_EMULATOR_TIME_FILE": str(directory / "clock.json"),
            "RECONCILE_EXAMPLE_STATE": str(directory / "state"),
            "RECONCILE_EXAMPLE_BIN": str(BIN),
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def sacctmgr(self, *arguments: str) -> str:
        done = self.run("sacctmgr", "-i", *arguments)
        assert done.returncode == 0, done
        return done.stdout

    def seed(self, file: Path) -> None:
        for line in file.read_text().splitlines() if file.exists() else ():
            if line and not line.startswith("#"):
                self.sacctmgr(*shlex.split(line))


def emulated(emulator: Emulator, portal: StandIn, directory: Path) -> Program:
    """A head node on the simulated cluster, with one offering of a portal over real HTTP."""
    program = Program(directory, emulator.environment)
    program.document["offerings"] = [offering(portal.url)]
    program.document["reconcile"] |= {
        "qos": {"paused": {}, "slowdown": {}},
        "runner": {"emulator": True, "slurm_bin_path": str(BIN)},
        "http_retries": 0,
    }
    return program
