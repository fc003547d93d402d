"""What a source of usage is asked for and offers: SLURM's accounting database, or a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Protocol

from reconciler.config import Component
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Accounted


@dataclass(frozen=True, slots=True)
class Metered:
    """A resource whose usage is wanted, with its offering's components."""

    resource: Resource
    components: Mapping[str, Component]


@dataclass(frozen=True, slots=True)
class Recount:
    """One component of one resource as several count it over the same days: exact amounts in Waldur's units, by whom.

    ``slack``: by how much these may differ whatever the amounts are.
    """

    resource: Resource
    component: str
    amounts: Mapping[str, Fraction]
    slack: Fraction


@dataclass(frozen=True, slots=True)
class Counted:
    """What a second counter tells, over which ``span`` (in words), and what it cannot tell."""

    span: str
    rows: tuple[Recount, ...] = ()
    notes: tuple[str, ...] = ()


class Counter(Protocol):
    """Who else counts what a source tells, so that both can be compared; it looks once and keeps what it saw."""

    name: str

    def counted(self, today: date, metered: Sequence[Metered]) -> Counted:
        """These resources, as it and the source itself count them. Raises ``ReadError``."""


class UsageSource(Protocol):
    """Tells what resources used."""

    name: str
    may_fall: bool  # less than before is no sign of a failed query here

    def key(self, resource: Resource) -> str:
        """What the source knows the resource by; empty where it cannot know it (yet)."""

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """What these resources used in a period. Raises ``ReadError`` where the answer cannot be trusted."""

    def ping(self) -> str:
        """What answered, in a line. Raises ``ReconcileError``."""

    def silence(self) -> str:
        """Why no answer of it is believed, as it knows nothing of anybody; or nothing. Raises ``ReadError``."""

    def unended(self, keys: Collection[str], since: datetime, stop: Callable[[], str]) -> Mapping[str, str]:
        """Keys with jobs of which it knows no end yet, although it was waited for, with words. Raises ``ReadError``."""

    def counter(self) -> Counter | None:
        """Who else counts the same, where somebody does."""
