"""Usage for people: what was used of what was bought. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from reconciler.desired.usage import Account
from reconciler.state.facts import Resource
from reconciler.state.names import fold
from reconciler.state.units import UnitError, decimal
from reconciler.state.usage import Used, rounded


class By(StrEnum):
    """What a row stands for."""

    ACCOUNT = "account"
    USER = "user"
    MONTH = "month"


@dataclass(frozen=True)
class Figure:
    """One row: an amount in Waldur's units, and the limit it counts against."""

    offering: str
    account: str
    resource: str
    period: str
    user: str  # empty for the whole account
    component: str
    unit: str
    used: str
    limit: str  # empty where there is none
    incomplete: str = ""

    @property
    def share(self) -> float | None:
        """The part of the limit that is used; None where there is no limit."""
        limit = Decimal(self.limit or 0)
        return float(Decimal(self.used) / limit) if limit else None


def figures(accounts: Iterable[Account], by: By = By.ACCOUNT, only: str = "") -> list[Figure]:
    """Rows of all accounts, or of ``only`` one, sorted for reading."""
    found: list[Figure] = []
    for account in accounts:
        for resource in account.facts.resources:
            if only and not _is(resource, only):
                continue
            used = account.accounted.used.get(resource.uuid)
            if used is not None:
                found += _rows(account, resource, used, by)
    return sorted(found, key=lambda f: (f.offering, f.account, f.component, f.period, -Decimal(f.used), f.user))


def _rows(account: Account, resource: Resource, used: Used, by: By) -> Iterable[Figure]:
    for name, component in account.offering.backend_components.items():
        wanted = component.bought(name, resource.limits)
        limit = _amount(wanted)
        whole = [("", used.total)]
        users = [(user or "(no user)", amounts) for user, amounts in used.users.items()]
        for user, amounts in users if by is By.USER else whole:
            if name in amounts and (amounts[name] or by is not By.USER):
                yield Figure(
                    account.offering.name,
                    resource.backend_id,
                    resource.name,
                    str(account.period),
                    user,
                    name,
                    component.waldur_unit,
                    rounded(amounts[name]),
                    limit,
                    used.incomplete,
                )


def _amount(value: object) -> str:
    try:
        return "" if value is None else rounded(Fraction(decimal(value)))
    except UnitError:
        return ""


def incomplete(accounts: Iterable[Account], only: str = "") -> list[str]:
    """What is shown with less than was used, or not at all, and why."""
    return [
        f"account {r.backend_id}, {a.period}: incomplete: {used.incomplete}"
        for a in accounts
        for r in a.facts.resources
        if (used := a.accounted.used.get(r.uuid)) is not None and used.incomplete and (not only or _is(r, only))
    ]


def _is(resource: Resource, name: str) -> bool:
    return fold(name) in (fold(resource.backend_id), resource.uuid, fold(resource.name))


def known(accounts: Sequence[Account], only: str) -> bool:
    """Whether an account (or resource) of this name is among them."""
    return any(fold(only) in (fold(r.backend_id), r.uuid, fold(r.name)) for a in accounts for r in a.facts.resources)
