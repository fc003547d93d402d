"""``periodic_limits.emulator_mode``: settings of a policy go to a SLURM emulator's own API, by its real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import Program
from tests.emulator import Emulator, emulated
from tests.standin.portal import StandIn


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The emulator's API; its accounts are in a file of its own."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    own = {
        "SLURM_EMULATOR_STATE_FILE": str(tmp_path / "api.json"),
        "SLURM_EMULATOR_TIME_FILE": str(tmp_path / "api-clock.json"),
    }
    argv = [sys.executable, "-m", "uvicorn", "emulator.api.emulator_server:app", "--port", str(port)]
    process = subprocess.Popen(argv, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                requests.get(f"{url}/api/status", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def site(portal: StandIn, tmp_path: Path, server: str) -> Program:
    program = emulated(Emulator(tmp_path), portal, tmp_path)
    offering = program.document["offerings"][0]
    backends = {"order_processing_backend": "slurm", "membership_sync_backend": "slurm", "reporting_backend": ""}
    offering |= backends  # the emulator's sacct is none to report from
    settings = offering["backend_settings"]
    settings["periodic_limits"] = {"enabled": True, "emulator_mode": True, "emulator_base_url": f"{server}/"}
    settings["cluster_name"] = "default"
    portal.resource("one", backend_id="a_one", limits={"cpu": 100})
    return program


def test_settings_go_to_the_emulator_and_every_plan_says_so(site: Program, server: str) -> None:
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert f"go to {server}/ and NOT to the cluster" in done.out
    about = requests.get(f"{server}/api/status", timeout=5).json()["accounts"]["a_one"]
    assert about["fairshare"] == 50
    assert {k: n for k, n in about["limits"].items() if ":" in k} == {
        "GrpTRESMins:cpu": 10_800_000,
        "GrpTRESMins:billing": 168_750,
    }
    again = site("plan", "--detailed-exitcode")
    assert again.code == 0 and "emulator_mode is on" in again.out, again.both
    body = {"resource_id": "a_one", "fairshare": 3}
    requests.post(f"{server}/api/apply-periodic-settings", json=body, timeout=5).raise_for_status()
    assert 'slurm.emulated "a_one"' in site("plan").out, "drift there is healed as well"
    assert "curl -sS -f -X POST" in site("plan", "--script").out
    assert site("apply", "--auto-approve").code == 0
    assert requests.get(f"{server}/api/status", timeout=5).json()["accounts"]["a_one"]["fairshare"] == 50


def test_an_emulator_that_does_not_answer_is_named(site: Program) -> None:
    settings = site.document["offerings"][0]["backend_settings"]["periodic_limits"]
    settings["emulator_base_url"] = "http://127.0.0.1:9"
    done = site("plan")
    assert done.code == 1 and "emulator at http://127.0.0.1:9" in done.err and "emulator_mode: false" in done.err
