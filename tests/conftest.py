"""Fixtures that several packages of tests share."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

from reconciler.cli.main import run
from reconciler.config import block
from reconciler.store import elsewhere
from tests import unix
from tests.standin.portal import OFFERING, TOKEN, StandIn
from tests.standin.warehouse import Warehouse

if TYPE_CHECKING:  # it makes sites of what is here
    from tests.emulator import Emulator

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("default")

ROOT = Path(__file__).parents[1]
#: names of the unix users that tests made on this host
MADE_USERS = Path(tempfile.gettempdir()) / "reconcile-test-users"


@dataclass
class Ran:
    """A finished run of the program."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return self.out + self.err


def offering(url: str, **more: Any) -> dict[str, Any]:
    """The offering block of a waldur-site-agent configuration."""
    settings_ = {
        "default_account": "root",
        "customer_prefix": "c_",
        "project_prefix": "p_",
        "allocation_prefix": "a_",
        "qos_default": "normal",
        "qos_downscaled": "slowdown",
        "qos_paused": "paused",
        "enable_user_homedir_account_creation": False,
        **more.pop("backend_settings", {}),
    }
    return {
        "name": "Cluster A",
        "waldur_api_url": url,
        "waldur_api_token": TOKEN,
        "waldur_offering_uuid": OFFERING,
        "backend_type": "slurm",
        "backend_settings": settings_,
        "backend_components": {
            "cpu": {"measured_unit": "k-Hours", "unit_factor": 60000, "accounting_type": "limit", "label": "CPU"},
        },
        **more,
    }


class Program:
    """Runs the installed program with one configuration file."""

    def __init__(self, directory: Path, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.environment = environment or {}
        self.path = directory / "config.yaml"
        self.document: dict[str, Any] = {"offerings": [], "reconcile": {"state_dir": str(directory / "state")}}

    def write(self) -> Path:
        self.path.write_text(yaml.safe_dump(self.document, sort_keys=False))
        self.path.chmod(0o600)
        return self.path

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run the program's own entry point in this process: the same code without a second's start-up."""
        self.write()
        before = dict(os.environ)
        os.environ.update({"WALDUR_SITE_AGENT_CONFIG": str(self.path), **self.environment, **environment})
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        code: object = None
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                run(list(arguments))
        except SystemExit as end:
            code = end.code
        finally:
            os.environ.clear()
            os.environ.update(before)
        assert isinstance(code, int)
        return self._ran(code, *(_written(stream) for stream in (out, err)))

    def process(self, *arguments: str, stdin: str | None = None, **environment: str) -> Ran:
        """Run the program as its own process."""
        self.write()
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            cwd=ROOT,
            env=self._environment(environment),
        )
        return self._ran(done.returncode, done.stdout, done.stderr)

    def begun(
        self, *arguments: str, out: int = subprocess.DEVNULL, err: int = subprocess.STDOUT, **environment: str
    ) -> subprocess.Popen[str]:
        """The program as a process that runs on while a test does something; its output to be read, or to nowhere."""
        self.write()
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
            cwd=ROOT,
            env=self._environment(environment),
        )

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(self.path), **self.environment, **more}

    def _ran(self, code: int, out: str, err: str) -> Ran:
        for text in (out, err):
            assert "Traceback" not in text, text
            assert "internal error" not in text, text
            assert TOKEN not in text, text
        return Ran(code, out, err)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    server = StandIn(tmp_path_factory.mktemp("waldur"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_other_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this host keeps in the usual places is no test's business."""
    monkeypatch.setattr(block, "SYSTEM_STATE", tmp_path / "nowhere")
    monkeypatch.setattr(elsewhere, "PASSWD", tmp_path / "nobody")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture
def portal(stand_in: StandIn) -> StandIn:
    """The stand-in with an empty offering."""
    stand_in.reset()
    return stand_in


@pytest.fixture
def emulator(tmp_path: Path) -> Emulator:
    """A simulated cluster with nothing on it."""
    from tests.emulator import Emulator

    return Emulator(tmp_path)


@pytest.fixture(scope="session")
def warehouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    server = Warehouse(tmp_path_factory.mktemp("dwdi"))
    yield server
    server.stop()


@pytest.fixture
def warehouse(warehouse_server: Warehouse) -> Warehouse:
    """The stand-in DWDI, in which nothing was used."""
    warehouse_server.reset()
    return warehouse_server


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Unix users that the tests made go with the process that hands the tests out, so after the last of them."""
    if not hasattr(session.config, "workerinput") and MADE_USERS.exists():
        for name in MADE_USERS.read_text().split():
            unix.remove(name)
        MADE_USERS.unlink()


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """Say loudly, and last, that the tests on a real SLURM did not run."""
    yield
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "tests/live" in r.nodeid]
    if skipped:
        reason = str(skipped[0].longrepr[-1] if isinstance(skipped[0].longrepr, tuple) else skipped[0].longrepr)
        terminalreporter.write_line("")
        terminalreporter.write_line(
            f"!!! {len(skipped)} LIVE TESTS DID NOT RUN on a real SLURM: {reason} !!!", red=True, bold=True
        )
