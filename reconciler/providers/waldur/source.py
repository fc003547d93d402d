"""What Waldur tells of one offering, each question answered by the part that knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.config import Offering
from reconciler.providers.waldur.claims import Claims
from reconciler.providers.waldur.orders import Orders
from reconciler.providers.waldur.projects import Projects
from reconciler.providers.waldur.read import Reading
from reconciler.providers.waldur.token import Token
from reconciler.state.facts import Claim, Facts, Order, Project


class WaldurSource:
    """Facts of one offering."""

    def __init__(self, reading: Reading, claims: Claims, projects: Projects, orders: Orders, token: Token) -> None:
        self._reading = reading
        self._claims = claims
        self._projects = projects
        self._orders = orders
        self._token = token

    def facts(self, now: datetime) -> Facts:
        """Everything the desired state is built from. Raises ``ReadError``."""
        return self._reading.facts(now)

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> Mapping[str, Claim]:
        """The word on accounts that no live resource names: one request each."""
        return self._claims.claims(names, offerings)

    def made(self, containers: Iterable[str], facts: Facts) -> frozenset[str]:
        """Which of these accounts were made for a project or customer of the provider."""
        return self._projects.made(containers, facts)

    def projects(self, facts: Facts) -> Mapping[str, Project]:
        """The provider's projects with resources, by slug; none where the token may not see them."""
        return self._projects.by_slug(facts)

    def ordered(self) -> Mapping[str, Order]:
        """The last order that was done and gave amounts, by resource."""
        return self._orders.ordered()

    def ping(self) -> str:
        """Who the token is, and the offering's name there. Raises ``ReadError``."""
        return self._token.ping()
