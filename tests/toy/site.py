"""A head node on which the toy and its backend are installed, as pip leaves a package behind."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.conftest import Program, offering
from tests.fakes import in_front, program
from tests.standin.portal import StandIn
from tests.toy.toyctl import Box, main

HERE = Path(__file__).parent


def installed(directory: Path) -> Path:
    """The distribution that brings the backend: its module, and its entry point of ``reconcile.backends``."""
    info = directory / "reconcile_toy-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "backend.py", directory / "reconcile_toy.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reconcile-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reconcile.backends]\ntoy = reconcile_toy:Toy\n")
    return directory


class Toybox(Program):
    """The program with a box, and an offering whose accounts and members are in it."""

    def __init__(self, directory: Path, portal: StandIn) -> None:
        packages = installed(directory / "packages")
        self.box = directory / "box.json"
        program(directory / "bin", "toyctl", f'exec {sys.executable} {HERE / "toyctl.py"} {self.box} "$@"')
        super().__init__(directory, {"PYTHONPATH": str(packages), "PATH": in_front(directory / "bin")})
        about = {
            "backend_type": "toy",
            "order_processing_backend": "toy",
            "membership_sync_backend": "toy",
            "reporting_backend": "",
            "backend_settings": {"customer_prefix": "c_", "project_prefix": "p_", "allocation_prefix": "a_"},
            "backend_components": {"cpu": {"measured_unit": "h", "unit_factor": 60, "accounting_type": "limit"}},
        }
        self.document["offerings"] = [{**offering(portal.url), **about}]
        self.document["reconcile"] |= {"http_retries": 0}

    def toyctl(self, *words: str) -> None:
        """Somebody's own command."""
        assert main(self.box, words) == 0, words

    def here(self) -> Box:
        """The box as it is."""
        found: dict[str, Any] = json.loads(self.box.read_text())
        return found

    def members(self, account: str) -> set[str]:
        """Who is in an account."""
        return {user for name, user in self.here()["members"] if name == account}
