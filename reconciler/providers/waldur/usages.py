"""What a portal holds of usage, and how it is told: one row per resource, component, month and plan.

Facts about the server: ``set_usage`` replaces the rows of the components it names and the resource's
``current_usages`` as a whole, so all components of a resource are sent together; ``usage`` comes as a decimal
text; a resource that changed its plan within a month has one row per plan, and only the open plan's can be set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from waldur_client import Endpoints

from reconciler.config import Offering
from reconciler.errors import ReadError
from reconciler.providers.waldur.client import AbsentError, ReconcileClient, WaldurError
from reconciler.providers.waldur.lists import Lists, fields_of, uuid_of
from reconciler.providers.waldur.rows import OfferingUserRow, ResourceRow, UsageRow, UserUsageRow, undashed
from reconciler.state import kinds
from reconciler.state.facts import TERMINATED, Resource
from reconciler.state.model import Address, Obj, State, Value
from reconciler.state.naming import fold
from reconciler.state.period import Period

USAGES, USER_USAGES = "marketplace-component-usages", "marketplace-component-user-usages"
_CENT = Decimal("0.01")


@dataclass
class Held:
    """One component of a resource in one month: the row that can be set, and what rows of former plans hold."""

    row: str = ""
    amount: Decimal = Decimal(0)
    users: dict[str, Decimal] = field(default_factory=dict)
    former: Decimal = Decimal(0)
    former_users: dict[str, Decimal] = field(default_factory=dict)
    plans: tuple[Decimal, ...] = ()

    def obj(self) -> Obj:
        """As an object; the rows of all plans together."""
        names = sorted(self.users.keys() | self.former_users.keys())
        nothing = Decimal(0)
        users = {n: self.users.get(n, nothing) + self.former_users.get(n, nothing) for n in names}
        values: dict[str, Value] = {
            "total": text(self.amount + self.former),
            "users": {n: text(a) for n, a in users.items()},
        }
        return Obj(values | {"plans": ",".join(map(text, self.plans))} if len(self.plans) > 1 else values)


def text(amount: Decimal) -> str:
    """An amount in Waldur's spelling."""
    return str(amount.quantize(_CENT))


class Usages(Lists):
    """Usage of one offering's resources."""

    def __init__(self, offering: Offering, client: ReconcileClient) -> None:
        super().__init__(offering, client)
        self._known: dict[Address, Held] = {}
        self._staff: bool | None = None
        self._users_of: dict[str, dict[str, Decimal]] = {}  # by row

    def usages(self, period: Period, *, users: bool = True) -> State:
        """What the portal holds of a month: one list of rows, and (if asked) one of users' rows."""
        rows = self._usage_rows(period)
        if users:
            self._read_users(period, {row.uuid for group in rows.values() for row in group})
        held: dict[Address, Held] = defaultdict(Held)
        for address, group in rows.items():
            open_ = group[0] if len(group) == 1 else self._open(address.key[0], group)
            one = held[address]
            one.plans = tuple(row.usage for row in group)
            for row in group:
                people = self._users_of.get(row.uuid, {})
                if row is open_:
                    one.row, one.amount, one.users = row.uuid, row.usage, dict(people)
                else:
                    one.former += row.usage
                    one.former_users = {
                        n: one.former_users.get(n, Decimal(0)) + people.get(n, Decimal(0))
                        for n in one.former_users.keys() | people.keys()
                    }
        self._known = {a: h for a, h in self._known.items() if a.key[1] != str(period)} | held
        return {address: one.obj() for address, one in held.items()}

    def ended(self, since: date) -> list[Resource]:
        """Resources of this offering that ended since a day; one list."""
        filters = {"state": (TERMINATED,), "modified": f"{since}T00:00:00Z"}
        rows = self._checked(Endpoints.MarketplaceProviderResources, filters, ResourceRow)
        return self.resources_of(rows)[0]

    def staff(self) -> bool:
        """Whether the token is a staff user's, who may set any month."""
        if self._staff is None:
            self._staff = self._is_staff()
        return self._staff

    def _is_staff(self) -> bool:
        me = self.client._get(self.client._build_url("users/me"), valid_states=[200], params={"field": ["is_staff"]})
        return isinstance(me, Mapping) and me.get("is_staff") is True

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Set totals of a resource's components in a month. Raises :class:`WaldurError`; nothing is set then.

        The other components that it has in that month are sent along as they are.
        """
        if period != Period.of(datetime.now(UTC), "UTC") and not self._takes_dates():
            raise ReadError(f"usage of {period} was not sent: this Waldur knows the current month only")
        for address, held in self._known.items():
            if address.key[:2] == (resource, str(period)) and held.row:
                totals = {address.key[2]: text(held.amount + held.former), **totals}
        body: dict[str, Any] = {
            "resource": resource,
            "usages": [
                {"type": n, "amount": text(self._own(kinds.usage(resource, str(period), n), Decimal(t)))}
                for n, t in sorted(totals.items())
            ],
            # without a zone it is the first day in the server's own
            "date": f"{period.first}T00:00:00",
        }
        self.client._post(self.client._build_url(f"{USAGES}/set_usage"), valid_states=[200, 201], json=body)

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Set users' amounts of a component, by name. Its row must have been read.

        One request for all of them; one each where the server knows no such action.
        """
        held = self._known.get(address)
        if held is None or not held.row:
            raise ReadError(f"{address}: Waldur has no usage of it, so none of its users can be set")
        people = self._people()
        usages = []
        for name, amount in sorted(users.items()):
            own = max(Decimal(amount) - held.former_users.get(name, Decimal(0)), Decimal(0))
            spelled, uuid = people.get(name, (name, ""))
            item = {"username": spelled, "usage": text(own)}
            if uuid:  # null is refused
                item["user"] = self.client._build_resource_url(Endpoints.MarketplaceOfferingUsers, uuid)
            usages.append(item)
        try:
            self.client.action(USAGES, held.row, "set_user_usages", {"usages": usages}, valid=(200, 201))
        except AbsentError:
            for item in usages:
                self.client.action(USAGES, held.row, "set_user_usage", item, valid=(200, 201))

    # ------------------------------------------------------------------ rows

    def _people(self) -> Mapping[str, tuple[str, str]]:
        """Offering users by name: how Waldur spells it, and the uuid."""
        if self.people is None:
            fields = fields_of(OfferingUserRow)
            rows = self.client.rows(Endpoints.MarketplaceOfferingUsers, {"offering_uuid": self.uuid}, fields)
            parsed = [self._parsed(Endpoints.MarketplaceOfferingUsers, OfferingUserRow, row) for row in rows]
            self.people = {fold(r.username): (r.username, r.uuid) for r in parsed if r.username}
        return self.people

    def _own(self, address: Address, total: Decimal) -> Decimal:
        """What the open plan's row has to say for the sum of all plans' rows to be the total."""
        held = self._known.get(address)
        return max(total - held.former, Decimal(0)) if held is not None else total

    def _usage_rows(self, period: Period) -> dict[Address, list[UsageRow]]:
        found: dict[Address, list[UsageRow]] = defaultdict(list)
        for raw in self._checked(USAGES, {"billing_period": str(period.first)}, UsageRow):
            row = self._parsed(USAGES, UsageRow, raw)
            if row.billing_period != period.first:
                raise ReadError(
                    f"GET {USAGES}: asked for {period}, got a row of {row.billing_period}",
                    "The server ignored the filter; nothing was planned.",
                )
            found[kinds.usage(row.resource_uuid, str(period), row.type)].append(row)
        return found

    def _read_users(self, period: Period, rows: set[str]) -> None:
        """Users' amounts by row; a server that ignores the filter sends other months as well."""
        self._users_of = {r: a for r, a in self._users_of.items() if r not in rows}
        filters = {"component_usage__billing_period": str(period.first)}
        for raw in self._checked(USER_USAGES, filters, UserUsageRow) if rows else ():
            found = self._parsed(USER_USAGES, UserUsageRow, raw)
            row = uuid_of(found.component_usage)
            if row in rows:
                amounts = self._users_of.setdefault(row, {})
                name = fold(found.username)
                amounts[name] = amounts.get(name, Decimal(0)) + found.usage

    def _takes_dates(self) -> bool:
        """Whether this server lets a month be named; older ones ignore it and set the current one."""
        if self.dated is None:
            query = {"offering_uuid": self.uuid, "field": ["uuid", "last_sync"], "page_size": 1}
            url = self.client._build_url(Endpoints.MarketplaceProviderResources)
            rows = self.client._get(url, valid_states=[200], params=query)
            self.dated = isinstance(rows, list) and any("last_sync" in r for r in rows if isinstance(r, Mapping))
        return self.dated

    def _open(self, resource: str, rows: list[UsageRow]) -> UsageRow | None:
        """The row of the plan that the resource has now; only asked where a month has rows of several plans."""
        url = self.client._build_resource_url(Endpoints.MarketplaceProviderResources, resource, "plan_periods")
        try:
            plans = self.client._get(url, valid_states=[200])
        except WaldurError as error:
            if error.status != 404:
                raise
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
