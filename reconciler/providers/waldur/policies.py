"""Policies of an offering."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.providers.waldur.errors import WaldurError
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import undashed


class Policies:
    """Policies that bound what may be used."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def periodic(self) -> Mapping[str, object] | None:
        """The offering's periodic usage policy; None where it has none or the server knows no policies."""
        try:
            rows = self.lists.client.periodic_usage_policies(self.lists.uuid)
        except WaldurError as error:
            if error.withheld:
                return None
            raise
        return next((r for r in rows if undashed(r.get("scope_uuid")) == self.lists.uuid), None)
