"""The store in a real PostgreSQL, where two head nodes may run at once."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from reconciler.config import load
from reconciler.cycle.scopes import clusters
from reconciler.errors import LockedError, ReconcileError
from reconciler.providers.slurm.kinds import account
from reconciler.state.diff import Action, Change
from reconciler.store import Journal, Memory, Store
from reconciler.store.tables import METADATA
from tests.conftest import ROOT, Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn

PASSWORD = "s3cret-of-the-store"
ROUNDS = 50


@dataclass
class Postgres:
    """A server of the tests' own, with an empty database per test."""

    directory: Path
    bin: Path
    port: int

    def _as_postgres(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        user = pwd.getpwnam("postgres")
        prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return subprocess.run([*prefix, *argv], cwd="/", capture_output=True, text=True, check=check)

    def start(self) -> None:
        data = str(self.directory / "data")
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        shutil.chown(self.directory, "postgres")
        shutil.chown(secret, "postgres")
        initdb = ("-U", "reconcile", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-D", data)
        self._as_postgres(str(self.bin / "initdb"), *initdb)
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = str(self.directory / "log")
        self._as_postgres(str(self.bin / "pg_ctl"), "-w", "-D", data, "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._as_postgres(
            str(self.bin / "pg_ctl"), "-m", "immediate", "-D", str(self.directory / "data"), "stop", check=False
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://reconcile:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def emptied(self) -> str:
        """An empty schema."""
        store = Store(self.directory, self.url())
        with store._opened().connect() as connection:
            connection.execute(text("drop schema public cascade; create schema public"))
            connection.commit()
        store.dispose()
        return self.url()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if os.geteuid() != 0 or not found:
        reason = "needs root and PostgreSQL's server (apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the PostgreSQL tests, but this {reason}")
        pytest.skip(f"PostgreSQL: {reason}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="reconcile-postgres-"))
    server = Postgres(directory, found[-1].parent, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def url(postgres_server: Postgres) -> str:
    return postgres_server.emptied()


def test_the_same_tables_and_journal(url: str, tmp_path: Path) -> None:
    store = Store(tmp_path, url)
    with store.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    memory = Memory(store, "one")
    memory.remember([("o", "p", "ann"), ("o", "p", "ann")])
    memory.remember([("o", "p", "ann")])
    assert Memory(Store(tmp_path, url), "one").usernames() == {("o", "p"): frozenset({"ann"})}
    with Journal(store, "one").run("digest", 0) as run:
        odd = "\udcfc \0"
        run.tried([Change(account("a"), Action.CREATE, None, {"description": odd}, odd)], odd)
    assert [r.state for r in Journal(Store(tmp_path, url), "one").runs()] == ["done"]
    assert list(tmp_path.iterdir()) == []  # nothing beside it


def test_a_lock_names_its_holder_and_goes_with_it(url: str, tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from reconciler.store import Store\n"
        "with Store(Path('/nowhere'), sys.argv[1]).locked('c1'):\n    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        store = Store(tmp_path, url)
        held = pytest.raises(LockedError, match=f"another apply is running: process {holder.pid} of ")
        with held, store.locked("c1"):
            pass
        with store.locked("c2"):
            pass
        holder.kill()
        holder.wait()
        for _ in range(100):
            try:
                with store.locked("c1"):
                    break
            except LockedError:  # the server notices a little later
                time.sleep(0.05)
        else:
            raise AssertionError("the lock of a dead holder stays")
    finally:
        holder.kill()
        holder.wait()


def test_a_lock_that_was_lost_stops_the_run(url: str, tmp_path: Path) -> None:
    """The session ends, by a restart of the server or a firewall: another head node may have the lock by now."""
    store, other = Store(tmp_path, url), Store(tmp_path, url)
    action = Change(account("a"), Action.CREATE, None, {"parent": "root"}, "why")
    with store.locked("c1"), Journal(store, "c1").run("digest", 2) as run:
        run.tried([action], "sacctmgr …")
        assert [r.state for r in Journal(other, "").runs()] == ["running"]
        with other.writing() as connection:
            gone = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            connection.execute(text(gone))
        with other.locked("c1"), pytest.raises(ReconcileError, match="the session that held the lock is gone"):
            run.tried([action], "sacctmgr …")


def test_a_server_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(ReconcileError) as caught:
        Memory(Store(tmp_path, f"postgresql://reconcile:{PASSWORD}@127.0.0.1:1/postgres"), "one").usernames()
    assert "127.0.0.1" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_cluster_looks_after_its_lock_and_that_of_usage(
    site: Program, portal: StandIn, slurm: Slurm, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.document["reconcile"]["store"] = url
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    (cluster,) = clusters(load(site.write()))
    with cluster.locked():
        cluster.store.require_locks()
        with Store(site.directory, url).writing() as connection:
            lost = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' order by pid limit 1"
            connection.execute(text(lost))
        with pytest.raises(ReconcileError, match="the session that held the lock is gone"):
            cluster.store.require_locks()


WORKER = """
import contextlib, io, json, os, sys
from reconciler.cli.main import run
for line in sys.stdin:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run(["apply", "--auto-approve"])
    except SystemExit as end:
        code = end.code
    err.flush(); err.seek(0)
    print(json.dumps([code, err.read()]), flush=True)
"""


def test_two_head_nodes_at_once(site: Program, portal: StandIn, slurm: Slurm, url: str, tmp_path: Path) -> None:
    """Fifty rounds of simultaneous applies: one wins, the other says who has the lock, nothing is done twice."""
    portal.resource("one", backend_id="a_one", limits={"cpu": 1})
    portal.user("tbalice", "climate")
    site.document["reconcile"].update(store=url, usage_minutes=1000)
    assert site("apply", "--auto-approve").code == 0
    environment = {**os.environ, "WALDUR_SITE_AGENT_CONFIG": str(site.path), **site.environment}
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER], env=environment, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    refused = 0
    try:
        for number in range(ROUNDS):
            portal.edit("one", limits={"cpu": 2 + number})
            for node in nodes:
                assert node.stdin is not None
                node.stdin.write("go\n")
                node.stdin.flush()
            results = []
            for node in nodes:
                assert node.stdout is not None
                results.append(json.loads(node.stdout.readline()))
            for code, said in results:
                assert code == 0 or (code == 1 and "another apply is running: process" in said), said
                refused += code
            assert slurm.shown("a_one", "GrpTRESMins") == f"cpu={60000 * (2 + number)}"
    finally:
        for node in nodes:
            node.kill()
            node.wait()
    assert refused  # they did meet
    ran = site("history", "--address", "slurm.account[a_one]", "--json")
    done = [a for a in json.loads(ran.out)["actions"] if a["outcome"] == "done" and a["action"] == "update"]
    assert len(done) == ROUNDS
    assert PASSWORD not in ran.both
