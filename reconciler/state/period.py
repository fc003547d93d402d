"""Billing periods: calendar months, half-open, in the site's time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

# before there was any SLURM
_FIRST_YEAR = 2000


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """One month, ``2026-11``: from the first midnight up to, and without, the next month's."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first(self) -> date:
        """Its first day, which is how Waldur names it (``billing_period``)."""
        return date(self.year, self.month, 1)

    @property
    def following(self) -> Period:
        """The month after it."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Period:
        """The month before it."""
        return Period(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def start(self, zone: str) -> datetime:
        """The moment it begins."""
        return datetime(self.year, self.month, 1, tzinfo=ZoneInfo(zone))

    def seconds(self, zone: str) -> int:
        """Its length; months in which clocks are changed are an hour shorter or longer."""
        return int(self.following.start(zone).timestamp() - self.start(zone).timestamp())

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read ``2026-11``, or any day of it. Raises ``ValueError``."""
        match = re.fullmatch(r"(\d{4})-(\d{2})(?:-(\d{2}))?", text.strip())
        try:
            day = date(int(match[1]), int(match[2]), int(match[3] or 1)) if match else None
        except ValueError:
            day = None
        if day is None:
            raise ValueError(f"not a month: {text!r} (like 2026-11)")
        if day.year < _FIRST_YEAR:
            raise ValueError(f"{text!r} is before {_FIRST_YEAR:04d}-01, and no usage of that time is known")
        return cls(day.year, day.month)

    @classmethod
    def of(cls, moment: datetime, zone: str) -> Period:
        """The period that a moment belongs to."""
        here = moment.astimezone(ZoneInfo(zone))
        return cls(here.year, here.month)


def span(first: Period, last: Period) -> Iterator[Period]:
    """All periods from ``first`` to ``last``, both included."""
    while first <= last:
        yield first
        first = first.following


def recent(now: datetime, zone: str, count: int) -> tuple[Period, ...]:
    """The last ``count`` periods, oldest first; the last one is still running."""
    found = [Period.of(now, zone)]
    while len(found) < count:
        found.append(found[-1].previous)
    return tuple(reversed(found))
