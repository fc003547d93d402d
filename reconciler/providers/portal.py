"""What a cycle asks of a portal, in parts: where facts come from, and who takes back objects, usage and offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from reconciler.config import Offering
from reconciler.state.diff import Change
from reconciler.state.facts import Claim, Facts, Order, Project, Resource
from reconciler.state.model import Address, State
from reconciler.state.period import Period
from reconciler.state.periodic import Announced, Rules, Spent


class Source(Protocol):
    """Where the facts of one offering come from: a portal, or a file."""

    def facts(self, now: datetime) -> Facts:
        """Everything the desired state is built from. Raises ``ReadError``."""

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> Mapping[str, Claim]:
        """The word on accounts that no live resource names; ``offerings`` by uuid share the cluster."""

    def made(self, containers: Iterable[str], facts: Facts) -> frozenset[str]:
        """Which of these customer and project accounts were made for something that is known."""

    def projects(self, facts: Facts) -> Mapping[str, Project]:
        """The projects that are told of, by slug."""

    def ordered(self) -> Mapping[str, Order]:
        """The last order that was done and gave amounts, by resource."""

    def ping(self) -> str:
        """Who answers, and as whom, in a line. Raises ``ReadError``."""


class Listening(Protocol):
    """A portal that takes objects back."""

    def read(self, addresses: Iterable[Address]) -> State:
        """These objects as they are at this moment; what is not there is left out."""

    def write(self, change: Change, held: State) -> frozenset[str]:
        """Make one change; the answer names fields that there is no place for.

        ``held``: objects as :meth:`read` or the facts told them, since what an object has beside its fields is kept.
        Raises ``ConflictError``, ``GoneError``, ``ReadError``.
        """


class UsageWriter(Protocol):
    """Writes usage in one apply; what the apply was not told is asked for once."""

    def usages(self, period: Period, *, users: bool) -> State:
        """A month as it is now; without ``users`` theirs are as they were told before."""

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Set totals of a resource's components; on an error nothing is set. Raises ``RefusedError``, ``ReadError``."""

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Set users' amounts of one component, by name. Raises ``ReadError``."""


class Ledger(Protocol):
    """A portal that keeps usage."""

    def usage_facts(self) -> Facts:
        """Only what reporting usage needs. Raises ``ReadError``."""

    def usages(self, period: Period) -> State:
        """What it holds of a month."""

    def ended(self, since: date) -> list[Resource]:
        """Resources that ended since a day."""

    def staff(self) -> bool:
        """Whether past months of every component may be set."""

    def writer(self, facts: Facts | None, held: State) -> UsageWriter:
        """For one apply. ``facts`` and ``held`` as they were told to its plan; None where the plan was saved."""


class Importer(Protocol):
    """A portal that takes accounts for import."""

    def offered(self) -> State | None:
        """What was offered before; None where this server takes nothing."""


class Policies(Protocol):
    """A portal in which an offering has policies."""

    def rules(self) -> Rules | None:
        """The offering's periodic usage policy, if it has one. Raises ``ReadError``."""

    def used(self, months: Sequence[Period]) -> Spent:
        """What resources used in these months of one year; there may be more of it. Raises ``ReadError``."""

    def announced(self, policy: str, since: date) -> Mapping[str, Announced]:
        """What the portal itself made of a policy since a day, by account. Raises ``ReadError``."""

    def report(self, policy: str, resource: str, commands: Sequence[str], error: str) -> None:
        """Tell what was run for a resource, and what went wrong with it. Raises ``ReadError``, ``RefusedError``."""


def _none() -> int:
    return 0


@dataclass(frozen=True)
class Portal:
    """A portal, seen from one offering. It remembers nothing: any number of cycles may go by it.

    What it cannot do is None. ``counted``: requests made so far.
    """

    source: Source
    listening: Listening | None = None
    ledger: Ledger | None = None
    importer: Importer | None = None
    policies: Policies | None = None
    counted: Callable[[], int] = _none

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self.counted()
