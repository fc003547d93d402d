"""The journal: every action is written before it is tried, and again with how it ended."""

from __future__ import annotations

import json
import reprlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from reconciler import __version__
from reconciler.errors import ReconcileError, StoppedError
from reconciler.faults import Faults
from reconciler.state.diff import Change
from reconciler.state.model import Address
from reconciler.state.values import Value, json_value
from reconciler.store.database import Store, rows_of
from reconciler.store.locks import holder
from reconciler.store.tables import ACTIONS, RUNS

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
LEFT, UNCONFIRMED, DISPROVED = "left", "unconfirmed", "disproved"
_LONGEST_COMMAND = 4000
#: the key that stands for a value which could not be written down
UNRENDERED = "cannot be written down"
_LONG = reprlib.Repr()
_LONG.maxother = _LONG.maxstring = 500


#: says why nothing more may be begun; empty while all is well
Stop = Callable[[], str]


def never() -> str:
    """Nothing stops it."""
    return ""


@dataclass(frozen=True)
class Entry:
    """One action of a run. ``outcome`` is empty where the run died before it was known.

    ``command``: what was tried, one command or request per line, oldest first.
    """

    run: str
    address: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str
    command: str
    tried: str
    outcome: str
    text: str
    seconds: float


@dataclass(frozen=True)
class RunEntry:
    """One run of apply. ``ended`` is empty while it runs."""

    id: str
    cluster: str
    started: str
    ended: str
    state: str
    holder: str
    version: str
    config_digest: str
    planned: int


class Run:
    """The run underway: notes what is tried, and how it ended. May be used from several threads."""

    def __init__(self, journal: Journal, run: str) -> None:
        self.id = run
        self.failed = False
        self.left = True  # whether anything of the plan is left to do
        self.stop: Stop = never
        self.faults = Faults()
        self._journal = journal
        self._lock = threading.Lock()
        self._rows: dict[Address, int] = {}
        self._commands: dict[Address, str] = {}
        self._ended: dict[int, dict[str, Any]] = {}

    def tried(self, changes: Sequence[Change], command: str) -> None:
        """Write down what is about to be done, for the first time or once more.

        Raises :class:`ReconcileError`: then it must not be done.
        """
        if why := self.stop():
            raise StoppedError(f"stopped by {why}")
        command = _storable(command)[:_LONGEST_COMMAND]
        with self._lock:
            self._journal.store.require_locks()
            fresh = [c for c in changes if c.address not in self._rows]
            again = {c.address: self._then(c.address, command) for c in changes if c.address in self._rows}
            found: dict[Address, int] = {}
            with self._journal.store.writing() as connection:
                written = self._flush(connection)
                if again:
                    rows = [{"key": self._rows[a], "new_command": text} for a, text in again.items()]
                    longer = update(ACTIONS).where(ACTIONS.c.id == bindparam("key"))
                    connection.execute(longer.values(command=bindparam("new_command")), rows)
                for change in fresh:
                    row = {
                        "run": self.id,
                        "address": _storable(str(change.address)),
                        "action": change.action.value,
                        "before": self._json(change, change.before),
                        "after": self._json(change, change.after),
                        "reason": _storable(change.reason),
                        "command": command,
                        "tried": self._journal.now(),
                        "outcome": "",
                        "text": "",
                        "seconds": 0.0,
                    }
                    key = connection.execute(insert(ACTIONS).values(row)).inserted_primary_key
                    found[change.address] = int(key[0]) if key is not None else 0
            self._kept(written)
            self._rows |= found
            self._commands |= again | dict.fromkeys(found, command)

    def _json(self, change: Change, values: Mapping[str, Value] | None) -> str:
        """Values as they are kept: what JSON has no place for is written as Python shows it."""
        whole = f"the journal's values of {change.address}"
        return self.faults.attempt(whole, lambda: _json(values), lambda fault: self._one_by_one(change, values or {}))

    def _one_by_one(self, change: Change, values: Mapping[str, Value]) -> str:
        kept = {str(name): self._one(f"{name} of {change.address} in the journal", v) for name, v in values.items()}
        return json.dumps(kept, sort_keys=True)

    def _one(self, what: str, value: Value) -> object:
        # no shape that a rollback would take for a value
        return self.faults.attempt(
            what, lambda: json.loads(_json({"": value}))[""], lambda fault: [{UNRENDERED: _LONG.repr(value)}]
        )

    def _then(self, address: Address, command: str) -> str:
        """All that was tried for an object, one command per line, oldest first."""
        return f"{self._commands[address]}\n{command}"[-_LONGEST_COMMAND:]

    def ended(self, change: Change, outcome: str, seconds: float, text: str = "") -> None:
        """Note how an action ended; it is written with the next one, or at the end of the run."""
        with self._lock:
            number = self._rows.get(change.address)
            if number is not None:
                told = {"new_outcome": outcome, "new_seconds": seconds, "new_text": _storable(text)}
                self._ended[number] = {"key": number, **told}

    def finish(self, state: str) -> None:
        """Write what is left, and how the run ended."""
        with self._lock:
            with self._journal.store.writing() as connection:
                written = self._flush(connection)
                values = {"ended": self._journal.now(), "state": state}
                connection.execute(update(RUNS).where(RUNS.c.id == self.id).values(values))
            self._kept(written)

    def _flush(self, connection: Any) -> list[dict[str, Any]]:
        written = list(self._ended.values())
        if written:
            statement = update(ACTIONS).where(ACTIONS.c.id == bindparam("key"))
            fields: dict[str, Any] = {n: bindparam(f"new_{n}") for n in ("outcome", "seconds", "text")}
            connection.execute(statement.values(fields), written)
        return written

    def _kept(self, written: Sequence[dict[str, Any]]) -> None:
        """Forget what is in the database by now, unless it has changed since."""
        for row in written:
            if self._ended.get(row["key"]) is row:
                del self._ended[row["key"]]


class Journal:
    """The runs of one cluster."""

    def __init__(self, store: Store, cluster: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.store = store
        self.cluster = cluster
        self.clock = clock

    def now(self) -> str:
        """The moment, as it is kept."""
        return self.clock().astimezone(UTC).isoformat(timespec="milliseconds")

    @contextmanager
    def run(self, config_digest: str, planned: int, stop: Stop = never) -> Iterator[Run]:
        """A run from its beginning to its end, however it ends. Raises :class:`ReconcileError`."""
        run = self.begin(config_digest, planned)
        run.stop = stop
        # one connection stays open: SQLite works up its log whenever the last one is closed
        with self.store.reading():
            try:
                yield run
            except BaseException:
                with suppress(ReconcileError):  # what ended it is what has to be told
                    run.finish(INTERRUPTED)
                raise
            run.finish(INTERRUPTED if stop() and run.left else FAILED if run.failed else DONE)

    def begin(self, config_digest: str, planned: int) -> Run:
        """A new run. Raises :class:`ReconcileError` where it cannot be written down."""
        started = self.now()
        run = f"{started[:19].replace('-', '').replace(':', '')}-{uuid.uuid4().hex[:6]}"
        row = RunEntry(run, self.cluster, started, "", RUNNING, holder(), __version__, config_digest, planned)
        with self.store.writing() as connection:
            connection.execute(insert(RUNS).values(row.__dict__))
        return Run(self, run)

    def interrupted(self) -> list[tuple[RunEntry, list[Entry]]]:
        """Runs that died, with what they had tried and not seen the end of.

        To be asked under the cluster's lock: whatever then still counts as running is dead.
        """
        if not self.store.exists():
            return []
        with self.store.reading() as connection:
            mine = select(RUNS).where(RUNS.c.cluster == self.cluster, RUNS.c.state == RUNNING)
            dead = [RunEntry(**row) for row in rows_of(connection.execute(mine))]
        return [(run, [e for e in self.entries(run=run.id) if not e.outcome]) for run in dead]

    def close(self) -> None:
        """Mark runs that died as interrupted: under the cluster's lock, by one that goes on from what is there."""
        if not self.store.exists():
            return
        with self.store.writing() as connection:
            dead = update(RUNS).where(RUNS.c.cluster == self.cluster, RUNS.c.state == RUNNING)
            connection.execute(dead.values({"state": INTERRUPTED, "ended": self.now()}))

    def runs(self, since: str = "", limit: int = 50) -> list[RunEntry]:
        """The latest runs, newest first."""
        if not self.store.exists():
            return []
        wanted = select(RUNS).where(RUNS.c.started >= since).order_by(RUNS.c.started.desc()).limit(limit)
        if self.cluster:
            wanted = wanted.where(RUNS.c.cluster == self.cluster)
        with self.store.reading() as connection:
            found = [RunEntry(**row) for row in rows_of(connection.execute(wanted))]
        running = {r.cluster for r in found if r.state == RUNNING}
        dead = {cluster for cluster in running if self.store.held(cluster) is False}
        return [replace(r, state=INTERRUPTED) if r.state == RUNNING and r.cluster in dead else r for r in found]

    def entries(self, *, run: str = "", since: str = "") -> list[Entry]:
        """Actions in the order in which they were tried."""
        if not self.store.exists():
            return []
        wanted = select(ACTIONS).where(ACTIONS.c.tried >= since).order_by(ACTIONS.c.id)
        if run:
            wanted = wanted.where(ACTIONS.c.run == run)
        with self.store.reading() as connection:
            found = rows_of(connection.execute(wanted))
        return [_entry(row) for row in found]

    def disproved(self, addresses: Sequence[Address]) -> dict[Address, str]:
        """Which of these did not end as they should when they were last tried, with words."""
        if not self.store.exists():
            return {}
        here = select(RUNS.c.id).where(RUNS.c.cluster == self.cluster)
        bad = select(ACTIONS.c.address).where(ACTIONS.c.outcome == DISPROVED, ACTIONS.c.run.in_(here))
        told = select(ACTIONS.c.address, ACTIONS.c.outcome, ACTIONS.c.text)
        tried = told.where(ACTIONS.c.address.in_(bad), ACTIONS.c.run.in_(here)).order_by(ACTIONS.c.id)
        with self.store.reading() as connection:
            last = {address: (outcome, text) for address, outcome, text in connection.execute(tried)}
        wanted = {_storable(str(a)): a for a in addresses}
        return {wanted[a]: text for a, (outcome, text) in last.items() if a in wanted and outcome == DISPROVED}

    def prune(self, days: int) -> int:
        """Forget runs that are older than so many days; how many."""
        if not self.store.exists():
            return 0
        before = (self.clock() - timedelta(days=days)).astimezone(UTC).isoformat(timespec="milliseconds")
        with self.store.writing() as connection:
            old = select(RUNS.c.id).where(RUNS.c.started < before, RUNS.c.state != RUNNING)
            connection.execute(delete(ACTIONS).where(ACTIONS.c.run.in_(old)))
            gone = connection.execute(delete(RUNS).where(RUNS.c.id.in_(old)))
            return int(gone.rowcount or 0)


def _entry(row: Mapping[str, Any]) -> Entry:
    values = {k: v for k, v in row.items() if k != "id"}
    return Entry(**{**values, "before": json.loads(row["before"]), "after": json.loads(row["after"])})


def _storable(text: str) -> str:
    """A text without what no database takes: bytes that were no UTF-8, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _json(values: Mapping[str, Value] | None) -> str:
    return json.dumps(None if values is None else {n: json_value(v) for n, v in values.items()}, sort_keys=True)
