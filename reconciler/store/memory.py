"""What earlier runs saw: memory, never truth. Without it a cycle still does the right thing, only shyer.

Usernames by person: an association of a name that a person no longer has is known to be ours then, and is
removed; without the memory it is an orphan, shown and left alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Table, bindparam, delete, select

from reconciler.store.database import Store
from reconciler.store.tables import (
    ABSENT,
    ACCEPTED,
    ADOPTED,
    LIMITS,
    READS,
    RENEWED,
    REPORTED,
    STRANGERS,
    USERNAMES,
)

# a server may be upgraded, so it is asked again after so many days
_ASK_AGAIN = timedelta(days=7)
#: offering, person, username
Name = tuple[str, str, str]


@dataclass(frozen=True)
class Read:
    """What a good read saw of an offering: its resources without those that end, and accounts of ended ones."""

    resources: int
    ended: frozenset[str] = frozenset()


class Memory:
    """What was seen of one cluster."""

    def __init__(self, store: Store, cluster: str) -> None:
        self.store = store
        self.cluster = cluster

    def usernames(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """All usernames that people were ever seen with, by offering and person. Raises :class:`ReconcileError`."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        if self.store.exists():
            with self.store.reading() as connection:
                mine = select(USERNAMES).where(USERNAMES.c.cluster == self.cluster)
                for _, offering, person, username in connection.execute(mine):
                    found[offering, person].add(username)
        return {key: frozenset(names) for key, names in found.items()}

    def absent(self, today: date) -> Mapping[str, frozenset[str]]:
        """Fields of resources that a portal had no place for when it was last asked, by offering."""
        found: dict[str, set[str]] = defaultdict(set)
        if self.store.exists():
            with self.store.reading() as connection:
                recent = (today - _ASK_AGAIN).isoformat()
                mine = select(ABSENT.c.offering, ABSENT.c.field)
                for offering, name in connection.execute(
                    mine.where(ABSENT.c.cluster == self.cluster, ABSENT.c.day > recent)
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
        self._write(ABSENT, rows)

    def strangers(self, today: date) -> frozenset[str]:
        """Accounts that no portal knew when they were asked today."""
        if not self.store.exists():
            return frozenset()
        with self.store.reading() as connection:
            mine = select(STRANGERS.c.account).where(
                STRANGERS.c.cluster == self.cluster, STRANGERS.c.day == today.isoformat()
            )
            return frozenset(name for (name,) in connection.execute(mine))

    def remember_strangers(self, accounts: Iterable[str], today: date) -> None:
        """Keep which accounts no portal knows, so that it is asked once a day and not in every cycle."""
        rows = [{"cluster": self.cluster, "account": a, "day": today.isoformat()} for a in accounts]
        self._write(STRANGERS, rows)

    def reported(self) -> datetime | None:
        """When usage was last looked after."""
        if not self.store.exists():
            return None
        with self.store.reading() as connection:
            found = connection.execute(select(REPORTED.c.moment).where(REPORTED.c.cluster == self.cluster)).scalar()
            return datetime.fromisoformat(found) if found else None

    def remember_reported(self, moment: datetime) -> None:
        """Keep when usage was looked after."""
        row = {"cluster": self.cluster, "moment": moment.isoformat()}
        self._write(REPORTED, [row])

    def remember(self, names: Iterable[Name]) -> None:
        """Add usernames. Raises :class:`ReconcileError` when they cannot be kept."""
        rows = [{"cluster": self.cluster, "offering": o, "person": w, "username": n} for o, w, n in names]
        self._write(USERNAMES, rows)

    def reads(self) -> Mapping[str, Read]:
        """What the last good read of each offering (its uuid) saw."""
        if not self.store.exists():
            return {}
        with self.store.reading() as connection:
            mine = select(READS.c.offering, READS.c.resources, READS.c.ended).where(READS.c.cluster == self.cluster)
            return {
                str(row.offering): Read(int(row.resources), frozenset(json.loads(row.ended)))
                for row in connection.execute(mine)
            }

    def remember_reads(self, reads: Mapping[str, Read], moment: datetime) -> None:
        """Keep what was seen of each offering."""
        rows = [
            {
                "cluster": self.cluster,
                "offering": offering,
                "resources": read.resources,
                "ended": json.dumps(sorted(read.ended)),
                "moment": moment.isoformat(),
            }
            for offering, read in reads.items()
        ]
        self._write(READS, rows)

    def adopted(self) -> frozenset[str]:
        """Offerings that were looked after before, and of which no limit that would fall waits for consent."""
        if not self.store.exists():
            return frozenset()
        with self.store.reading() as connection:
            mine = select(ADOPTED.c.offering, ADOPTED.c.moment).where(ADOPTED.c.cluster == self.cluster)
            known = {str(offering): bool(moment) for offering, moment in connection.execute(mine)}
        # earlier versions kept no such mark, but what they read
        earlier = {offering for offering in self.reads() if offering not in known}
        return frozenset({offering for offering, adopted in known.items() if adopted} | earlier)

    def remember_adopted(self, adopted: Iterable[str], waiting: Iterable[str], moment: datetime) -> None:
        """Keep which offerings are looked after from now on, and of which limits that would fall wait for consent."""
        rows = [{"cluster": self.cluster, "offering": o, "moment": moment.isoformat()} for o in adopted]
        rows += [{"cluster": self.cluster, "offering": o, "moment": ""} for o in waiting]
        self._write(ADOPTED, rows)

    def accepted(self) -> frozenset[str]:
        """Orphans that a person knows of: their number is no sign of a portal that shrank."""
        if not self.store.exists():
            return frozenset()
        with self.store.reading() as connection:
            mine = select(ACCEPTED.c.account).where(ACCEPTED.c.cluster == self.cluster)
            return frozenset(name for (name,) in connection.execute(mine))

    def remember_accepted(self, accounts: Iterable[str]) -> None:
        """Keep which orphans a person knows of."""
        self._write(ACCEPTED, [{"cluster": self.cluster, "account": a} for a in accounts])

    def forget_accepted(self, accounts: Iterable[str]) -> None:
        """A portal names them again, or they are gone."""
        rows = [{"gone": a} for a in accounts]
        if rows:
            mine = delete(ACCEPTED).where(ACCEPTED.c.cluster == self.cluster, ACCEPTED.c.account == bindparam("gone"))
            with self.store.writing() as connection:
                connection.execute(mine, rows)

    def limits(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        """What of which limits was set here, by account and field."""
        found: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
        if self.store.exists():
            with self.store.reading() as connection:
                mine = select(LIMITS.c.account, LIMITS.c.field, LIMITS.c.names).where(LIMITS.c.cluster == self.cluster)
                for account, name, names in connection.execute(mine):
                    found[account][name] = frozenset(json.loads(names))
        return dict(found)

    def remember_limits(self, limits: Mapping[tuple[str, str], frozenset[str]]) -> None:
        """Keep what of an account's field was set here."""
        rows = [
            {"cluster": self.cluster, "account": account, "field": name, "names": json.dumps(sorted(names))}
            for (account, name), names in limits.items()
        ]
        self._write(LIMITS, rows)

    def renewed(self) -> Mapping[str, str]:
        """The last period for which an account's counters began anew."""
        if not self.store.exists():
            return {}
        with self.store.reading() as connection:
            mine = select(RENEWED.c.account, RENEWED.c.period).where(RENEWED.c.cluster == self.cluster)
            return {str(account): str(period) for account, period in connection.execute(mine)}

    def remember_renewed(self, periods: Mapping[str, str], moment: datetime) -> None:
        """Keep for which period counters began anew."""
        now = moment.isoformat()
        rows = [{"cluster": self.cluster, "account": a, "period": p, "moment": now} for a, p in periods.items()]
        self._write(RENEWED, rows)

    def _write(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            with self.store.writing() as connection:
                self.store.upsert(connection, table, rows)
