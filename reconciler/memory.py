"""What earlier runs saw: memory, never truth. Without it a cycle still does the right thing, only shyer.

Usernames by person: an association of a name that a person no longer has is known to be ours then, and is
removed; without the memory it is an orphan, shown and left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from reconciler.errors import ReconcileError

_TABLES = MetaData()
_USERNAMES = Table(
    "usernames",
    _TABLES,
    Column("portal", String, primary_key=True),
    Column("person", String, primary_key=True),  # the user's uuid in the portal
    Column("username", String, primary_key=True),
)
#: portal, person, username
Name = tuple[str, str, str]


class Memory:
    """One small database in the state directory; reading never makes it."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "memory.sqlite3"

    def usernames(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """All usernames that people were ever seen with, by portal and person. Raises :class:`ReconcileError`."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        if self.path.exists():
            with self._connected() as connection:
                for portal, person, username in connection.execute(select(_USERNAMES)):
                    found[portal, person].add(username)
        return {key: frozenset(names) for key, names in found.items()}

    def remember(self, names: Iterable[Name]) -> None:
        """Add usernames. Raises :class:`ReconcileError` when they cannot be kept."""
        rows = [{"portal": p, "person": w, "username": n} for p, w, n in names]
        if not rows:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise self._problem(error.strerror) from None
        with self._connected() as connection:
            _TABLES.create_all(connection)
            connection.execute(insert(_USERNAMES).on_conflict_do_nothing(), rows)
            connection.commit()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = create_engine(f"sqlite:///{self.path}")
        event.listen(engine, "connect", _careful)
        try:
            with engine.connect() as connection:
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
