"""Accounts that are offered to Waldur for import."""

from __future__ import annotations

from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import BackendResourceRow
from reconciler.providers.waldur.write import BACKEND_RESOURCES
from reconciler.state import waldur
from reconciler.state.model import Obj, State
from reconciler.state.names import fold
from reconciler.state.portal import amounts


class Imports:
    """The list of offers."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def offered(self) -> State | None:
        """Accounts that were offered for import; None where the server knows no such thing."""
        rows = self.lists.optional(BACKEND_RESOURCES, {"offering_uuid": self.lists.uuid}, BackendResourceRow)
        if rows is None:
            return None
        return {
            waldur.backend_resource(self.lists.uuid, fold(r.backend_id)): Obj(
                {"name": r.name, "project": r.project, "limits": amounts(r.backend_metadata.get("limits") or {})}
            )
            for r in rows
            if r.offering == self.lists.uuid
        }
