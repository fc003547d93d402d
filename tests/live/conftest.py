"""A real SLURM (slurmctld, slurmdbd, MariaDB, munge, slurmd) for the tests here, on loopback."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import pty
import pwd
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests import unix
from tests.conftest import MADE_USERS, ROOT, Program, offering
from tests.standin.portal import StandIn

SCRIPT = Path(__file__).parent / "slurm-testbed"
CLUSTER = "testbed"
USERS = ("tbalice", "tbbob", "tbcarol")
#: folders and files here: about half of the time is theirs; the rest runs beside them on a cluster of its own
SECOND_CLUSTER = frozenset({"orders", "usage", "test_members", "test_people", "test_faults", "test_memory_cluster"})

#: long ones, for the worker that is done first
THIRD_CLUSTER = frozenset({"test_periodic"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.live)
            # the start of a cluster has limits of its own, and is tried more than once
            item.add_marker(pytest.mark.timeout(func_only=True))
            # one cluster, one worker
            subject = item.path.relative_to(here).parts[0].removesuffix(".py")
            second = "slurm-2" if subject in SECOND_CLUSTER else "slurm"
            item.add_marker(pytest.mark.xdist_group("slurm-3" if subject in THIRD_CLUSTER else second))


def why_not() -> str:
    """Why no real SLURM can be had here, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    if not shutil.which("apt-get") and not shutil.which("slurmdbd"):
        return "needs SLURM, and this is no Debian (no apt-get) that could install it"
    return "" if platform.system() == "Linux" else "needs Linux"


def make_users() -> None:
    """The unix users of the tests, made once although several clusters start at the same time.

    Left to the testbed each of them would make them, and the first one to end would take them away from the others.
    """
    MADE_USERS.touch(mode=0o600)
    with MADE_USERS.open("r+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        for name in USERS:
            if subprocess.run(["id", "-u", name], capture_output=True, check=False).returncode != 0:
                unix.add(name, "-d", "/tmp", "-s", "/bin/sh")
                made.seek(0, os.SEEK_END)
                made.write(f"{name}\n")
                made.flush()


class StartError(RuntimeError):
    """A cluster did not come up; the text ends with what its daemons said last."""


class Slurm:
    """The cluster of the tests."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self._jobs = 0
        make_users()
        self.base = {**os.environ, "SLURM_TESTBED_DIR": str(directory), "SLURM_TESTBED_QUIET": "1", **environment}
        done = self._script("up")
        if done.returncode != 0:
            self.purge()
            raise StartError(f"slurm-testbed up: {done.stderr or done.stdout}")
        self.environment = dict(
            line.removeprefix("export ").split("=", 1)
            for line in done.stdout.splitlines()
            if line.startswith("export ")
        )

    def _script(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [str(SCRIPT), *arguments]
        try:
            return subprocess.run(
                argv, env=self.base, input=stdin, capture_output=True, text=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
            return subprocess.CompletedProcess(argv, 124, "", f"no end after 600 s: {said}")

    def up(self) -> None:
        done = self._script("up")
        assert done.returncode == 0, done.stderr

    def stop(self, *daemons: str) -> None:
        done = self._script("stop", *daemons)
        assert done.returncode == 0, done.stderr

    def restart(self, *daemons: str) -> None:
        done = self._script("restart", *daemons)
        assert done.returncode == 0, done.stderr

    def sql(self, statement: str) -> str:
        done = self._script("sql", stdin=statement)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def purge(self) -> None:
        self._script("purge")

    def run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            argv, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def sacctmgr(self, *arguments: str, check: bool = True) -> str:
        return self.run("sacctmgr", "-iQ", *arguments, check=check)

    def shown(self, account: str, column: str, user: str = "") -> str:
        """One column of an account's own association, or a user's."""
        rows = self.run(
            "sacctmgr",
            "-nP",
            "show",
            "assoc",
            "WOPLimits",
            "where",
            f"cluster={CLUSTER}",
            f"account={account}",
            f"format=User,{column}",
        ).splitlines()
        return next((r.partition("|")[2] for r in rows if r.partition("|")[0] == user), "(absent)")

    def users_of(self, account: str) -> set[str]:
        rows = self.run(
            "sacctmgr", "-nP", "show", "assoc", "where", f"cluster={CLUSTER}", f"account={account}", "format=User"
        )
        return {r for r in rows.splitlines() if r}

    def accounts(self) -> set[str]:
        rows = self.run("sacctmgr", "-nP", "show", "assoc", "where", f"cluster={CLUSTER}", "format=Account")
        return set(rows.split())

    def texts(self, account: str) -> str:
        return self.run("sacctmgr", "-nP", "show", "account", account, "format=Descr,Org").strip()

    def default_of(self, user: str) -> str:
        return self.run("sacctmgr", "-nP", "show", "user", user, "format=DefaultAccount").strip()

    def ran(self, account: str, user: str, start: str, end: str, tres: str, **columns: object) -> None:
        """A job of any date, as slurmdbd keeps it; times in UTC (2026-10-31T22:00:00), TRES by name."""
        rows = self.run("sacctmgr", "-nP", "show", "assoc", "where", f"account={account}", f"user={user}", "format=ID")
        known = {
            "/".join(filter(None, line.split("|")[:2])): line.split("|")[2]
            for line in self.run("sacctmgr", "-nP", "show", "tres", "format=Type,Name,ID").splitlines()
        }
        moments = [int(datetime.fromisoformat(t + "+00:00").timestamp()) for t in (start, end)]
        self._jobs += 1
        row: dict[str, object] = {
            "account": account, "cpus_req": 1, "job_name": "j", "id_assoc": int(rows.split()[0]),
            "id_job": 100_000 + self._jobs, "id_resv": 0, "id_wckey": 0, "id_user": 1001, "id_group": 1001,
            "het_job_id": 0, "het_job_offset": 4294967294, "state_reason_prev": 0, "nodes_alloc": 1,
            "nodelist": "node1", "partition": "main", "priority": 1, "state": 3, "mod_time": moments[1],
            "time_submit": moments[0] - 1, "time_eligible": moments[0] - 1, "time_start": moments[0],
            "time_end": moments[1], "tres_req": "1=1",
            "tres_alloc": ",".join(f"{known[n]}={c}" for n, _, c in (t.partition("=") for t in tres.split(",") if t)),
            **columns,
        }  # fmt: skip
        values = ", ".join(str(v) if isinstance(v, int) else f"'{v}'" for v in row.values())
        self.sql(f"insert into testbed_job_table ({', '.join(f'`{c}`' for c in row)}) values ({values});")

    def submit(self, account: str, user: str, seconds: int, *arguments: str) -> str:
        """Submit a job that sleeps; its number."""
        uid = pwd.getpwnam(user)
        argv = ("setpriv", f"--reuid={uid.pw_uid}", f"--regid={uid.pw_gid}", "--clear-groups", "env", "-C", "/")
        sbatch = ("sbatch", "--parsable", "-A", account, "-o", "/dev/null", *arguments, "--wrap", f"sleep {seconds}")
        return self.run(*argv, *sbatch).strip()

    def until(self, state: str, *jobs: str) -> None:
        """Wait until jobs are in a state, and the accounting database knows it: slurmctld tells it when it can.

        The end of a short job may be told before its start: then it has no account and no place in time for a while.
        """
        columns = "State,ElapsedRaw,Account,Eligible"
        for _ in range(600):
            queued = {self.run("squeue", "-h", "-j", job, "-t", "all", "-o", "%T").strip() for job in jobs}
            known = [self.run("sacct", "-XPn", "-j", job, "-o", columns).strip() for job in jobs]
            if queued == {state} and all(re.fullmatch(rf"{state}\b.*\|[1-9]\d*\|[^|]+\|\d.*", k) for k in known):
                return
            time.sleep(0.1)
        raise AssertionError(f"not {state} within a minute: {jobs}: squeue says {queued}, sacct {known}")

    def eventually(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        for _ in range(300):
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(f"not within half a minute: {what}")

    def knows(self, account: str) -> None:
        """Wait until slurmctld knows an account, so that jobs may begin there."""
        told = ("scontrol", "show", "assoc_mgr", "flags=assoc")
        self.eventually(lambda: f"Account={account}" in self.run(*told), f"slurmctld knows {account}")

    def wait(self) -> None:
        """Wait until nothing runs any more and the accounting database knows it."""
        for _ in range(600):
            if not self.run("squeue", "-h").strip():
                break
            time.sleep(0.1)
        for _ in range(100):
            if "|Unknown" not in self.run("sacct", "-aXDTPn", "-S", "2026-01-01", "-o", "JobID,End"):
                return
            time.sleep(0.1)
        raise AssertionError("jobs are still there")

    def clean(self) -> None:
        """Nothing but root and the three QoS."""
        # by number: those whose submitter is gone have no name
        if running := self.run("squeue", "-h", "-o", "%A", check=False).split():
            self.run("scancel", *running, check=False)
        for _ in range(100):
            if not self.run("squeue", "-h", check=False).strip():
                break
            time.sleep(0.1)
        # the end of a step is told by its own process, each with a socket here, and may be after that of its job
        for _ in range(100):
            if not list(self.directory.glob("spool/d.*/node*_[0-9]*.[0-9]*")):
                break
            time.sleep(0.1)
        # an end that slurmdbd is told of later would come back as a row of its own, with nothing allocated
        for _ in range(300):
            told = re.search(r"DBD Agent queue size:\s*0\b", self.run("sdiag", check=False))
            if told and self.sql("select count(*) from testbed_job_table where time_end = 0;").split()[-1] == "0":
                break
            time.sleep(0.1)
        # what other tests ran is no usage of this one's accounts, also where slurmctld tells of it late: it sends
        # the start of a job again whose row it was never told the number of, for minutes after its end
        last = re.search(r"NEXT_JOB_ID\s*=\s*(\d+)", self.run("scontrol", "show", "config", check=False))
        before = int(last[1]) if last else 0
        self.sql("delete from testbed_job_table; drop trigger if exists late_job;")
        self.sql(
            "create trigger late_job before insert on testbed_job_table for each row "
            f"set NEW.account = if(NEW.id_job < {before}, 'gone', NEW.account), "
            f"NEW.id_assoc = if(NEW.id_job < {before}, 0, NEW.id_assoc);"
        )
        # a cluster that never ran a job cannot be told from a query that fails
        self.ran("root", "root", "2020-01-01T00:00:00", "2020-01-01T01:00:00", "cpu=1")
        # whole users first: an account that is somebody's default cannot go
        users = self.run("sacctmgr", "-nP", "show", "user", "format=User").split()
        if left := ",".join(u for u in users if u != "root"):
            self.sacctmgr("delete", "user", "where", f"name={left}")
        names = self.run("sacctmgr", "-nP", "show", "account", "format=Account").split()
        if gone := ",".join(n for n in names if n != "root"):
            self.sacctmgr("delete", "account", "where", f"name={gone}", check=False)
        assert self.accounts() == {"root"}
        for qos in ("slowdown", "paused"):
            self.sacctmgr("add", "qos", qos, check=False)

    def state(self) -> str:
        """Everything sacctmgr shows, for "nothing has changed"."""
        return "".join(
            self.run("sacctmgr", "-nP", "show", *what)
            for what in (
                ("assoc", "WOPLimits", "format=Cluster,Account,User,ParentName,Share,GrpTRESMins,GrpTRES,QOS,ID"),
                ("account", "format=Account,Descr,Org"),
                ("user", "format=User,DefaultAccount,Admin"),
            )
        )


def free_ports() -> str:
    """The first of four TCP ports in a row that nobody listens on, below those that the kernel hands out."""
    for _ in range(200):
        base = random.randrange(12000, 20000, 4)
        with contextlib.ExitStack() as held:
            try:
                for port in range(base, base + 4):
                    held.enter_context(socket.create_server(("", port)))
            except OSError:
                continue
            return str(base)
    raise StartError("no four free TCP ports in a row between 12000 and 20000")


def started(attempts: int = 3, **environment: str) -> Slurm:
    """A cluster; where its start fails (a busy machine, a port that was taken) another one, elsewhere.

    Raises :class:`StartError` with the words of every attempt.
    """
    said: list[str] = []
    for number in range(1, attempts + 1):
        directory = Path(tempfile.mkdtemp(prefix="reconcile-slurm-"))
        try:
            return Slurm(directory, **environment)
        except StartError as error:
            said.append(f"attempt {number} of {attempts}: {error}")
            shutil.rmtree(directory, ignore_errors=True)
            environment["SLURM_TESTBED_PORT_BASE"] = free_ports()
    raise StartError("\n".join(said))


_REASON: list[str] = []


@pytest.fixture(scope="session")
def slurm_daemons() -> Iterator[Slurm]:
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the real-SLURM tests, but: {reason}")
    if reason:
        _REASON.append(reason)
        pytest.skip(f"real SLURM: {reason}")
    slurm = started()
    try:
        yield slurm
    finally:
        slurm.purge()
        shutil.rmtree(slurm.directory, ignore_errors=True)


@pytest.fixture
def slurm(slurm_daemons: Slurm) -> Slurm:
    """The cluster with all daemons up and nothing on it."""
    slurm_daemons.up()
    slurm_daemons.clean()
    return slurm_daemons


@pytest.fixture
def site(slurm: Slurm, portal: StandIn, tmp_path: Path) -> Program:
    """A head node: the program with a waldur-site-agent configuration for both."""
    program = Program(tmp_path, slurm.environment)
    # slurmctld may tell slurmdbd of a job long after its end; only tests of usage (usage/) are about such rows
    backends = {"order_processing_backend": "slurm", "membership_sync_backend": "slurm", "reporting_backend": ""}
    about = offering(portal.url, backend_settings={"cluster_name": CLUSTER}, **backends)
    program.document["offerings"] = [about]
    return program


#: a head node, its portal and its cluster
Site = tuple[Program, StandIn, Slurm]


def answered(site: Program, meanwhile: Callable[[], object]) -> tuple[int, str]:
    """Apply, with a person who thinks for a while before saying yes."""
    site.write()
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply"],
        env={**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path), **site.environment},
        cwd=ROOT, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    while b"Only 'yes'" not in said:
        piece = os.read(process.stdout.fileno(), 65536)
        assert piece, said.decode()
        said += piece
    meanwhile()
    os.write(master, b"yes\n")
    rest, _ = process.communicate(timeout=180)
    os.close(master)
    os.close(slave)
    return process.returncode, (said + rest).decode()
