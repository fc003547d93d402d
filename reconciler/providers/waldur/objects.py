"""The portal's objects that are written: read one by one or in one list, changed one request at a time."""

from __future__ import annotations

from collections.abc import Iterable

from waldur_client import Endpoints

from reconciler.errors import GoneError
from reconciler.providers.waldur.components import Components
from reconciler.providers.waldur.imports import Imports
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import ResourceRow
from reconciler.providers.waldur.usages import Usages
from reconciler.providers.waldur.write import write
from reconciler.state import waldur
from reconciler.state.diff import Change
from reconciler.state.facts import LIVE_STATES
from reconciler.state.model import Address, Obj, State
from reconciler.state.period import Period
from reconciler.state.portal import resource_obj

# from here on one list is cheaper than one request each
MANY = 20
# kinds that are read one by one
_SINGLE = frozenset({"waldur.resource", "waldur.order", "waldur.offering_user"})


class Objects:
    """Orders, resources, offering users, components, offers of import, and months of usage."""

    def __init__(self, lists: Lists, components: Components, imports: Imports, usages: Usages) -> None:
        self.lists = lists
        self.components = components
        self.imports = imports
        self.usages = usages

    def write(self, change: Change, held: State) -> frozenset[str]:
        """Make one change; the answer names fields that the server has no place for. Raises :class:`WaldurError`."""
        known = held.get(change.address)
        return write(self.lists.client, change, (known.beside if known is not None else None) or {})

    def read(self, addresses: Iterable[Address]) -> State:
        """These objects as they are now, one request each (resources: one list where there are many)."""
        state: State = {}
        wanted = sorted(addresses)
        kinds_here = {a.kind for a in wanted}
        if "waldur.component" in kinds_here:
            state |= self.components.read()
        if "waldur.backend_resource" in kinds_here:
            state |= self.imports.offered() or {}
        for period in sorted({a.key[1] for a in wanted if a.kind == "waldur.usage"}):
            state |= self.usages.usages(Period.parse(period))
        resources = [a for a in wanted if a.kind == "waldur.resource"]
        if len(resources) > MANY:
            rows = self.lists.checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
            listed = {waldur.resource(r.uuid): r for r in self.lists.resources_of(rows)[0]}
            state |= {a: resource_obj(listed[a]) for a in resources if a in listed}
        for address in wanted:
            if address not in state and address.kind in _SINGLE and (found := self._now(address)) is not None:
                state[address] = found
        return state

    def _now(self, address: Address) -> Obj | None:
        uuid = address.key[0]
        try:
            if address.kind == "waldur.resource":
                found = self.lists.resource(uuid)
                return None if found is None else resource_obj(found)
            if address.kind == "waldur.order":
                row = self.lists.client.one(Endpoints.MarketplaceOrder, uuid, ("uuid", "state", "error_message"))
                return Obj({"state": str(row.get("state")), "error_message": str(row.get("error_message") or "")})
            row = self.lists.client.one(Endpoints.MarketplaceOfferingUsers, uuid, ("uuid", "username", "state"))
            return Obj({"username": str(row.get("username") or ""), "state": str(row.get("state") or "")})
        except GoneError:
            return None
