"""Questions about single accounts that no live resource names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from waldur_client import Endpoints

from reconciler.config import Offering
from reconciler.providers.waldur.client import WaldurError
from reconciler.providers.waldur.lists import Lists, fields_of
from reconciler.providers.waldur.rows import (
    ResourceRow,
    undashed,
)
from reconciler.state.facts import TERMINATED, Claim
from reconciler.state.naming import fold

OPEN = ("pending-provider", "executing")  # orders that are ours to work on


class Questions(Lists):
    """What the portal says of accounts, by their names."""

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """Ask about each account alone, by backend_id; years of terminated resources are never read."""
        return {name: self._claim(name, offerings) for name in names}

    def _claim(self, name: str, offerings: Mapping[str, Offering]) -> Claim:
        fields = [*fields_of(ResourceRow)]
        rows = self.client.rows(Endpoints.MarketplaceProviderResources, {"backend_id": name}, fields)
        mine = [r for r in rows if fold(str(r.get("backend_id") or "")) == name]
        if len(mine) < len(rows):
            return Claim("elsewhere", "Waldur ignored the filter by backend_id", offering=self.offering.name)
        for row in mine:
            if row.get("state") != TERMINATED:
                text = f'resource "{row.get("name")}" in state {row.get("state")} has this account'
                return Claim("elsewhere", text, offering=self.offering.name)
        for row in mine or [r for o in offerings.values() for r in self._by_slug(name, o, fields)]:
            offering = offerings.get(str(undashed(row.get("offering_uuid"))))
            if offering is not None:
                parsed = self._parsed(Endpoints.MarketplaceProviderResources, ResourceRow, row)
                return _terminated(parsed, offering)
        return Claim("unknown", offering=self.offering.name)

    def _by_slug(self, name: str, offering: Offering, fields: list[str]) -> list[dict[str, Any]]:
        """Ended resources whose backend_id was never set, by the slug that the account's name was made of."""
        prefix = fold(offering.backend_settings.prefixes[-1])
        slug = name.removeprefix(prefix)
        if not prefix or slug == name or not slug:
            return []
        # one page: a server that ignores the filter would send years of resources
        query: dict[str, object] = {"slug": slug, "state": TERMINATED, "offering_uuid": offering.waldur_offering_uuid}
        query |= {"field": fields, "page_size": 10}
        url = self.client._build_url(Endpoints.MarketplaceProviderResources)
        rows = self.client._get(url, valid_states=[200], params=query)
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            return []
        if any(fold(str(r.get("slug"))) != slug or r.get("state") != TERMINATED for r in rows):
            return []
        return [r for r in rows if not r.get("backend_id")]

    def made(self, containers: Iterable[str]) -> frozenset[str]:
        """Those whose name is our prefix and a slug of a project or customer that the portal knows."""
        names = frozenset(containers)
        if not names:
            return names
        fields = ("uuid", "slug", "customer_slug")
        try:
            provider = self._provider_uuid(str(self._about().get("customer_uuid") or ""))
            rows = self.client.service_provider_rows(provider, "projects", fields)
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return frozenset()
        customer, project, _ = self.offering.backend_settings.prefixes
        known = {fold(project + str(r["slug"])) for r in rows if r.get("slug")}
        known |= {fold(customer + str(r["customer_slug"])) for r in rows if r.get("customer_slug")}
        return names & known

    def ping(self) -> str:
        """Who the token is, and the offering's name there. Raises :class:`WaldurError`."""
        url = self.client._build_url("users/me")
        me = self.client._get(url, valid_states=[200], params={"field": ["username", "is_staff"]})
        if not isinstance(me, dict):
            raise WaldurError(f"GET {url}", 200, f"expected an object, found {str(me)[:200]}")
        staff = ", staff" if me.get("is_staff") is True else ""
        return f"offering {self._about().get('name')!r} as user {me.get('username')!r}{staff}"

    def ask_members(self) -> None:
        """Ask for one row of the members of all projects. Raises :class:`WaldurError`, 403 without the role."""
        provider = self._provider_uuid(str(self._about().get("customer_uuid") or ""))
        endpoint = f"{Endpoints.MarketplaceServiceProviders}/{provider}/project_permissions"
        url = self.client._build_url(endpoint)
        self.client._get(url, valid_states=[200], params={"page_size": 1, "field": ["role"]})

    def open_orders(self) -> Mapping[str, int]:
        """How many orders wait or are underway, by state. Raises ``ReadError``."""
        filters = {"offering_uuid": self.uuid, "state": OPEN}
        rows = self.client.rows(Endpoints.MarketplaceOrder, filters, ["uuid", "state"])
        return Counter(str(row.get("state")) for row in rows)

    def policy(self) -> Mapping[str, object] | None:
        """The offering's periodic usage policy; None where it has none or the server knows no policies."""
        try:
            rows = self.client.periodic_usage_policies(self.uuid)
        except WaldurError as error:
            if error.status in (403, 404):
                return None
            raise
        return next((r for r in rows if undashed(r.get("scope_uuid")) == self.uuid), None)


def _terminated(row: ResourceRow, offering: Offering) -> Claim:
    settings = offering.backend_settings
    customer, project, _ = settings.prefixes
    parents = [fold(project + row.project_slug)] if row.project_slug else []
    if row.customer_slug and not settings.parent_account:
        parents.append(fold(customer + row.customer_slug))
    text = f'resource "{row.name}" {row.uuid} of offering "{offering.name}" is {TERMINATED} in Waldur'
    return Claim("terminated", text, tuple(parents), offering.name)
