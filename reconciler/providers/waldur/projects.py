"""The provider's projects with resources, and accounts that were made for them and their customers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.providers.waldur.errors import WaldurError
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import undashed
from reconciler.state.facts import Facts, Project
from reconciler.state.names import fold


class Projects:
    """Projects and customers, by their slugs."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def made(self, containers: Iterable[str], facts: Facts) -> frozenset[str]:
        """Those whose name is our prefix and a slug of a project or customer that the portal knows."""
        names = frozenset(containers)
        if not names:
            return names
        rows = self._rows(facts, ("uuid", "slug", "customer_slug"))
        customer, project, _ = self.lists.offering.backend_settings.prefixes
        known = {fold(project + str(r["slug"])) for r in rows if r.get("slug")}
        known |= {fold(customer + str(r["customer_slug"])) for r in rows if r.get("customer_slug")}
        return names & known

    def by_slug(self, facts: Facts) -> Mapping[str, Project]:
        """The provider's projects, by slug."""
        return {
            fold(str(r["slug"])): Project(
                str(undashed(r["uuid"])), str(r.get("name") or ""), str(r.get("customer_slug") or "")
            )
            for r in self._rows(facts, ("uuid", "slug", "name", "customer_slug"))
            if r.get("slug")
        }

    def _rows(self, facts: Facts, fields: Iterable[str]) -> list[dict[str, Any]]:
        """One list; none where the token may not see it."""
        try:
            return self.lists.client.service_provider_rows(facts.provider or self.lists.provider(), "projects", fields)
        except WaldurError as error:
            if not error.withheld:
                raise
            return []
