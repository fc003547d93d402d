"""Orders of one offering: those to be fulfilled, and what was ordered last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pydantic import ValidationError
from waldur_client import Endpoints

from reconciler.providers.waldur.lists import Lists, first_error
from reconciler.providers.waldur.rows import OrderRow
from reconciler.state import waldur
from reconciler.state.facts import CREATE, DONE, EXECUTING, PENDING_PROVIDER, UPDATE, Order
from reconciler.state.model import Note

OPEN = (PENDING_PROVIDER, EXECUTING)  # ours to work on


class Orders:
    """Lists of orders."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def pending(self) -> tuple[list[OrderRow], list[Note]]:
        """Orders to be fulfilled, and what to say of those that cannot be understood."""
        orders: list[OrderRow] = []
        bad: list[Note] = []
        for row in self.lists.checked(Endpoints.MarketplaceOrder, {"state": OPEN}, OrderRow):
            try:
                orders.append(OrderRow.model_validate(row))
            except ValidationError as error:
                text = f"{row.get('type')} order: {first_error(error)}"
                bad.append(Note(waldur.order(str(row.get("uuid") or "?")), text, self.lists.offering.name))
        return orders, bad

    def all(self) -> list[OrderRow]:
        """Every order there ever was."""
        rows = self.lists.checked(Endpoints.MarketplaceOrder, {}, OrderRow)
        return [self.lists.parsed(Endpoints.MarketplaceOrder, OrderRow, row) for row in rows]

    def ordered(self) -> dict[str, Order]:
        """The last order that was done and gave amounts, by resource: one list, asked for where a limit would fall."""
        found: dict[str, OrderRow] = {}
        for row in self.lists.checked(Endpoints.MarketplaceOrder, {"state": (DONE,)}, OrderRow):
            try:
                order = OrderRow.model_validate(row)
            except ValidationError:  # what it said is not known, and concerns its own resource alone
                continue
            known = found.get(order.marketplace_resource_uuid)
            if order.type in (CREATE, UPDATE) and order.limits and (known is None or known.created <= order.created):
                found[order.marketplace_resource_uuid] = order
        return {uuid: Order(o.uuid, o.type, o.state, uuid, o.limits, o.plan_uuid) for uuid, o in found.items()}

    def open(self) -> Mapping[str, int]:
        """How many orders wait or are underway, by state. Raises ``ReadError``."""
        filters = {"offering_uuid": self.lists.uuid, "state": OPEN}
        rows = self.lists.client.rows(Endpoints.MarketplaceOrder, filters, ["uuid", "state"])
        return Counter(str(row.get("state")) for row in rows)


def order_of(row: OrderRow) -> Order:
    """A row as a fact."""
    return Order(row.uuid, row.type, row.state, row.marketplace_resource_uuid, row.limits, row.plan_uuid)
