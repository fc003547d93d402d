"""reconcile doctor: a site in order, and each thing that may be wrong with it; SLURM's commands are scripts of ours."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Program, offering
from tests.emulator import BIN, Emulator
from tests.fakes import answer, in_front, on, program
from tests.standin.portal import StandIn


class Commands:
    """SLURM's commands as far as the doctor asks them; each answer may be replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in ("sacct", "squeue", "scancel"):
            self.answers(name, {"--version": "slurm 23.11.4", "-V": "slurm 23.11.4"})
        self.control: dict[str, str] = {
            "--version": "slurm 23.11.4",
            "ping": "Slurmctld(primary) at head1 is UP",
            "show config": "AuthType                = auth/munge\nSlurmUser               = slurm(64030)",
        }
        self.manager: dict[str, str] = {
            "--version": "slurm 23.11.4",
            "show cluster": "Cluster\ntestbed",
            "show assoc": "Cluster|Account|User",
            "show user where name": "nobody|None",
        }
        self.answers("munge", {"-n": "MUNGE:abc:"})
        self.answers("unmunge", {"": "STATUS: Success (0)"})
        self.answers("id", {"-un": "root"})
        self.write()

    def write(self) -> None:
        self.answers("scontrol", self.control)
        self.answers("sacctmgr", self.manager)

    def answers(self, name: str, known: dict[str, str], code: int = 0) -> None:
        cases = (on(f"*{asked!r}*", answer(text), f"exit {code}") for asked, text in known.items())
        program(self.directory, name, *cases, 'echo "unexpected: $*" >&2', "exit 1")


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "bin")


@pytest.fixture
def site(tmp_path: Path, portal: StandIn, commands: Commands) -> Program:
    path = in_front(commands.directory)
    program = Program(tmp_path, {"PATH": path})
    program.document["offerings"] = [offering(portal.url, backend_settings={"slurm_bin_path": str(commands.directory)})]
    program.document["reconcile"]["http_retries"] = 0
    (tmp_path / "state").mkdir(mode=0o700)
    portal.resource("climate-a")
    portal.world["offering"]["components"] = [
        {"uuid": "c" * 32, "type": "cpu", "name": "CPU", "measured_unit": "k-Hours", "billing_type": "limit"}
    ]
    portal.push()
    return program


def examined(site: Program) -> dict[str, dict[str, Any]]:
    """Findings by what was checked; of several the worst."""
    ran = site("doctor", "--json")
    answer = json.loads(ran.out)
    assert answer["format_version"] == "1.0"
    assert answer["exit_code"] == ran.code
    order = ("ok", "warning", "error")
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(answer["findings"], key=lambda f: order.index(f["level"])):
        assert one["hint"] or one["level"] == "ok", one
        found[one["check"]] = one
    levels = {f["level"] for f in answer["findings"]}
    assert ran.code == (1 if "error" in levels else 2 if "warning" in levels else 0)
    return found


def told(site: Program, check: str, level: str) -> str:
    """What one check says."""
    found = examined(site)[check]
    assert found["level"] == level, found
    return f"{found['text']} {found['hint']}"


# ---------------------------------------------------------------------- a site in order


@pytest.fixture
def simulated(tmp_path: Path, site: Program) -> Program:
    """On the simulated cluster everything can be read."""
    site.environment = Emulator(tmp_path).environment
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(BIN)
    site.document["offerings"][0].update(reporting_backend="", order_processing_backend="slurm")
    site.document["reconcile"] |= {"qos": {"paused": {}, "slowdown": {}}, "runner": {"emulator": True}}
    return site


def test_all_is_well(simulated: Program, portal: StandIn) -> None:
    ran = simulated("doctor")
    assert ran.code == 0, ran.both
    assert "All is well" in ran.out
    assert "FAIL" not in ran.out and "warn" not in ran.out
    for said in (
        "settings: orders slurm, members off, usage off; cluster the only one, below account 'root'; prefixes 'c_'",
        "Waldur: offering 'Cluster A' as user",
        "role: owner of the provider",
        "clock: within 60 s of Waldur's",
        "components: as in the file: cpu",
        "orders: none open",
        "slurmctld: Slurmctld(primary)",
        "view: whole: 1 accounts",
    ):
        assert said in ran.out, ran.out
    assert portal.writes() == []
    assert not list((simulated.directory / "state").iterdir()), "a doctor changes nothing"


def test_a_file_that_is_no_configuration(site: Program) -> None:
    site.document["timezone"] = "Europe/Talin"
    ran = site("doctor")
    assert ran.code == 1
    assert "unknown time zone" in ran.out
    assert "unknown time zone" in told(site, "configuration", "error")


# ---------------------------------------------------------------------- this host


def test_a_file_that_others_read_or_change(site: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "write", lambda: site.path)
    Program.write(site)
    site.path.chmod(0o644)
    said = told(site, "configuration", "warning")
    assert "waldur_api_token in plain text and is readable by group and others" in said
    assert f"chmod 600 {site.path}" in said
    site.path.chmod(0o620)
    assert "can be changed by others" in told(site, "configuration", "error")


def test_a_secret_file_that_others_read(site: Program, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(site.document["offerings"][0].pop("waldur_api_token"))
    token.chmod(0o640)
    site.document["offerings"][0]["waldur_api_token_file"] = str(token)
    assert "readable by group" in told(site, "secrets", "warning")
    token.chmod(0o400)
    assert "secrets" not in examined(site)


def test_the_state_directory(site: Program, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.chmod(0o777)
    assert "chmod 700" in told(site, "state directory", "warning")
    state.rmdir()
    assert "will be made below" in told(site, "state directory", "ok")
    state.write_text("")
    assert "is no directory" in told(site, "state directory", "error")
    site.document["reconcile"]["state_dir"] = "/proc/reconcile"
    if os.geteuid() != 0:  # root may write everywhere, os.access says
        assert "cannot be made" in told(site, "state directory", "error")


def test_the_store(site: Program) -> None:
    site.document["reconcile"]["store"] = "postgresql://u:p4ssw0rd@127.0.0.1:1/x"
    said = told(site, "store", "error")
    assert "127.0.0.1" in said and "p4ssw0rd" not in said


# ---------------------------------------------------------------------- the portal


class Before:
    """A server before the portal that sends another time, or none."""

    def __init__(self, base: str) -> None:
        self.ahead: timedelta | None = timedelta()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = requests.get(base + self.path, headers=dict(self.headers), timeout=30)
                self.send_response_only(answer.status_code)
                for name in ("Content-Type", "X-Result-Count"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                if outer.ahead is not None:
                    self.send_header("Date", format_datetime(datetime.now(UTC) + outer.ahead, usegmt=True))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/"


@pytest.fixture
def before(portal: StandIn) -> Iterator[Before]:
    one = Before(portal.base)
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [
        (50, "ok", "within 60 s"),
        (-50, "ok", "within 60 s"),
        (300, "warning", "behind Waldur"),
        (-300, "warning", "ahead of Waldur"),
        (None, "warning", "told no time"),
    ],
)
def test_clocks(site: Program, before: Before, ahead: int | None, level: str, says: str) -> None:
    site.document["offerings"][0]["waldur_api_url"] = before.url
    before.ahead = None if ahead is None else timedelta(seconds=ahead)
    assert says in told(site, "clock", level)


def test_roles(site: Program, portal: StandIn) -> None:
    portal.world["role"] = "manager"
    portal.push()
    assert "cannot approve orders" in told(site, "role", "error")
    site.document["offerings"][0].update(order_processing_backend="", membership_sync_backend="slurm")
    assert "one resource at a time" in told(site, "role", "warning")


def test_a_token_that_is_refused(site: Program, portal: StandIn) -> None:
    site.document["offerings"][0]["waldur_api_token"] = "another-token-than-the-right-one"
    found = examined(site)
    assert "401" in found["Waldur"]["text"] and "waldur_api_token" in found["Waldur"]["hint"]
    assert found["clock"]["level"] == "ok"  # a refusal tells the time too
    assert "role" not in found


def test_an_offering_that_is_not_there(site: Program) -> None:
    site.document["offerings"][0]["waldur_offering_uuid"] = "f" * 32
    assert "waldur_offering_uuid" in told(site, "Waldur", "error")


def test_components_and_orders(site: Program, portal: StandIn) -> None:
    portal.world["offering"]["components"][0]["measured_unit"] = "hours"
    portal.push()
    portal.order("climate-a", "Update", "executing")
    portal.order("climate-a", "Terminate", "done")
    found = examined(site)
    assert found["components"]["level"] == "warning"
    assert "cpu (measured_unit)" in found["components"]["text"]
    assert found["orders"]["text"] == "1 executing"


def test_encryption(site: Program) -> None:
    about = site.document["offerings"][0]
    about["waldur_api_url"] = "http://waldur.invalid/api/"
    assert "plain http to waldur.invalid" in told(site, "encryption", "warning")
    assert "plain http to waldur.invalid" in site("config", "check").err
    about.update(waldur_api_url="https://127.0.0.1:1/api/", verify_ssl=False)
    assert "ca_bundle" in told(site, "encryption", "warning")
    about["verify_ssl"] = True
    assert "the usual authorities" in told(site, "encryption", "ok")


# ---------------------------------------------------------------------- the cluster


def test_commands_and_their_versions(site: Program, commands: Commands) -> None:
    assert told(site, "binaries", "ok").count("23.11.4") == 1
    commands.answers("squeue", {"--version": "slurm 22.05.8"})
    assert "22.05.8: squeue" in told(site, "binaries", "warning")
    (commands.directory / "squeue").unlink()
    assert "squeue: cannot be started" in told(site, "binaries", "error")


def test_daemons_that_are_down(site: Program, commands: Commands) -> None:
    assert "head1 is UP" in told(site, "slurmctld", "ok")
    commands.control["ping"] = "Slurmctld(primary) at head1 is DOWN"
    commands.write()
    assert "cannot be seen, nor cancelled" in told(site, "slurmctld", "error")
    commands.answers("sacctmgr", {"": "sacctmgr: error: slurm_persist_conn_open: Connection refused"}, code=1)
    assert "slurmdbd is not running" in told(site, "slurmdbd", "error")


def test_munge(site: Program, commands: Commands) -> None:
    told(site, "munge", "ok")
    commands.answers("munge", {"-n": "munge: Error: Failed to access munge.socket.2"}, code=6)
    assert "systemctl start munge" in told(site, "munge", "error")
    commands.control["show config"] = "AuthType                = auth/slurm"
    commands.write()
    assert "auth/slurm" in told(site, "munge", "ok")


@pytest.mark.parametrize(
    ("name", "admin", "level", "says"),
    [
        ("root", "", "ok", "root"),
        ("slurm", "None", "ok", "SlurmUser"),
        ("waldur", "Operator", "ok", "AdminLevel Operator"),
        ("waldur", "Administrator", "ok", "AdminLevel Administrator"),
        ("waldur", "None", "error", "adminlevel=Operator"),
        ("waldur", "", "error", "adminlevel=Operator"),
    ],
)
def test_rights(site: Program, commands: Commands, name: str, admin: str, level: str, says: str) -> None:
    commands.answers("id", {"-un": name})
    commands.manager["show user where name"] = f"{name}|{admin}" if admin else ""
    commands.write()
    assert says in told(site, "rights", level)


def test_a_filtered_view(site: Program, commands: Commands) -> None:
    said = told(site, "view", "error")
    assert "show assoc" in said


def test_sudo_that_asks_for_a_password(site: Program, commands: Commands) -> None:
    commands.answers("sudo", {"": "sudo: a password is required"}, code=1)
    site.document["reconcile"]["runner"] = {"sudo": True}
    said = told(site, "binaries", "error")
    assert "sudo -n" in said and "docs/security.md" in said


def test_names_that_the_cluster_lacks(simulated: Program) -> None:
    about = simulated.document["offerings"][0]
    about["backend_settings"].update(parent_account="hpc", qos_default="best")
    about["backend_components"]["gres/fpga"] = {"measured_unit": "hours", "accounting_type": "limit", "label": "F"}
    said = told(simulated, "names", "error")
    assert "account 'hpc'" in said and "QoS 'best'" in said and "TRES 'gres/fpga'" in said


def test_an_emulator_in_production(site: Program) -> None:
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(BIN)
    assert "slurm-emulator" in told(site, "binaries", "error")
