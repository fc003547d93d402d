"""What a portal holds of usage: one row per resource, component, month and plan.

Facts about the server: ``usage`` comes as a decimal text; a resource that changed its plan within a month has one
row per plan, and only the open plan's can be set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from waldur_client import Endpoints

from reconciler.errors import GoneError, ReadError
from reconciler.providers.waldur.lists import Lists, uuid_of
from reconciler.providers.waldur.rows import ResourceRow, UsageRow, UserUsageRow, undashed
from reconciler.state import waldur
from reconciler.state.facts import TERMINATED, Resource
from reconciler.state.model import Address, Obj, State
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.values import Value

USAGES, USER_USAGES = "marketplace-component-usages", "marketplace-component-user-usages"
_CENT = Decimal("0.01")
_HELD = "held"
Amounts = Mapping[str, Decimal]


@dataclass(frozen=True)
class PlanRow:
    """What one plan's row holds: the amount, and users' amounts by folded name."""

    uuid: str
    amount: Decimal
    users: Amounts


@dataclass(frozen=True)
class Held:
    """One component of a resource in one month: its rows, and the one of them that can be set."""

    rows: tuple[PlanRow, ...]
    open: PlanRow | None

    @property
    def total(self) -> Decimal:
        """All plans together."""
        return sum((row.amount for row in self.rows), Decimal(0))

    @property
    def former(self) -> Decimal:
        """What rows of former plans hold."""
        return sum((row.amount for row in self.rows if row is not self.open), Decimal(0))

    @property
    def former_users(self) -> dict[str, Decimal]:
        """The same of users."""
        return _sum(row.users for row in self.rows if row is not self.open)

    def obj(self) -> Obj:
        """As an object; the rows of all plans together."""
        users = _sum(row.users for row in self.rows)
        values: dict[str, Value] = {"total": text(self.total), "users": {n: text(a) for n, a in sorted(users.items())}}
        if len(self.rows) > 1:
            values["plans"] = ",".join(text(row.amount) for row in self.rows)
        return Obj(values, beside={_HELD: self})


def held_of(obj: Obj) -> Held | None:
    """What an object of usage was made of, as far as it came from here."""
    found = (obj.beside or {}).get(_HELD)
    return found if isinstance(found, Held) else None


def text(amount: Decimal) -> str:
    """An amount in Waldur's spelling."""
    return str(amount.quantize(_CENT))


class Usages:
    """Usage of one offering's resources."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def usages(self, period: Period, known: Mapping[str, Amounts] | None = None) -> State:
        """What the portal holds of a month: one list of rows, and one of users' rows.

        ``known``: users' amounts by row, as they were told before; then theirs are not asked for.
        """
        rows = self._rows(period)
        if known is None:
            known = self._users(period, {row.uuid for group in rows.values() for row in group})
        state: State = {}
        for address, group in rows.items():
            open_ = group[0] if len(group) == 1 else self._open(address.key[0], group)
            plans = {row.uuid: PlanRow(row.uuid, row.usage, known.get(row.uuid, {})) for row in group}
            state[address] = Held(tuple(plans.values()), plans[open_.uuid] if open_ is not None else None).obj()
        return state

    def ended(self, since: date) -> list[Resource]:
        """Resources of this offering that ended since a day; one list."""
        filters = {"state": (TERMINATED,), "modified": f"{since}T00:00:00Z"}
        rows = self.lists.checked(Endpoints.MarketplaceProviderResources, filters, ResourceRow)
        return self.lists.resources_of(rows)[0]

    def _rows(self, period: Period) -> dict[Address, list[UsageRow]]:
        found: dict[Address, list[UsageRow]] = defaultdict(list)
        for raw in self.lists.checked(USAGES, {"billing_period": str(period.first)}, UsageRow):
            row = self.lists.parsed(USAGES, UsageRow, raw)
            if row.billing_period != period.first:
                raise ReadError(
                    f"GET {USAGES}: asked for {period}, got a row of {row.billing_period}",
                    "The server ignored the filter; nothing was planned.",
                )
            found[waldur.usage(row.resource_uuid, str(period), row.type)].append(row)
        return found

    def _users(self, period: Period, rows: set[str]) -> dict[str, dict[str, Decimal]]:
        """Users' amounts by row; a server that ignores the filter sends other months as well."""
        amounts: dict[str, dict[str, Decimal]] = {}
        filters = {"component_usage__billing_period": str(period.first)}
        for raw in self.lists.checked(USER_USAGES, filters, UserUsageRow) if rows else ():
            found = self.lists.parsed(USER_USAGES, UserUsageRow, raw)
            row = uuid_of(found.component_usage)
            if row in rows:
                mine = amounts.setdefault(row, {})
                name = fold(found.username)
                mine[name] = mine.get(name, Decimal(0)) + found.usage
        return amounts

    def _open(self, resource: str, rows: list[UsageRow]) -> UsageRow | None:
        """The row of the plan that the resource has now; only asked where a month has rows of several plans."""
        url = self.lists.client._build_resource_url(Endpoints.MarketplaceProviderResources, resource, "plan_periods")
        try:
            plans = self.lists.client._get(url, valid_states=[200])
        except GoneError:
            plans = []  # it is gone by now, and so is the need to set anything
        for plan in plans if isinstance(plans, list) else ():
            if isinstance(plan, Mapping) and not _ended(plan.get("end")):
                mine = {undashed(c.get("uuid")) for c in plan.get("components") or () if isinstance(c, Mapping)}
                for row in rows:
                    if row.uuid in mine:
                        return row
        return None


def _ended(moment: object) -> bool:
    if not isinstance(moment, str):
        return False
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return False
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) <= datetime.now(UTC)


def _sum(parts: Iterable[Amounts]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total
