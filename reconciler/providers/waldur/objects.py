"""The portal's objects that are written: read one by one or in one list, changed one request at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from waldur_client import Endpoints

from reconciler.errors import ReadError
from reconciler.providers.waldur.client import WaldurError
from reconciler.providers.waldur.rows import (
    BackendResourceRow,
    ComponentRow,
    ResourceRow,
    undashed,
)
from reconciler.providers.waldur.usages import Usages
from reconciler.providers.waldur.write import BACKEND_RESOURCES, write
from reconciler.state import kinds
from reconciler.state.diff import Change
from reconciler.state.facts import LIVE_STATES, Project
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Obj, State, Value
from reconciler.state.naming import fold
from reconciler.state.period import Period
from reconciler.state.portal import amounts, resource_values
from reconciler.state.units import plain_text

# from here on one list is cheaper than one request each
MANY = 20
# kinds that are read one by one
_SINGLE = frozenset({"waldur.resource", "waldur.order", "waldur.offering_user"})


class Objects(Usages):
    """Orders, resources, offering users, components and offers of import."""

    def write(self, change: Change) -> frozenset[str]:
        """Make one change; the answer names fields that the server has no place for. Raises :class:`WaldurError`."""
        return write(self.client, change, self.metadata.get(change.address.key[-1], {}))

    def read(self, addresses: Iterable[Address]) -> State:
        """These objects as they are now, one request each (resources: one list where there are many)."""
        state: State = {}
        wanted = sorted(addresses)
        kinds_here = {a.kind for a in wanted}
        if "waldur.component" in kinds_here:
            state |= self.components()
        if "waldur.backend_resource" in kinds_here:
            state |= self.offered() or {}
        for period in sorted({a.key[1] for a in wanted if a.kind == "waldur.usage"}):
            state |= self.usages(Period.parse(period))
        resources = [a for a in wanted if a.kind == "waldur.resource"]
        if len(resources) > MANY:
            rows = self._checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
            listed = {kinds.resource(r.uuid): r for r in self.resources_of(rows)[0]}
            state |= {a: Obj(resource_values(listed[a])) for a in resources if a in listed}
        for address in wanted:
            if address not in state and address.kind in _SINGLE and (found := self._now(address)) is not None:
                state[address] = found
        return state

    def components(self) -> State:
        """The offering's components as Waldur has them; built-in ones are Waldur's own and left out."""
        listed = self._about().get("components")
        if not isinstance(listed, list):
            raise ReadError(f"GET {Endpoints.MarketplaceProviderOffering}/{self.uuid}/: no list of components")
        state: State = {}
        for row in listed:
            if isinstance(row, dict) and not row.get("is_builtin"):
                parsed = self._parsed(Endpoints.MarketplaceProviderOffering, ComponentRow, row)
                self.metadata[parsed.type] = {"uuid": parsed.uuid}
                state[kinds.component(self.uuid, parsed.type)] = Obj(_component_values(parsed))
        return state

    def projects(self) -> Mapping[str, Project]:
        """The provider's projects with resources, by slug; none where the token may not see them."""
        try:
            provider = self._provider_uuid(str(self._about().get("customer_uuid") or ""))
            rows = self.client.service_provider_rows(provider, "projects", ("uuid", "slug", "name", "customer_slug"))
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return {}
        return {
            fold(str(r["slug"])): Project(
                str(undashed(r["uuid"])), str(r.get("name") or ""), str(r.get("customer_slug") or "")
            )
            for r in rows
            if r.get("slug")
        }

    def offered(self) -> State | None:
        """Accounts that were offered for import; None where the server knows no such thing."""
        rows = self._optional(BACKEND_RESOURCES, {"offering_uuid": self.uuid}, BackendResourceRow)
        if rows is None:
            return None
        return {
            kinds.backend_resource(self.uuid, fold(r.backend_id)): Obj(
                {"name": r.name, "project": r.project, "limits": amounts(r.backend_metadata.get("limits") or {})}
            )
            for r in rows
            if r.offering == self.uuid
        }

    def _now(self, address: Address) -> Obj | None:
        uuid = address.key[0]
        try:
            if address.kind == "waldur.resource":
                found = self._one_resource(uuid)
                return None if found is None else Obj(resource_values(found))
            if address.kind == "waldur.order":
                row = self.client.one(Endpoints.MarketplaceOrder, uuid, ("uuid", "state", "error_message"))
                return Obj({"state": str(row.get("state")), "error_message": str(row.get("error_message") or "")})
            row = self.client.one(Endpoints.MarketplaceOfferingUsers, uuid, ("uuid", "username", "state"))
            return Obj({"username": str(row.get("username") or ""), "state": str(row.get("state") or "")})
        except WaldurError as error:
            if error.status == 404:
                return None
            raise


def _component_values(row: ComponentRow) -> dict[str, Value]:
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
