"""What earlier runs saw: memory, never truth. Without it a cycle still does the right thing, only shyer.

Usernames by person: an association of a name that a person no longer has is known to be ours then, and is
removed; without the memory it is an orphan, shown and left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Column, Connection, Executable, MetaData, String, Table, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from reconciler.errors import ReconcileError

_TABLES = MetaData()
_USERNAMES = Table(
    "usernames",
    _TABLES,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its uuid
    Column("person", String, primary_key=True),  # the user's uuid in the portal
    Column("username", String, primary_key=True),
)
_ABSENT = Table(
    "absent",
    _TABLES,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its name
    Column("field", String, primary_key=True),
    Column("day", String),
)
_STRANGERS = Table(
    "strangers",
    _TABLES,
    Column("cluster", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("day", String),
)
_REPORTED = Table(
    "reported",
    _TABLES,
    Column("cluster", String, primary_key=True),
    Column("moment", String),
)
# a server may be upgraded, so it is asked again after so many days
_ASK_AGAIN = timedelta(days=7)
#: offering, person, username
Name = tuple[str, str, str]


class Memory:
    """One small database in the state directory; reading never makes the file."""

    def __init__(self, state_dir: Path, cluster: str) -> None:
        self.path = state_dir / "memory.sqlite3"
        self.cluster = cluster

    def usernames(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """All usernames that people were ever seen with, by offering and person. Raises :class:`ReconcileError`."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        if self._there():
            with self._connected() as connection:
                mine = select(_USERNAMES).where(_USERNAMES.c.cluster == self.cluster)
                for _, offering, person, username in connection.execute(mine):
                    found[offering, person].add(username)
        return {key: frozenset(names) for key, names in found.items()}

    def absent(self, today: date) -> Mapping[str, frozenset[str]]:
        """Fields of resources that a portal had no place for when it was last asked, by offering."""
        found: dict[str, set[str]] = defaultdict(set)
        if self._there():
            with self._connected() as connection:
                recent = (today - _ASK_AGAIN).isoformat()
                mine = select(_ABSENT.c.offering, _ABSENT.c.field)
                for offering, name in connection.execute(
                    mine.where(_ABSENT.c.cluster == self.cluster, _ABSENT.c.day > recent)
                ):
                    found[offering].add(name)
        return {offering: frozenset(names) for offering, names in found.items()}

    def remember_absent(self, fields: Mapping[str, Iterable[str]], today: date) -> None:
        """Keep what a portal has no place for."""
        rows = [
            {"cluster": self.cluster, "offering": o, "field": n, "day": today.isoformat()}
            for o, names in fields.items()
            for n in names
        ]
        self._write(
            insert(_ABSENT).on_conflict_do_update(["cluster", "offering", "field"], set_={"day": today.isoformat()}),
            rows,
        )

    def strangers(self, today: date) -> frozenset[str]:
        """Accounts that no portal knew when they were asked today."""
        if not self._there():
            return frozenset()
        with self._connected() as connection:
            mine = select(_STRANGERS.c.account).where(
                _STRANGERS.c.cluster == self.cluster, _STRANGERS.c.day == today.isoformat()
            )
            return frozenset(name for (name,) in connection.execute(mine))

    def remember_strangers(self, accounts: Iterable[str], today: date) -> None:
        """Keep which accounts no portal knows, so that it is asked once a day and not in every cycle."""
        rows = [{"cluster": self.cluster, "account": a, "day": today.isoformat()} for a in accounts]
        day = {"day": today.isoformat()}
        self._write(insert(_STRANGERS).on_conflict_do_update(["cluster", "account"], set_=day), rows)

    def reported(self) -> datetime | None:
        """When usage was last looked after."""
        if not self._there():
            return None
        with self._connected() as connection:
            found = connection.execute(select(_REPORTED.c.moment).where(_REPORTED.c.cluster == self.cluster)).scalar()
            return datetime.fromisoformat(found) if found else None

    def remember_reported(self, moment: datetime) -> None:
        """Keep when usage was looked after."""
        row = {"cluster": self.cluster, "moment": moment.isoformat()}
        self._write(insert(_REPORTED).on_conflict_do_update(["cluster"], set_={"moment": row["moment"]}), [row])

    def remember(self, names: Iterable[Name]) -> None:
        """Add usernames. Raises :class:`ReconcileError` when they cannot be kept."""
        rows = [{"cluster": self.cluster, "offering": o, "person": w, "username": n} for o, w, n in names]
        self._write(insert(_USERNAMES).on_conflict_do_nothing(), rows)

    def _write(self, statement: Executable, rows: list[dict[str, str]]) -> None:
        if not rows:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise self._problem(error.strerror) from None
        with self._connected() as connection:
            connection.execute(statement, rows)
            connection.commit()

    def _there(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            raise self._problem(error.strerror) from None

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = create_engine(f"sqlite:///{self.path}")
        event.listen(engine, "connect", _careful)
        try:
            with engine.connect() as connection:
                _TABLES.create_all(connection)
                yield connection
        except SQLAlchemyError as error:
            raise self._problem(str(getattr(error, "orig", None) or error)) from None
        finally:
            engine.dispose()

    def _problem(self, why: object) -> ReconcileError:
        hint = "It is memory only: remove the file, or set reconcile.state_dir to a directory that this user may write."
        return ReconcileError(f"{self.path}: {why}", hint)


def _careful(connection: object, record: object) -> None:
    """A crash of the machine must not lose what was remembered."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the driver's own, untyped
    with suppress(Exception):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
