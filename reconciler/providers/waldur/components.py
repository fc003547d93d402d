"""The components of an offering."""

from __future__ import annotations

from decimal import Decimal

from waldur_client import Endpoints

from reconciler.errors import ReadError
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import ComponentRow
from reconciler.state import waldur
from reconciler.state.kinds import KINDS
from reconciler.state.model import Obj, State
from reconciler.state.units import plain_text
from reconciler.state.values import Value


class Components:
    """What is billed and limited, as the offering itself lists it."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def read(self) -> State:
        """The offering's components as Waldur has them; built-in ones are Waldur's own and left out."""
        listed = self.lists.about().get("components")
        if not isinstance(listed, list):
            raise ReadError(f"GET {Endpoints.MarketplaceProviderOffering}/{self.lists.uuid}/: no list of components")
        state: State = {}
        for row in listed:
            if isinstance(row, dict) and not row.get("is_builtin"):
                parsed = self.lists.parsed(Endpoints.MarketplaceProviderOffering, ComponentRow, row)
                address = waldur.component(self.lists.uuid, parsed.type)
                state[address] = Obj(_values(parsed), beside={"uuid": parsed.uuid})
        return state


def _values(row: ComponentRow) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name in KINDS["waldur.component"].by_name:
        value = getattr(row, name)
        if isinstance(value, bool):
            values[name] = str(value).lower()
        elif isinstance(value, float):
            values[name] = plain_text(Decimal(str(value)))
        else:
            values[name] = value
    return {n: v for n, v in values.items() if n in row.model_fields_set}
