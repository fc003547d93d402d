"""Node-hours of accounts and their users, by month and cluster.

The account's own total counts, never the sum of its users. The API of 2025 has other addresses and spellings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from reconciler.config import Offering
from reconciler.errors import ConfigError
from reconciler.providers.dwdi.client import Query
from reconciler.providers.dwdi.rows import AccountRow, BadRowError, UserRow, parsed
from reconciler.providers.dwdi.service import Components, Reading, Service, factor, month
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Used

_NODE_HOURS = "nodeHours"
_MONTH = re.compile(r"\d{4}-\d{2}")


class Compute(Service):
    """``compute/usage-month/account``."""

    name = "DWDI compute"
    lacking = "backend_id, the name of its account"
    month_endpoint = "compute/usage-month/account"
    ping_endpoint = "compute/usage-day"

    def __init__(self, offering: Offering) -> None:
        self._offering = offering
        self._cluster = offering.backend_settings.cscs_dwdi_cluster.lower()

    def asked(self, resource: Resource) -> str:
        """The account."""
        return resource.backend_id.strip()

    def key(self, resource: Resource) -> str:
        """Cluster and account, as far as the cluster is known."""
        account, cluster = self.asked(resource), self._of(resource)
        return f"{cluster}/{account}" if account and cluster else account

    def group(self, resource: Resource) -> str:
        """The cluster. Raises :class:`ConfigError`: without one, other clusters' usage would be billed here."""
        cluster = self._of(resource)
        if not cluster:
            raise ConfigError(
                f"offering {self._offering.name!r}: nothing says which cluster DWDI is to be asked about",
                "Set the offering's backend_id in Waldur (offering_backend_id), or backend_settings.cscs_dwdi_cluster.",
            )
        return cluster

    def _of(self, resource: Resource) -> str:
        return resource.offering_backend_id.strip().lower() or self._cluster

    def query(self, period: Period, group: str) -> Query:
        """The month's usage on one cluster."""
        cluster = (("cluster", group),) if group else ()
        return Query(self.month_endpoint, (*month(period), *cluster), "account", "compute", "account")

    def ping(self, today: date) -> Query:
        """Today's usage."""
        day = today.isoformat()
        return Query(self.ping_endpoint, (("from", day), ("to", day)), "account", "compute", "account")

    def field(self, component: str) -> str:
        """Node-hours, for what is named after nodes."""
        return _NODE_HOURS if "node" in component else ""

    def totals(self, figure: str) -> tuple[str, ...]:
        """How an account's own figure may be spelt."""
        return (f"total{figure[0].upper()}{figure[1:]}",)

    def reading(self, row: Mapping[str, Any], components: Components, period: Period, group: str) -> Reading:
        """An account's total, and its users' usage summed over days and clusters."""
        account = parsed(AccountRow, row)
        figures = self.sourced(components)
        known = {figure: account.figure(*self.totals(figure)) for figure in set(figures.values())}
        if figures and not any(value is not None for value in known.values()):
            raise BadRowError(self._unknown(account, sorted(known)))
        told = {name: figure for name, figure in figures.items() if known[figure] is not None}
        factors = {name: factor(components[name]) for name in told}
        users: dict[str, dict[str, Fraction]] = {}
        for user in account.users:
            _belongs(user, period, group)
            mine = users.setdefault((user.username or "").strip(), dict.fromkeys(told, Fraction(0)))
            for name, figure in told.items():
                value = user.figure(figure)
                if value is None:
                    raise BadRowError(f"user {user.username!r} has no {figure}")
                mine[name] += value * factors[name]
        total = {name: (known[figure] or Fraction(0)) * factors[name] for name, figure in told.items()}
        return Reading(Used(total, users), tuple(name for name in figures if name not in told))

    def _unknown(self, account: AccountRow, figures: list[str]) -> str:
        wanted = ", ".join(self.totals(figure)[0] for figure in figures)
        older = "accountNodeHours" in (account.model_extra or {})
        return f"no {wanted}" + (" but accountNodeHours: set cscs_dwdi_api_flavour: legacy" if older else "")


class LegacyCompute(Compute):
    """The API of 2025, ``/api/v1/compute/usage-month-multiaccount``, which needs no cluster."""

    name = "DWDI compute (legacy API)"
    month_endpoint = "compute/usage-month-multiaccount"
    ping_endpoint = "compute/usage-day-multiaccount"

    def group(self, resource: Resource) -> str:
        """The cluster that the file names, if it does."""
        return self._of(resource)

    def _of(self, resource: Resource) -> str:
        return self._cluster

    def field(self, component: str) -> str:
        """For the plugin 0.1.0 a component is named like its figure; for cscs-dwdi-compute the newer rule holds."""
        return component if self._offering.reporting == "cscs-dwdi" else super().field(component)

    def totals(self, figure: str) -> tuple[str, ...]:
        """The account's figure, the total, or the plain name."""
        upper = f"{figure[:1].upper()}{figure[1:]}"
        return f"account{upper}", f"total{upper}", f"account{figure}", figure


def _belongs(user: UserRow, period: Period, group: str) -> None:
    """A filter that was not understood shows in rows that must not be there."""
    if group and user.cluster and user.cluster.strip().lower() != group:
        raise BadRowError(f"it holds usage of cluster {user.cluster!r} though {group!r} was asked for")
    day = user.usage_date or ""
    if _MONTH.match(day) and not day.startswith(str(period)):
        raise BadRowError(f"it holds usage of {day!r} though {period} was asked for")
