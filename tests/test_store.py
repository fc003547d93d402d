"""One apply at a time per cluster, and a dead one never blocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from reconciler.config import Maintenance
from reconciler.cycle.inverse import inverse
from reconciler.errors import LockedError, ReconcileError
from reconciler.providers.slurm.kinds import account
from reconciler.state.diff import Action, Change
from reconciler.state.model import Obj
from reconciler.store import Journal, Memory, Store
from reconciler.store.database import HEAD
from reconciler.store.freezes import Freezer, ends
from reconciler.store.journal import Entry
from reconciler.store.locks import cluster_lock
from reconciler.store.tables import METADATA
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from reconciler.store.locks import cluster_lock
with cluster_lock(Path(sys.argv[1]), "c1"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_a_killed_one_is_forgotten(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = rf"another apply is running: process {holder.pid} of "
        with pytest.raises(LockedError, match=said), cluster_lock(tmp_path, "c1"):
            pass
        with cluster_lock(tmp_path, "c2"):
            pass  # another cluster
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with cluster_lock(tmp_path, "c1"):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "locks" / "c1.lock").symlink_to(victim)
    with pytest.raises(ReconcileError, match="cannot be opened"), cluster_lock(tmp_path, "c1"):
        pass
    assert victim.read_text() == "precious"


# ---------------------------------------------------------------------- the database


def change(name: str, action: Action = Action.CREATE) -> Change:
    after = {"parent": "root"} if action is not Action.DELETE else None
    return Change(account(name), action, None if action is Action.CREATE else {"parent": "x"}, after, "why")


def test_migrations_make_what_the_code_expects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == HEAD
    assert store.path.stat().st_mode & 0o077 == 0


def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    with Store(tmp_path).writing() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(ReconcileError, match="newer version of reconcile"):
        Memory(Store(tmp_path), "one").usernames()


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert Journal(Store(tmp_path), "one").runs() == []
    assert Memory(Store(tmp_path), "one").reads() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path.write_text("garbage" * 1000)
    with pytest.raises(ReconcileError, match="file is not a database"):
        Memory(store, "one").reads()
    assert [p.name for p in tmp_path.iterdir()] == [store.path.name]  # who only reads moves nothing
    with Journal(store, "one").run("digest", 1) as run:
        run.tried([change("a")], "sacctmgr …")
    assert len(list(tmp_path.glob("*.broken-*"))) == 1
    assert "put aside" in store.notices[0]


# ---------------------------------------------------------------------- the journal


def test_an_action_is_written_before_it_is_tried_and_again_with_its_outcome(tmp_path: Path) -> None:
    journal = Journal(Store(tmp_path), "one")
    other = Journal(Store(tmp_path), "one")
    with journal.run("digest", 2) as run:
        run.tried([change("a"), change("b")], "sacctmgr -i add account a,b")
        assert [(e.address, e.outcome) for e in other.entries()] == [
            ('slurm.account["a"]', ""),
            ('slurm.account["b"]', ""),
        ]
        run.ended(change("a"), "done", 0.5)
        run.ended(change("b"), "failed", 0.5, "refused")
    first, second = other.entries()
    assert (first.outcome, first.before, first.after) == ("done", None, {"parent": "root"})
    assert (second.outcome, second.text, second.command) == ("failed", "refused", "sacctmgr -i add account a,b")
    assert [r.state for r in other.runs()] == ["done"]


DIE = """
import os, sys
from pathlib import Path
from reconciler.store import Journal, Store
from reconciler.state.diff import Action, Change
from reconciler.cycle.inverse import inverse
from reconciler.providers.slurm.kinds import account
from reconciler.state.model import Obj
journal = Journal(Store(Path(sys.argv[1])), "one")
with journal.run("digest", 2) as run:
    a, b = (Change(account(n), Action.CREATE, None, {"parent": "root"}) for n in "ab")
    run.tried([a], "first")
    run.ended(a, "done", 0.1)
    run.tried([b], "second")
    os.kill(os.getpid(), 9)
"""


def test_a_run_that_died_is_interrupted_and_its_half_done_action_known(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIE, str(tmp_path)], cwd=ROOT, check=False)
    journal = Journal(Store(tmp_path), "one")
    ((run, half),) = journal.interrupted()
    assert [e.address for e in half] == ['slurm.account["b"]']
    assert [r.state for r in journal.runs()] == ["interrupted"], "nobody holds the lock, so it is dead"
    assert journal.interrupted(), "and it is said until somebody goes on"
    journal.close()
    assert journal.interrupted() == []
    assert [(r.id, r.state) for r in journal.runs()] == [(run.id, "interrupted")]


def test_a_run_under_way_is_running(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.locked("one"), Journal(store, "one").run("digest", 1):
        assert [r.state for r in Journal(Store(tmp_path), "").runs()] == ["running"]


KILLED_UPGRADE = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from reconciler.store import Store
made = 0
@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global made
    made += statement.strip().upper().startswith("CREATE")
    if made == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
with Store(Path(sys.argv[1])).writing():
    pass
"""


@pytest.mark.parametrize("number", [1, 2, 7, 12])
def test_kill_9_within_a_migration_leaves_nothing_half_made(tmp_path: Path, number: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_UPGRADE, str(tmp_path), str(number)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    with store.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert store.notices == []


def test_a_database_that_lost_a_table_is_begun_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing() as connection:
        connection.execute(text("drop table runs"))
    store.dispose()
    with pytest.raises(ReconcileError, match="no such table") as error:
        Journal(Store(tmp_path), "one").runs()
    assert "The next apply puts the file aside" in error.value.hint
    journal = Journal(Store(tmp_path), "one")
    with pytest.raises(ReconcileError, match="put aside"):
        journal.close()
    with journal.run("digest", 1):
        pass
    assert [r.state for r in journal.runs()] == ["done"]


@pytest.mark.parametrize(
    ("why", "hint"),
    [
        ("database is locked", "tries again"),
        ("attempt to write a readonly database", "mounted for writing"),
        ("unable to open database file", "May this user"),
        ("database or disk is full", "free some space"),
        ("was made by a newer version of reconcile", "Run the reconcile that made it"),
    ],
)
def test_nobody_is_told_to_remove_a_journal_that_is_well(tmp_path: Path, why: str, hint: str) -> None:
    assert hint in Store(tmp_path).problem(why).hint


def test_a_password_with_an_at_is_not_shown_as_a_host(tmp_path: Path) -> None:
    for url in ("postgresql://u:p4rt@hidden@127.0.0.1/x", "postgresql://u:p4rt@b/hidden@127.0.0.1:1/x"):
        with pytest.raises(ReconcileError, match="a second @") as error:
            _ = Store(tmp_path, url).place
        assert "hidden" not in str(error.value)


def test_what_no_database_takes_spoils_no_journal(tmp_path: Path) -> None:
    """Bytes that were no UTF-8 and NUL, in names of Waldur and in what sacctmgr prints."""
    odd = "f\udcfcr \ud800 \0"
    journal = Journal(Store(tmp_path), "one")
    action = replace(change("a"), after={"parent": "root", "description": odd}, reason=odd)
    with journal.run("digest", 1) as run:
        run.tried([action], odd)
        run.ended(action, "failed", 0.1, odd)
    (kept,) = journal.entries()
    assert kept.text == kept.reason == kept.command == "f\\udcfcr \\ud800 \\x00"
    assert kept.after == action.after


def test_a_process_that_has_the_number_of_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "one.lock"
    lock.parent.mkdir()
    lock.write_text(f"process {os.getpid()} of root on head since 2026-01-01\n")
    assert Store(tmp_path).held("one") is False
    with cluster_lock(tmp_path, "one"):
        assert Store(tmp_path).held("one") is True


def test_a_journal_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    with Journal(Store(tmp_path), "one").run("digest", 0):
        pass
    code = "import sys; from pathlib import Path; from reconciler.store import Journal, Store\n"
    code += "print([r.state for r in Journal(Store(Path(sys.argv[1])), '').runs()])"
    places = [tmp_path, *tmp_path.rglob("*")]
    for place in places:
        place.chmod(0o500 if place.is_dir() else 0o400)
    # root without the right to write what is read-only
    less = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.geteuid() == 0 else ()
    try:
        done = subprocess.run(
            [*less, sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        for place in places:
            place.chmod(0o700)
    assert done.stdout.strip() == "['done']", done.stderr


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    moments = iter([datetime(2026, 1, 1, tzinfo=UTC)] * 5)
    old = Journal(Store(tmp_path), "one", lambda: next(moments))
    with old.run("digest", 1) as run:
        run.tried([change("a")], "x")
    journal = Journal(Store(tmp_path), "one", lambda: datetime(2026, 6, 1, tzinfo=UTC))
    with journal.run("digest", 1) as run:
        run.tried([change("b")], "x")
    assert journal.prune(90) == 1
    assert [e.address for e in journal.entries()] == ['slurm.account["b"]']


def test_a_journal_that_cannot_be_written_stops_the_action(tmp_path: Path) -> None:
    journal = Journal(Store(tmp_path), "one")
    with pytest.raises(ReconcileError), journal.run("digest", 1) as run:
        journal.store.dispose()
        journal.store.path.unlink()
        journal.store.path.mkdir()
        run.tried([change("a")], "x")


def test_a_stop_reaches_every_command_not_only_the_first(tmp_path: Path) -> None:
    """A batch that is tried again object by object ends there, too."""
    journal = Journal(Store(tmp_path), "one")
    said: list[str] = []
    with journal.run("digest", 1, lambda: "SIGTERM" if said else "") as run:
        run.tried([change("a"), change("b")], "both")
        said.append("signal")
        with pytest.raises(ReconcileError, match="stopped by SIGTERM"):
            run.tried([change("a")], "a alone")
    assert [r.state for r in journal.runs()] == ["interrupted"]


def test_an_outcome_survives_a_write_that_failed(tmp_path: Path) -> None:
    journal = Journal(Store(tmp_path), "one")
    with journal.run("digest", 2) as run:
        run.tried([change("a")], "a")
        run.ended(change("a"), "done", 0.1)
        path = journal.store.path
        path.chmod(0o600)
        moved = path.with_name("away")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").rename(f"{moved}{suffix}")
        path.mkdir()
        with pytest.raises(ReconcileError):
            run.tried([change("b")], "b")
        path.rmdir()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{moved}{suffix}").rename(f"{path}{suffix}")
    assert [e.outcome for e in journal.entries()] == ["done"]


def test_long_runs_are_whole(tmp_path: Path) -> None:
    journal = Journal(Store(tmp_path), "one")
    with journal.run("digest", 10_050) as run:
        run.tried([change(f"a{n}") for n in range(10_050)], "load")
        long = run.id
    assert len(journal.entries(run=long)) == 10_050


# ---------------------------------------------------------------------- rollback


def entry(action: str, before: dict[str, object] | None, after: dict[str, object] | None) -> Entry:
    return Entry("r", 'slurm.account["a"]', action, before, after, "", "", "", "done", "", 0.0)


def test_a_rollback_leaves_alone_what_changed_since() -> None:
    here = account("a")
    made = entry("create", None, {"parent": "root", "fairshare": 1})
    same = {here: Obj({"parent": "root", "fairshare": 1})}
    assert list(inverse([made], same, "r").absent) == [here]
    moved = inverse([made], {here: Obj({"parent": "root", "fairshare": 9})}, "r")
    assert not moved.absent and "changed since" in moved.refused[0].text
    gone = entry("delete", {"parent": "root", "fairshare": 1}, None)
    assert list(inverse([gone], {}, "r").objects) == [here]
    again = inverse([gone], {here: Obj({"parent": "root", "fairshare": 9})}, "r")
    assert not again.objects and "made again since" in again.refused[0].text
    # a command that timed out, and was carried out all the same
    update = replace(entry("update", {"fairshare": 1}, {"fairshare": 9}), outcome="failed")
    assert list(inverse([update], {here: Obj({"fairshare": 9})}, "r").objects[here].values.values()) == [1]
    failed = inverse([replace(made, outcome="failed")], same, "r")
    assert not failed.absent and "see to it" in failed.refused[0].text
    assert not inverse([replace(gone, outcome="failed")], same, "r").refused
    order = Entry("r", 'waldur.order["o"]', "update", {}, {"state": "done"}, "", "", "", "done", "", 0.0)
    assert not inverse([order], {}, "r").objects


# ---------------------------------------------------------------------- freezes


@pytest.mark.parametrize(
    ("now", "inside"),
    [
        ("2026-11-20T21:59:00+02:00", False),
        ("2026-11-20T22:00:00+02:00", True),
        ("2026-11-21T01:59:00+02:00", True),
        ("2026-11-21T02:00:00+02:00", False),
    ],
)
def test_maintenance_windows(now: str, inside: bool) -> None:
    window = Maintenance(cron="0 22 * * 5", minutes=240)
    assert (ends(window, datetime.fromisoformat(now), "Europe/Tallinn") is not None) is inside


def test_a_window_lasts_its_real_minutes_when_clocks_change() -> None:
    # in Tallinn 03:00 becomes 04:00 on 2026-03-29; two hours from 02:30 end at 05:30
    window = Maintenance(cron="30 2 * * *", minutes=120)
    inside = datetime.fromisoformat("2026-03-29T05:29:00+03:00")
    assert ends(window, inside, "Europe/Tallinn") is not None
    assert ends(window, inside + timedelta(minutes=1), "Europe/Tallinn") is None


def test_a_freeze_outlives_the_database(tmp_path: Path) -> None:
    """It is an order, not memory: who removes a broken database unfreezes nothing."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    Freezer(Store(tmp_path), (), "UTC").freeze("", None, "upgrade", now)
    (tmp_path / "reconcile.sqlite3").unlink(missing_ok=True)
    assert Freezer(Store(tmp_path), (), "UTC").frozen(("any",), now) is not None
    (tmp_path / "frozen.json").write_text("not JSON")
    with pytest.raises(ReconcileError, match=r"frozen\.json"):
        Freezer(Store(tmp_path), (), "UTC").frozen(("any",), now)


def test_freezes_at_once_are_all_kept(tmp_path: Path) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    names = [f"c{n}" for n in range(12)]
    Freezer(Store(tmp_path), (), "UTC").freeze("first", None, "", now)
    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(lambda name: Freezer(Store(tmp_path), (), "UTC").freeze(name, None, "", now), names))
    freezer = Freezer(Store(tmp_path), (), "UTC")
    assert all(freezer.frozen((name,), now) for name in (*names, "first"))


def test_orphans_that_are_named_again_are_forgotten(tmp_path: Path) -> None:
    memory = Memory(Store(tmp_path), "one")
    memory.remember_accepted(["a", "b"])
    memory.forget_accepted(["b", "c"])
    assert memory.accepted() == {"a"}


def test_a_damaged_freeze_is_lifted_and_set_anew(tmp_path: Path) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    freezer = Freezer(Store(tmp_path), (), "UTC")
    row = '[{"cluster": "", "until": "soon", "reason": "", "who": "", "moment": ""}]'
    for damaged in ("", "[{", row):
        (tmp_path / "frozen.json").write_text(damaged)
        with pytest.raises(ReconcileError, match="cannot be told whether"):
            freezer.frozen((), now)
        assert freezer.lift("")
        assert freezer.frozen((), now) is None
        (tmp_path / "frozen.json").write_text(damaged)
        freezer.freeze("", None, "again", now)
        assert freezer.frozen((), now) is not None
    assert (tmp_path / "frozen.json").stat().st_mode & 0o077 == 0


def test_a_freeze_ends_by_itself(tmp_path: Path) -> None:
    freezer = Freezer(Store(tmp_path), (), "UTC")
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    freezer.freeze("", now + timedelta(hours=2), "upgrade", now)
    frozen = freezer.frozen(("any",), now)
    assert frozen is not None and "upgrade" in frozen.text
    assert freezer.frozen(("any",), now + timedelta(hours=2)) is None
    freezer.freeze("one", None, "", now)
    assert freezer.frozen(("two",), now + timedelta(days=9)) is None
    assert freezer.frozen(("one",), now + timedelta(days=9)) is not None
    assert freezer.lift("one") and not freezer.lift("one")
