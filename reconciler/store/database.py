"""One small database: SQLite in the state directory, or PostgreSQL where several head nodes may run at once."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, func, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reconciler.errors import ConfigError, ReconcileError
from reconciler.store.locks import alive, cluster_lock, holder, locked, private
from reconciler.store.tables import LOCKS

FILE = "reconcile.sqlite3"
#: the last migration
HEAD = "0003"
_MIGRATIONS = Path(__file__).parent / "migrations"
#: what sqlite says of a file that cannot be used any more
_BROKEN = ("file is not a database", "malformed", "no such table", "no such column", "already exists")
_HINTS = {
    "locked": "Another program holds it, a backup for example; the next run tries again.",
    "readonly": "May this user write the state directory, and is it mounted for writing?",
    "unable to open": "May this user read and write the state directory?",
    "Permission denied": "May this user read and write the state directory?",
    "full": "The disk is full: free some space, or set reconcile.state_dir.",
    "disk I/O error": "Is the disk full or broken? See the kernel's log.",
    "newer version": "Run the reconcile that made it, or set reconcile.state_dir to a directory of its own.",
}
_LOCK_OF_MIGRATIONS = 0x7265636F  # "reco": an advisory lock's number


class Store:
    """The database of one state directory (or of the ``url``, which may hold a password and is never shown)."""

    def __init__(self, state_dir: Path, url: str = "") -> None:
        self.state_dir = state_dir
        self.path = state_dir / FILE
        self.url = url
        self._engine: Engine | None = None
        self._current = False
        self._holding: list[Connection] = []  # sessions whose end would end a lock
        self.notices: list[str] = []  # what a person should know

    @property
    def shared(self) -> bool:
        """Whether several hosts use it."""
        return bool(self.url)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        if not self.shared:
            return str(self.path)
        # what stands after the ? may be a password too
        return _parsed(self.url).set(query={}).render_as_string(hide_password=True)

    def exists(self) -> bool:
        """Whether there is anything to read; asking never makes the file. Raises :class:`ReconcileError`."""
        try:
            return self.shared or self.path.exists()
        except OSError as error:
            raise self.problem(error.strerror) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection; nothing that is done on it is kept. Raises :class:`ReconcileError`."""
        with self._connected() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction, which is kept if nothing fails. Raises :class:`ReconcileError`."""
        self._make()
        self._sound()
        with self._connected(mend=True) as connection:
            yield connection
            connection.commit()

    def _sound(self) -> None:
        """Put a file aside that is no database any more: it is memory, and its loss must not stop a site."""
        if self.shared or self._current or not self.path.exists():
            return
        try:
            with self._opened().connect() as connection:
                connection.execute(text("select count(*) from sqlite_master"))
        except DatabaseError as error:
            if not any(sign in str(error) for sign in _BROKEN):
                return
            self._put_aside()

    def _put_aside(self) -> None:
        self.dispose()
        aside = self.path.with_suffix(f".broken-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        try:
            self.path.rename(aside)
            for more in ("-wal", "-shm"):
                Path(f"{self.path}{more}").unlink(missing_ok=True)
        except OSError as failed:
            raise self.problem(failed.strerror) from None
        self.notices.append(f"{self.path} was no database any more: put aside as {aside.name}, and begun anew")
        self._make()

    def dispose(self) -> None:
        """Close what is open."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._current = False

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, or replace those with the same key."""
        if not rows:
            return
        dialect = postgresql if self.shared else sqlite
        statement = dialect.insert(table)
        keys = [c.name for c in table.primary_key]
        others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        if others:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))
        else:
            connection.execute(statement.on_conflict_do_nothing(), list(rows))

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock. Raises :class:`LockedError` that names who has it.

        A lock goes with its holder, however that ends: a file lock here, an advisory one on PostgreSQL.
        """
        if not self.shared:
            with cluster_lock(self.state_dir, name):
                yield
            return
        number = _number(name)
        with self._connected() as connection:
            got = connection.execute(select(func.pg_try_advisory_lock(number))).scalar()
            if not got:
                mine = select(LOCKS.c.holder).where(LOCKS.c.name == name)
                raise locked(str(connection.execute(mine).scalar() or ""))
            self.upsert(connection, LOCKS, [{"name": name, "holder": holder()}])
            connection.commit()  # the lock is the session's, not the transaction's
            self._holding.append(connection)
            try:
                yield
            finally:
                self._holding.remove(connection)
                with suppress(SQLAlchemyError):  # a session that is gone holds nothing any more
                    connection.execute(select(func.pg_advisory_unlock(number)))
                    connection.commit()

    def require_locks(self) -> None:
        """Raise :class:`ReconcileError` where a lock went with its session: another host may apply by now."""
        for connection in self._holding:
            try:
                connection.execute(select(1))
                connection.rollback()
            except SQLAlchemyError as error:
                why = f"the session that held the lock is gone ({_first_line(error)}); nothing more is begun"
                raise ReconcileError(
                    f"{self.place}: {why}",
                    "Another head node may be applying by now. The next apply goes on from what is there.",
                ) from None

    def held(self, name: str) -> bool | None:
        """Whether somebody has a lock at this moment, without touching it; None where that cannot be told."""
        if not self.shared:
            return alive(self.state_dir, name)
        number = _number(name)
        wanted = text("select count(*) from pg_locks where locktype = 'advisory' and classid = :high and objid = :low")
        with self.reading() as connection:
            found = connection.execute(wanted, {"high": number >> 32 & 0xFFFFFFFF, "low": number & 0xFFFFFFFF})
            return bool(found.scalar())

    def problem(self, why: object) -> ReconcileError:
        """What went wrong with it, and what to do."""
        if self.shared:
            return ReconcileError(
                f"{self.place}: {why}", "It is reconcile.store; is the server up, and are the rights there?"
            )
        otherwise = "Set reconcile.state_dir to a directory that this user may write."
        if any(sign in str(why) for sign in _BROKEN):
            otherwise = "The next apply puts the file aside and begins anew: it is memory, never truth."
        return ReconcileError(f"{self.path}: {why}", next((h for s, h in _HINTS.items() if s in str(why)), otherwise))

    # ------------------------------------------------------------------ connections

    def _make(self) -> None:
        if self.shared:
            return
        try:
            private(self.path.parent)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise self.problem(error.strerror) from None

    def _opened(self) -> Engine:
        if self._engine is None:
            if self.shared:
                self._engine = create_engine(_with_driver(self.url), poolclass=NullPool)
            else:
                self._engine = self._sqlite()
        return self._engine

    def _sqlite(self) -> Engine:
        if self.path.exists() and not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            # what may not be written is read as it stands: WAL would make files beside it
            url = f"sqlite:///file:{quote(str(self.path))}?mode=ro&immutable=1&uri=true"
            return create_engine(url, poolclass=NullPool)
        engine = create_engine(f"sqlite:///{self.path}", poolclass=NullPool, connect_args={"timeout": 20})
        event.listen(engine, "connect", _careful)
        return engine

    @contextmanager
    def _connected(self, *, mend: bool = False) -> Iterator[Connection]:
        try:
            with self._opened().connect() as connection:
                if not self._current:
                    self._migrate(connection)
                yield connection
        except (SQLAlchemyError, UnicodeError) as error:
            if mend and not self.shared and any(sign in str(error) for sign in _BROKEN):
                self._put_aside()
                raise self.problem(f"{_first_line(error)}: put aside, the next run begins anew") from None
            raise self.problem(_first_line(error)) from None

    def _migrate(self, connection: Connection) -> None:
        """Bring the tables up to this version; one process at a time."""
        if _version(connection) == HEAD:
            self._current = True
            return
        with ExitStack() as held:
            if self.shared:
                connection.execute(text(f"select pg_advisory_xact_lock({_LOCK_OF_MIGRATIONS})"))
            else:
                held.enter_context(cluster_lock(self.state_dir, "migration", patience=20))
            found = _version(connection)
            known = {path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("0*.py")}
            if found and found not in known:
                raise self.problem(f"was made by a newer version of reconcile (schema {found}, this one knows {HEAD})")
            if found != HEAD:
                if not self.shared:  # otherwise each of SQLite's statements would be a transaction of its own
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                _upgrade(connection)
            connection.commit()
        self._current = True


def _number(name: str) -> int:
    """An advisory lock's number."""
    return int.from_bytes(hashlib.sha256(f"reconcile {name}".encode()).digest()[:8], "big", signed=True)


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("select version_num from alembic_version")).scalar() or "")


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # a third of a second that only a new version needs
    from alembic.config import Config  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if url.partition("?")[0].count("@") > 1:  # the rest of a password would count as host or database, and be shown
            raise ConfigError("reconcile.store: a second @", "Write an @ of the password as %40, a / as %2F.")
        return parsed
    except (ArgumentError, ValueError):  # their messages quote the URL
        raise ConfigError(
            "reconcile.store: is no URL", "It is like postgresql://user:password@host/database."
        ) from None


def _with_driver(url: str) -> str:
    """The URL with the driver that is supported. Raises :class:`ConfigError`."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(
            "reconcile.store: must be a postgresql:// URL", "Leave it out for SQLite in the state directory."
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError(
            "reconcile.store: PostgreSQL needs psycopg", "Install it with: pip install 'waldur-reconcile[postgres]'"
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _first_line(error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error).strip()
    return reason.splitlines()[0] if reason else type(error).__name__


def _careful(connection: Any, record: object) -> None:
    """A crash of the machine must not lose what was written."""
    cursor = connection.cursor()
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
        cursor.execute(statement)
    cursor.close()


def rows_of(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Rows as mappings."""
    return [dict(row._mapping) for row in found]
