"""Faults, each with its message and exit code, and a cluster that is unchanged or healed by the next run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Program
from tests.fakes import PASS, READS, around, in_front, nth, on
from tests.live.conftest import SCRIPT, Site, Slurm
from tests.standin.portal import StandIn, uid


@pytest.fixture
def world(site: Program, slurm: Slurm, portal: StandIn) -> Site:
    """Two allocations with two members, applied, and something to do: a limit, a new allocation, a member less."""
    site.environment = dict(site.environment)  # what is changed here is not the next test's
    site.document["reconcile"].update(http_retries=0, usage_minutes=1000, runner={"timeout": 20})
    for name in ("one", "two"):
        portal.resource(name, backend_id=f"a_{name}", limits={"cpu": 1})
    for user in ("tbalice", "tbbob"):
        portal.user(user, "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    portal.edit("one", limits={"cpu": 5})
    portal.resource("three", backend_id="a_three", limits={"cpu": 3})
    portal.leave("tbbob", "climate")
    return site, portal, slurm


def healed(world: Site) -> None:
    """One fault-free run makes everything right, and nothing is left."""
    site, _, slurm = world
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=300000"
    assert slurm.users_of("a_three") == {"tbalice"} == slurm.users_of("a_one")
    assert site("plan", "--detailed-exitcode").code == 0


def wrapped(world: Site, tmp_path: Path, program: str, *steps: str) -> None:
    """A program that does these steps first."""
    around(tmp_path / "wrapped", program, *steps)
    world[0].environment["PATH"] = in_front(tmp_path / "wrapped")


def stop_slurmdbd(world: Site, tmp_path: Path, number: int) -> tuple[str, str]:
    """Steps that stop slurmdbd at the call of that number."""
    stop = nth(tmp_path / "n", number, f"{SCRIPT} stop slurmdbd >/dev/null 2>&1")
    return f"export SLURM_TESTBED_DIR={world[2].directory}", stop


def unwrapped(world: Site) -> None:
    world[0].environment.pop("PATH", None)


# ---------------------------------------------------------------------- daemons


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        ("slurmdbd", "slurmdbd is not running"),
        ("mariadbd", "database"),
        ("munged", "munged is not running"),
    ],
)
def test_a_daemon_that_is_down_before(world: Site, daemon: str, words: str) -> None:
    site, _, slurm = world
    before = slurm.state()
    slurm.stop(daemon)
    try:
        for command in (("plan",), ("apply", "--auto-approve")):
            ran = site(*command)
            assert ran.code == 1
            assert words in ran.err, ran.err
    finally:
        slurm.up()
        slurm.restart("slurmdbd")
    for _ in range(50):
        if slurm.run("sacctmgr", "-nP", "show", "qos", "format=Name", check=False):
            break
        time.sleep(0.1)
    assert slurm.state() == before
    healed(world)


def test_slurmctld_down(world: Site) -> None:
    """slurmdbd takes the changes and tells slurmctld later; what has to know of jobs waits."""
    site, _, slurm = world
    slurm.stop("slurmctld")
    try:
        ran = site("apply", "--auto-approve")
        assert ran.code == 4
        assert "the user's jobs cannot be found out" in ran.out
        assert slurm.shown("a_one", "GrpTRESMins") == "cpu=300000"
        assert slurm.users_of("a_one") == {"tbalice", "tbbob"}
    finally:
        slurm.up()
    healed(world)


@pytest.mark.parametrize("number", [2, 4])
def test_slurmdbd_dies_while_the_cluster_is_read(world: Site, tmp_path: Path, number: int) -> None:
    site, _, slurm = world
    before = slurm.state()
    wrapped(world, tmp_path, "sacctmgr", *stop_slurmdbd(world, tmp_path, number))
    try:
        ran = site("apply", "--auto-approve")
        assert ran.code == 1, ran.both
        assert "slurmdbd is not running" in ran.err
    finally:
        unwrapped(world)
        slurm.up()
    assert slurm.state() == before
    healed(world)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_slurmdbd_dies_in_the_middle(world: Site, tmp_path: Path, number: int) -> None:
    site, _, slurm = world
    wrapped(world, tmp_path, "sacctmgr", on(READS, PASS), *stop_slurmdbd(world, tmp_path, number))
    try:
        ran = site("apply", "--auto-approve")
        assert ran.code == 1, ran.both
        assert "failed to open persistent connection" in ran.both
    finally:
        unwrapped(world)
        slurm.up()
    healed(world)


# ---------------------------------------------------------------------- sacctmgr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sleep 60", "no answer after 1 s, stopped"),
        ('$REAL "$@" | head -c 40', ""),
        ("echo '<<< \\001garbage >>>'", ""),
        ("echo 'sacctmgr: error: slurm_persist_conn_open: Something bad'; exit 0", ""),
        ("exit 0", ""),
        ('$REAL "$@" | grep -v tbalice', ""),
    ],
    ids=["hangs", "half a line", "garbage", "an error with exit 0", "nothing", "rows missing"],
)
def test_sacctmgr_that_cannot_be_believed(world: Site, tmp_path: Path, script: str, words: str) -> None:
    site, _, slurm = world
    before = slurm.state()
    site.document["reconcile"]["runner"] = {"timeout": 1}
    # only one of the reads, so that the others look as usual
    wrapped(world, tmp_path, "sacctmgr", on('*"show user"*', script, "exit"))
    ran = site("apply", "--auto-approve")
    assert ran.code == 1, ran.both
    assert "sacctmgr" in ran.err and words in ran.err
    assert slurm.state() == before
    unwrapped(world)
    site.document["reconcile"]["runner"] = {"timeout": 20}
    healed(world)


@pytest.mark.parametrize(
    "script",
    ["sleep 60", "echo ' Nothing modified'", "echo 'sacctmgr: error: database is busy'; exit 1", "exit 0"],
    ids=["hangs", "nothing modified", "refuses", "does nothing"],
)
def test_sacctmgr_that_does_not_do_it(world: Site, tmp_path: Path, script: str) -> None:
    """Success is what the next read shows, whatever is said."""
    site, _, slurm = world
    site.document["reconcile"]["runner"] = {"timeout": 2}
    wrapped(world, tmp_path, "sacctmgr", on("*GrpTRESMins=*", script, "exit"))
    ran = site("apply", "--auto-approve")
    assert ran.code == 1, ran.both
    assert 'slurm.account["a_one"]' in ran.both
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    unwrapped(world)
    site.document["reconcile"]["runner"] = {"timeout": 20}
    healed(world)


# ---------------------------------------------------------------------- the state directory


def test_a_state_directory_that_is_none(world: Site, tmp_path: Path) -> None:
    site, _, slurm = world
    before = slurm.state()
    (tmp_path / "file").write_text("")
    own = site.document["reconcile"]["state_dir"]
    site.document["reconcile"]["state_dir"] = str(tmp_path / "file")
    ran = site("apply", "--auto-approve")
    assert ran.code == 1
    assert "Set reconcile.state_dir" in ran.err
    assert slurm.state() == before
    site.document["reconcile"]["state_dir"] = own
    healed(world)


def test_a_state_directory_that_is_read_only(world: Site) -> None:
    """What is there is read; what cannot be written down is not done."""
    site, _, slurm = world
    before = slurm.state()
    site.write()
    state = Path(site.document["reconcile"]["state_dir"])
    places = [state, *state.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(modes[place] & 0o555)
    # root without the right to write what is read-only
    less = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    environment = {**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path), **site.environment}
    try:
        for command, code in ((("plan",), 0), (("history",), 0), (("apply", "--auto-approve"), 1)):
            ran = subprocess.run(
                [*less, sys.executable, "-m", "reconciler", *command],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == code, ran.stdout + ran.stderr
            assert code == 0 or str(state) in ran.stderr
        assert slurm.state() == before
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    healed(world)


def test_a_disk_that_is_full(world: Site) -> None:
    """What cannot be written down is not done."""
    site, _, slurm = world
    before = slurm.state()
    site.write()
    limited = site.directory / "limited"
    # no file may grow beyond what the journal has already
    limited.write_text(
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))\n"
        "from reconciler.cli.main import run\nrun(['apply', '--auto-approve'])\n"
    )
    done = subprocess.run(
        [sys.executable, str(limited)], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path), "PYTHONPATH": str(ROOT), **site.environment},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "state" in done.stderr
    assert slurm.state() == before
    healed(world)


# ---------------------------------------------------------------------- Waldur


def bad(**fault: Any) -> Callable[[StandIn], None]:
    return lambda portal: portal.faults({"path": "provider-resources", "times": 99, **fault})


def row(**facts: Any) -> Callable[[StandIn], None]:
    """A resource more, or other facts of one."""

    def edit(portal: StandIn) -> None:
        about = {**portal.world["resources"][0], "uuid": uid("resource", "odd"), "name": "odd", "backend_id": ""}
        portal.world["resources"].append({**about, "slug": "odd", **facts})
        portal.push()

    return edit


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (bad(status=401, body='{"detail": "Invalid token."}'), "The token (waldur_api_token) is wrong"),
        (bad(status=403, body='{"detail": "no"}'), "lacks a role"),
        (bad(status=404, body="<html>Not Found</html>"), "HTTP 404"),
        (bad(status=429, headers={"Retry-After": "1"}), "limits the rate of requests"),
        (bad(status=500, body="<html>Server Error</html>"), "HTTP 500: Server Error"),
        (bad(status=502, body="<html><title>502 Bad Gateway</title></html>"), "502 Bad Gateway"),
        (bad(status=200, body='[{"uuid": "1', headers={"Content-Length": "5000"}), "the answer was cut"),
        (bad(status=200, body="[]", sleep=3), "no answer"),
        (bad(status=200, drip=0.05, headers={"X-Result-Count": "9"}), "the answer did not end"),
        (
            bad(status=200, body="[{}]", headers={"X-Result-Count": "1", "Link": '<http://x/?page=2>; rel="next"'}),
            "pages that go on after 2",
        ),
        (bad(status=200, body="[{}]", headers={"X-Result-Count": "2"}), "2 rows announced, 1 received"),
        (bad(status=200, body='{"results": []}'), "expected a list of objects"),
        (bad(status=200, body='[{"uuid": 5}]', headers={"X-Result-Count": "1"}), "offering"),
        (lambda p: (p.world.update(ignore_filters=True), row(offering_uuid="0" * 32)(p)), "ignored the filter"),
        (lambda p: row(uuid=p.world["resources"][0]["uuid"])(p), "one row came twice"),
    ],
    ids=[
        "401",
        "403",
        "404",
        "429",
        "500",
        "502",
        "cut",
        "slow",
        "no end",
        "pages without end",
        "row lost",
        "no list",
        "keys missing",
        "filter",
        "twice",
    ],
)
def test_a_portal_that_cannot_be_believed(world: Site, fault: Callable[[StandIn], Any], words: str) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["http_timeout"] = 1
    before = slurm.state()
    kept = {k: list(v) if isinstance(v, list) else v for k, v in portal.world.items()}
    fault(portal)
    ran = site("apply", "--auto-approve")
    assert ran.code == 1, ran.both
    assert words in ran.err, ran.err
    assert slurm.state() == before
    portal.faults()
    portal.world.clear()
    portal.world.update(kept)
    portal.push()
    healed(world)


@pytest.mark.parametrize(
    ("fault", "words", "code"),
    [
        (row(backend_id="a_one"), "a_one", 4),
        (row(slug="", project_slug="", customer_slug=""), "slug", 4),
        (row(name="nul \x00 and 🚀 and \x1b[31m"), "", 0),
        (row(name=None, limits="many"), "limits: Input should be a valid dictionary", 4),
        (lambda p: p.user("root", "climate", who="evil"), "root", 4),
        (lambda p: p.user("-rf", "climate", who="evil"), "-rf", 4),
    ],
    ids=["one account twice", "no slugs", "odd names", "wrong types", "user root", "user -rf"],
)
def test_one_bad_object_spoils_only_itself(world: Site, fault: Callable[[StandIn], Any], words: str, code: int) -> None:
    site, portal, slurm = world
    fault(portal)
    ran = site("apply", "--auto-approve")
    assert ran.code == code, ran.both
    assert words in ran.both
    assert "\x1b[31m" not in ran.both and "\x00" not in ran.both
    assert slurm.users_of("a_three") == {"tbalice"}  # the others went on
    assert "root" not in slurm.users_of("a_one") | slurm.users_of("a_three")
    assert site("apply", "--auto-approve").code == code  # and it is said until somebody mends it
