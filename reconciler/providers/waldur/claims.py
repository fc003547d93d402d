"""Questions about single accounts that no live resource names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from waldur_client import Endpoints

from reconciler.config import Offering
from reconciler.providers.waldur.lists import Lists, fields_of
from reconciler.providers.waldur.rows import ResourceRow, undashed
from reconciler.state.facts import TERMINATED, Claim
from reconciler.state.names import fold


class Claims:
    """What the portal says of accounts, by their names."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """Ask about each account alone, by backend_id; years of terminated resources are never read."""
        return {name: self._claim(name, offerings) for name in names}

    def _claim(self, name: str, offerings: Mapping[str, Offering]) -> Claim:
        fields = [*fields_of(ResourceRow)]
        rows = self.lists.client.rows(Endpoints.MarketplaceProviderResources, {"backend_id": name}, fields)
        mine = [r for r in rows if fold(str(r.get("backend_id") or "")) == name]
        if len(mine) < len(rows):
            return Claim("elsewhere", "Waldur ignored the filter by backend_id", offering=self.lists.offering.name)
        for row in mine:
            if row.get("state") != TERMINATED:
                text = f'resource "{row.get("name")}" in state {row.get("state")} has this account'
                return Claim("elsewhere", text, offering=self.lists.offering.name)
        for row in mine or [r for o in offerings.values() for r in self._by_slug(name, o, fields)]:
            offering = offerings.get(str(undashed(row.get("offering_uuid"))))
            if offering is not None:
                parsed = self.lists.parsed(Endpoints.MarketplaceProviderResources, ResourceRow, row)
                return _terminated(parsed, offering)
        return Claim("unknown", offering=self.lists.offering.name)

    def _by_slug(self, name: str, offering: Offering, fields: list[str]) -> list[dict[str, Any]]:
        """Ended resources whose backend_id was never set, by the slug that the account's name was made of."""
        prefix = fold(offering.backend_settings.prefixes[-1])
        slug = name.removeprefix(prefix)
        if not prefix or slug == name or not slug:
            return []
        # one page: a server that ignores the filter would send years of resources
        query: dict[str, object] = {"slug": slug, "state": TERMINATED, "offering_uuid": offering.waldur_offering_uuid}
        query |= {"field": fields, "page_size": 10}
        url = self.lists.client._build_url(Endpoints.MarketplaceProviderResources)
        rows = self.lists.client._get(url, valid_states=[200], params=query)
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            return []
        if any(fold(str(r.get("slug"))) != slug or r.get("state") != TERMINATED for r in rows):
            return []
        return [r for r in rows if not r.get("backend_id")]


def _terminated(row: ResourceRow, offering: Offering) -> Claim:
    settings = offering.backend_settings
    customer, project, _ = settings.prefixes
    parents = [fold(project + row.project_slug)] if row.project_slug else []
    if row.customer_slug and offering.customer_level:
        parents.append(fold(customer + row.customer_slug))
    text = f'resource "{row.name}" {row.uuid} of offering "{offering.name}" is {TERMINATED} in Waldur'
    return Claim("terminated", text, tuple(parents), offering.name)
