"""How a portal is told of usage: totals of a resource in one request, users of a component in another.

Facts about the server: ``set_usage`` replaces the rows of the components it names and the resource's
``current_usages`` as a whole, so all components of a resource are sent together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from waldur_client import Endpoints

from reconciler.errors import ReadError
from reconciler.providers.waldur.errors import AbsentError
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.people import People
from reconciler.providers.waldur.usages import USAGES, Held, Usages, held_of, text
from reconciler.state.facts import Facts, OfferingUser
from reconciler.state.model import Address, State
from reconciler.state.names import fold
from reconciler.state.period import Period


class UsageWriter:
    """Writes usage in one apply. ``facts`` and ``held`` as they were told to its plan; None where it was saved."""

    def __init__(self, lists: Lists, usages: Usages, people: People, facts: Facts | None, held: State) -> None:
        self.lists = lists
        self._usages = usages
        self._of_offering = people
        self._dated = facts.takes_states if facts is not None else None
        self._people = _by_name(facts.offering_users) if facts is not None else None
        #: by resource and month, then by component
        self._known: dict[tuple[str, str], dict[str, Held]] = defaultdict(dict)
        self._keep(held)

    def usages(self, period: Period, *, users: bool) -> State:
        """A month as it is now; without ``users`` theirs are as they were told before. Raises ``ReadError``."""
        month = str(period)
        here = [self._known[key] for key in self._known if key[1] == month]
        users_of = {row.uuid: row.users for one in here for held in one.values() for row in held.rows}
        state = self._usages.usages(period, None if users else users_of)
        for key in [key for key in self._known if key[1] == month]:
            del self._known[key]
        self._keep(state)
        return state

    def _keep(self, state: State) -> None:
        for address, obj in state.items():
            if (held := held_of(obj)) is not None:
                resource, month, component = address.key
                self._known[resource, month][component] = held

    def set_usage(self, resource: str, period: Period, totals: Mapping[str, str]) -> None:
        """Set totals of a resource's components in a month. Raises :class:`WaldurError`; nothing is set then.

        The other components that it has in that month are sent along as they are.
        """
        if period != Period.of(datetime.now(UTC), "UTC") and not self._takes_dates():
            raise ReadError(f"usage of {period} was not sent: this Waldur knows the current month only")
        known = self._known.get((resource, str(period)), {})
        others = {n: text(held.total) for n, held in known.items() if held.open is not None}
        body: dict[str, Any] = {
            "resource": resource,
            "usages": [
                {"type": n, "amount": text(_own(known.get(n), Decimal(t)))}
                for n, t in sorted({**others, **totals}.items())
            ],
            # without a zone it is the first day in the server's own
            "date": f"{period.first}T00:00:00",
        }
        client = self.lists.client
        client._post(client._build_url(f"{USAGES}/set_usage"), valid_states=[200, 201], json=body)

    def set_user_usages(self, address: Address, users: Mapping[str, str]) -> None:
        """Set users' amounts of a component, by name. Its row must have been read.

        One request for all of them; one each where the server knows no such action.
        """
        resource, month, component = address.key
        held = self._known.get((resource, month), {}).get(component)
        if held is None or held.open is None:
            raise ReadError(f"{address}: Waldur has no usage of it, so none of its users can be set")
        client, people, former = self.lists.client, self._named(), held.former_users
        usages = []
        for name, amount in sorted(users.items()):
            own = max(Decimal(amount) - former.get(name, Decimal(0)), Decimal(0))
            person = people.get(name)
            item = {"username": person.username if person is not None else name, "usage": text(own)}
            if person is not None and person.uuid:  # null is refused
                item["user"] = client._build_resource_url(Endpoints.MarketplaceOfferingUsers, person.uuid)
            usages.append(item)
        try:
            client.action(USAGES, held.open.uuid, "set_user_usages", {"usages": usages}, valid=(200, 201))
        except AbsentError:
            for item in usages:
                client.action(USAGES, held.open.uuid, "set_user_usage", item, valid=(200, 201))

    # ------------------------------------------------------------------ what the apply was not told

    def _named(self) -> Mapping[str, OfferingUser]:
        """Offering users by name."""
        if self._people is None:
            self._people = _by_name(self._of_offering.named())
        return self._people

    def _takes_dates(self) -> bool:
        """Whether this server lets a month be named; older ones ignore it and set the current one."""
        if self._dated is None:
            query = {"offering_uuid": self.lists.uuid, "field": ["uuid", "last_sync"], "page_size": 1}
            url = self.lists.client._build_url(Endpoints.MarketplaceProviderResources)
            rows = self.lists.client._get(url, valid_states=[200], params=query)
            self._dated = isinstance(rows, list) and any("last_sync" in r for r in rows if isinstance(r, Mapping))
        return self._dated


def _by_name(people: Iterable[OfferingUser]) -> dict[str, OfferingUser]:
    return {fold(one.username): one for one in people if one.username}


def _own(held: Held | None, total: Decimal) -> Decimal:
    """What the open plan's row has to say for the sum of all plans' rows to be the total."""
    return max(total - held.former, Decimal(0)) if held is not None else total
