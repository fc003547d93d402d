"""Every example still makes the plan that is kept in ``plans/``.

After a change that is meant: ``RECONCILE_WRITE_PLANS=1 .venv/bin/pytest tests/test_examples.py`` and review the diff.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Program
from tests.emulator import BIN, Emulator
from tests.standin.mam.install import installed

EXAMPLES = sorted(p.parent.name for p in (ROOT / "examples").glob("*/config.yaml"))


class Example(Program):
    def write(self) -> Path:
        return self.path


def with_money(directory: Path, seed: Path) -> dict[str, str]:
    """The environment of the example with MOAB, as ``quickstart.py`` makes it."""
    binaries = directory / "bin"
    environment = installed(binaries, directory / "mam")
    for line in seed.read_text().splitlines():
        if words := shlex.split(line, comments=True):
            argv = [str(binaries / words[0]), *words[1:]]
            subprocess.run(argv, env={**os.environ, **environment}, check=True, capture_output=True)
    return {**environment, "RECONCILE_EXAMPLE_STATE": str(directory / "state"), "RECONCILE_EXAMPLE_BIN": str(binaries)}


def seeded(name: str, directory: Path) -> Example:
    """The program of an example, with the example's cluster."""
    seed = ROOT / "examples" / name / "cluster.txt"
    if name == "moab":
        environment = with_money(directory, seed)
    else:
        emulator = Emulator(directory)
        emulator.seed(seed)
        environment = emulator.environment
    program = Example(directory, environment)
    program.path = ROOT / "examples" / name / "config.yaml"
    return program


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_plan_of_an_example(name: str, tmp_path: Path) -> None:
    program = seeded(name, tmp_path)
    text = program("plan").out
    document = json.loads(program("plan", "--json").out)
    document["timestamp"] = "2026-11-01T00:00:00Z"
    document["reconcile"]["config_digest"] = "sha256:0"
    document["reconcile"]["version"] = "0"
    script = re.sub(r"planned \S+", "planned 2026-11-01T00:00:00Z", program("plan", "--script").out)
    found = {
        f"{name}.txt": text,
        f"{name}.json": json.dumps(document, indent=1) + "\n",
        f"{name}.sh": script.replace(f"{BIN}/", "").replace(f"{tmp_path}/bin/", ""),
    }
    for file, content in found.items():
        kept = ROOT / "plans" / file
        if os.environ.get("RECONCILE_WRITE_PLANS"):
            kept.write_text(content)
        assert content == kept.read_text(), f"plans/{file} differs; see the top of this test"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_converges(name: str, tmp_path: Path) -> None:
    program = seeded(name, tmp_path)
    assert program("apply", "--auto-approve").code == 0
    done = program("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
