"""Real processes whose output cannot be written, plan files that are none, and terminals that are narrow."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import CommandError, ReconcileError, StalePlanError
from reconciler.faults import Fault, Faults
from reconciler.plan.model import Plan
from reconciler.providers.slurm.kinds import account
from reconciler.render.history import action_text
from reconciler.render.text import plan_text
from reconciler.state.diff import Action, Change
from reconciler.state.model import Note
from reconciler.store import Store
from reconciler.store.journal import Entry
from tests.conftest import ROOT, Program
from tests.emulator import Emulator, emulated
from tests.standin.portal import StandIn


@pytest.fixture
def site(emulator: Emulator, portal: StandIn, tmp_path: Path) -> Program:
    program = emulated(emulator, portal, tmp_path)
    portal.resource("climate-a")
    portal.user("ann", "climate")
    return program


def started(site: Program, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """The program with descriptors of our own making."""
    site.write()
    return subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments],
        stdin=more.pop("stdin", subprocess.DEVNULL),
        stderr=more.pop("stderr", subprocess.PIPE),
        check=False,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)},
        **more,
    )


def full(site: Program, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    with Path("/dev/full").open("wb") as device:
        return started(site, *arguments, stdout=device)


def closed(site: Program, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return started(site, *arguments, preexec_fn=lambda: os.close(1))


def unread(site: Program, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A pipe whose reader went away, as ``head`` does."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return started(site, *arguments, stdout=writer)
    finally:
        os.close(writer)


WAYS = pytest.mark.parametrize(
    ("way", "why"), [(full, "No space left on device"), (closed, "it is closed"), (unread, "Broken pipe")]
)


@WAYS
@pytest.mark.parametrize("arguments", [("plan",), ("plan", "--json", "--detailed-exitcode"), ("--help",), ("history",)])
def test_output_that_cannot_be_written_is_named(
    site: Program, way: Callable[..., Any], why: str, arguments: tuple[str, ...]
) -> None:
    ran = way(site, *arguments)
    said = ran.stderr.decode()
    assert ran.returncode == 1
    assert f"standard output cannot be written: {why}" in said
    assert "Traceback" not in said and "defect" not in said and "Exception" not in said


@WAYS
@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_an_apply_goes_on_to_its_end_without_output(
    site: Program, way: Callable[..., Any], why: str, arguments: tuple[str, ...]
) -> None:
    ran = way(site, "apply", "--auto-approve", *arguments)
    said = ran.stderr.decode()
    assert ran.returncode == 1 and why in said
    assert "Traceback" not in said and "defect" not in said
    assert site("plan", "--detailed-exitcode").code == 0  # all of it was applied


def test_a_refusal_stays_a_refusal_without_output(site: Program) -> None:
    assert site("freeze", "--reason", "stop").code == 0
    assert full(site, "apply", "--auto-approve").returncode == 3


def test_all_descriptors_closed(site: Program) -> None:
    def close() -> None:
        for number in (0, 1, 2):
            os.close(number)

    ran = started(site, "apply", "--auto-approve", stdin=None, stderr=None, preexec_fn=close)
    assert ran.returncode == 1
    assert site("plan", "--detailed-exitcode").code == 0
    # nothing that was opened got the number of standard output
    assert Store(site.directory / "state").notices == []
    assert len(json.loads(site("history", "--json").out)["runs"]) == 1


def test_nobody_agrees_to_a_plan_that_cannot_be_shown(site: Program) -> None:
    leader, follower = pty.openpty()
    os.write(leader, b"yes\n")
    with Path("/dev/full").open("wb") as device:
        ran = started(site, "apply", stdin=follower, stdout=device)
    os.close(leader)
    os.close(follower)
    assert ran.returncode == 1
    assert "nobody can agree" in ran.stderr.decode()
    assert site("plan", "--detailed-exitcode").code == 2


def test_a_renderer_that_fails_changes_nothing_but_what_is_shown(
    site: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr("reconciler.render.text.change_text", fail)
    plan = site("plan", "--out", str(site.directory / "p"))
    assert plan.code == 1  # the fault is counted
    assert 'slurm.account["a_climate-a"] will be created' in plan.out
    assert "IndexError" in plan.err and "defect of reconcile" in plan.err
    applied = site("apply", str(site.directory / "p"))
    assert applied.code == 0, applied.both
    assert "defect of reconcile" in applied.err
    assert json.loads(site("plan", "--json").out)["resource_changes"] == []


def test_limits_that_share_no_key(site: Program, portal: StandIn, emulator: Emulator) -> None:
    assert site("apply", "--auto-approve").code == 0
    emulator.sacctmgr("-i", "modify", "account", "a_climate-a", "set", "GrpTRESMins=cpu=-1,gres/gpu=5")
    for number in range(6):
        emulator.sacctmgr("-i", "modify", "account", "a_climate-a", "set", f"GrpTRESMins=billing={number}")
    plan = site("plan")
    assert plan.code == 0, plan.both
    assert site("apply", "--auto-approve").code == 0
    assert site("plan", "--detailed-exitcode").code == 0


# ---------------------------------------------------------------------- plan files


def saved(site: Program, **about: Any) -> Path:
    path = site.directory / "p"
    assert site("plan", "--out", str(path)).code == 0
    document = json.loads(path.read_text())
    for key, value in about.items():
        document["reconcile"]["clusters"][0][key] = value
        for change in (*document["resource_changes"], *document["reconcile"]["blocked"]):
            change["reconcile"][key] = value
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("cluster", ["elsewhere", "usage-elsewhere"])
def test_a_plan_for_a_cluster_that_is_not_configured(
    site: Program, emulator: Emulator, empty: bool, named: bool, cluster: str
) -> None:
    if named:
        site.document["offerings"][0]["backend_settings"]["cluster_name"] = "default"
    if empty:
        assert site("apply", "--auto-approve").code == 0
    ran = site("apply", str(saved(site, cluster=cluster)))
    assert ran.code == 1
    assert f"the plan is for {'usage of ' * ('usage' in cluster)}cluster elsewhere" in ran.err
    assert "which the configuration lacks" in ran.err
    assert "No changes" not in ran.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no JSON"),
        ("{}", "it lacks what `plan --out` writes"),
        ("[]", "it lacks what `plan --out` writes"),
        ("[" * 100_000, "it is no JSON"),
        ('{"format_version": "1.2", "resource_changes": []}', "it lacks what `plan --out` writes"),
        ('{"reconcile": {"version": "9.0"}, "format_version": "9"}', "written by reconcile 9.0 in plan format 9"),
        ('{"format_version": "1.3", "reconcile": {}}', "it lacks 'clusters'"),
        ('{"format_version": "1.3", "timestamp": "", "resource_changes": [], "reconcile": {"clusters": []}}', "plan"),
    ],
)
def test_a_file_that_is_no_plan(site: Program, text: str, said: str) -> None:
    path = site.directory / "p"
    path.write_text(text)
    ran = site("apply", str(path))
    assert ran.code == 1
    assert f"{path}: " in ran.err and said in ran.err
    assert "KeyError" not in ran.err and "Error: " in ran.err
    assert len(ran.err.splitlines()) == 2  # the sentence, and what to do


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("address",), 'slurm.moon["x"]', "no object that reconcile knows"),
        (("address",), 'slurm.account["x","y"]', "no object that reconcile knows"),
        (("change", "after", "grp_tres_mins"), "lots", "no value of grp_tres_mins"),
        (("change", "actions"), [], "not a whole plan"),
        (("change",), None, "not a whole plan"),
    ],
)
def test_a_plan_that_somebody_edited(site: Program, place: tuple[str, ...], value: object, said: str) -> None:
    path = saved(site)
    document = json.loads(path.read_text())
    part = next(c for c in document["resource_changes"] if c["name"] == "a_climate-a")
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_text(json.dumps(document))
    ran = site("apply", str(path))
    assert ran.code == 1 and said in ran.err


def test_a_plan_that_cannot_be_written_leaves_no_file(site: Program, tmp_path: Path) -> None:
    held = tmp_path / "there" / "p"
    held.parent.mkdir()
    held.write_text("precious")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    for path in (held, held.with_name("new")):
        site.write()
        code = f"{limit}\nimport sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        code += "from pathlib import Path\nfrom reconciler.plan.document import save\n"
        code += "from reconciler.plan.model import Plan\n"
        code += f"save([Plan('c', ('o' * 5000,))], Path({str(path)!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
        assert "File too large" in done.stderr
    assert [p.name for p in held.parent.iterdir()] == ["p"]
    assert held.read_text() == "precious"
    gone = site("plan", "--out", str(tmp_path / "nowhere" / "p"))
    assert gone.code == 1 and "the plan cannot be written: No such file or directory" in gone.err
    ran = site("plan", "--out", str(held))
    assert ran.code == 0 and held.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in held.parent.iterdir()] == ["p"]


# ---------------------------------------------------------------------- terminals


def on_terminal(site: Program, width: int, *arguments: str) -> str:
    """What a terminal of so many columns shows."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    site.write()
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=ROOT,
        env={**environment, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path), "NO_COLOR": "1"},
    ) as process:
        os.close(follower)
        said = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            said += piece
    os.close(leader)
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_run_ids_stay_whole_on_a_terminal(site: Program, width: int) -> None:
    assert site("apply", "--auto-approve").code == 0
    (run,) = json.loads(site("history", "--json").out)["runs"]
    shown = on_terminal(site, width, "history")
    assert run["id"] in shown
    assert all(part in shown for part in run["started"][:19].split("T"))
    assert "…" not in shown
    assert all(len(line.rstrip()) <= width for line in shown.splitlines()), shown


# ---------------------------------------------------------------------- words


def test_diagnose_says_expected_first_and_how_a_limit_came_about(
    site: Program, portal: StandIn, emulator: Emulator
) -> None:
    site.document["offerings"][0]["backend_components"]["mem"] = {
        "measured_unit": "GB", "unit_factor": 10, "accounting_type": "usage", "limit": 7, "label": "M"
    }  # fmt: skip
    portal.edit("climate-a", limits={"cpu": 2})
    assert site("apply", "--auto-approve").code == 0
    emulator.sacctmgr("-i", "modify", "account", "a_climate-a", "set", "GrpTRESMins=cpu=5")
    emulator.sacctmgr("-i", "add", "user", "ann", "account=root")
    emulator.sacctmgr("-i", "modify", "user", "ann", "set", "DefaultAccount=root")
    plain = site("diagnose", "a_climate-a")
    assert plain.code == 2
    assert "GrpTRESMins[cpu]: 120000 != 5\n" in plain.out
    assert "Waldur's limit of cpu" not in plain.out
    said = " ".join(site("diagnose", "a_climate-a", "-v").out.split())
    assert "2 k-Hours (Waldur's limit of cpu) x 60000 = 120000" in said
    assert "7 GB (backend_components.mem.limit) x 10 = 70" in said
    assert "DefaultAccount: a_climate-a != root a user's default account is one of its own allocations" in said


def test_a_month_before_slurm(site: Program) -> None:
    site.document["offerings"][0]["reporting_backend"] = "slurm"
    for arguments in (("show", "--period", "1999-01"), ("backfill", "--from", "1999-01", "--to", "2026-01")):
        ran = site("usage", *arguments)
        assert ran.code == 1
        assert "'1999-01' is before 2000-01" in ran.err and "not a month" not in ran.err
    assert "not a month: '1999-13'" in site("usage", "show", "--period", "1999-13").err


def test_https_at_a_port_that_speaks_plain_http(site: Program, portal: StandIn) -> None:
    site.document["offerings"][0]["waldur_api_url"] = portal.url.replace("http://", "https://")
    ran = site("plan")
    assert ran.code == 1
    assert "that port speaks plain http, not https" in ran.err
    assert "Check the scheme and the port in waldur_api_url: either http:// is meant" in ran.err
    assert "certificate" not in ran.err and "[SSL" not in ran.err


def test_a_hint_within_a_sentence_stays_on_its_line(site: Program, portal: StandIn) -> None:
    portal.world["token"] = "another"
    portal.push()
    for arguments in (("plan",), ("plan", "--json"), ("apply", "--auto-approve"), ("diagnose", "a_climate-a")):
        ran = site(*arguments)
        assert ran.code == 1
        assert "\\n" not in (ran.err if arguments[-1] != "--json" else json.loads(ran.out)["reconcile"]["errors"][0])
        assert "waldur_api_token" in ran.both  # the hint
    for month in ("usage backfill --from 2026-01 --to 2026-01 --no-staff-check", "usage report --auto-approve"):
        site.document["offerings"][0]["reporting_backend"] = "slurm"
        ran = site(*month.split())
        assert ran.code == 1
        assert "cluster usage-" not in ran.both and "usage-default" not in ran.both
        assert "\\n" not in ran.both
        assert "usage of cluster default" in ran.both


@pytest.mark.parametrize("kind", [ReconcileError, CommandError, StalePlanError])
def test_an_error_and_its_hint_are_one_line_within_a_plan_and_the_journal(kind: type[ReconcileError]) -> None:
    why = str(kind("sacct: no answer after 60 s, stopped", "Is slurmdbd busy?"))
    note = Note(account("a"), f"not read: {why}")
    change = Change(account("a"), Action.DELETE, {}, None, f"reason: {why}", blocked=why)
    plan = Plan("c", ("O",), blocked=(change,), warnings=(note,), refused=(note,))
    entry = Entry("r", str(account("a")), "delete", {}, None, why, "sacctmgr x", "2026-11-01", "failed", why, 1.0)
    for shown in (plan_text(plan, Faults()).plain, action_text(entry, Faults()).plain):
        assert shown.count("no answer after 60 s, stopped. Is slurmdbd busy?") >= 2
        assert "\\n" not in shown


def test_what_a_command_said_in_several_lines_is_shown_in_several() -> None:
    entry = Entry("r", str(account("a")), "delete", {}, None, "", "sacctmgr x", "2026-11-01", "failed", "one\ntwo", 1.0)
    assert action_text(entry, Faults()).plain.splitlines()[-2:] == ["      said: one", "            two"]


def test_a_fault_is_one_line() -> None:
    assert str(Fault("x", ValueError("a\nb"))) == "x cannot be shown: ValueError: a b"
