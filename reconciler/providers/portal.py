"""What a source of desired state offers to a cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Protocol

from reconciler.config import Offering
from reconciler.state.diff import Change
from reconciler.state.facts import Claim, Facts, Project, Resource
from reconciler.state.model import Address, State
from reconciler.state.period import Period


class Portal(Protocol):
    """A portal, seen from one offering."""

    def facts(self, now: datetime) -> Facts:
        """Everything the desired state is built from. Raises ``ReadError``."""

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """The portal's word on accounts that no live resource names; ``offerings`` by uuid share the cluster."""

    def made(self, containers: Iterable[str]) -> frozenset[str]:
        """Which of these customer and project accounts were made for something the portal knows."""

    def policy(self) -> Mapping[str, object] | None:
        """The offering's periodic usage policy, if the portal has one."""

    def write(self, change: Change) -> frozenset[str]:
        """Make one change; the answer names fields that the portal has no place for. Raises ``ReadError``."""

    def projects(self) -> Mapping[str, Project]:
        """The projects that the portal tells of, by slug."""

    def offered(self) -> State | None:
        """Accounts that were offered for import; None where the portal takes none."""

    def read(self, addresses: Iterable[Address]) -> State:
        """These objects as they are at this moment; what is not there is left out."""

    def usage_facts(self) -> Facts:
        """Only what reporting usage needs. Raises ``ReadError``."""

    def usages(self, period: Period, *, users: bool = True) -> State:
        """What the portal holds of usage in a month."""

    def ended(self, since: date) -> list[Resource]:
        """Resources that ended since a day."""

    def staff(self) -> bool:
        """Whether past months of every component may be set."""

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Set totals of a resource's components. Raises ``ReadError``; nothing is set then."""

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Set users' amounts of a component, by name. Raises ``ReadError``."""

    def ping(self) -> str:
        """Who answers, and as whom, in a line. Raises ``ReadError``."""

    @property
    def requests(self) -> int:
        """Requests made so far."""
