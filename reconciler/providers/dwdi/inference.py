"""What inference cost, by resource. Amounts are priced already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from reconciler.providers.dwdi.client import Query
from reconciler.providers.dwdi.rows import BadRowError, CostRow, parsed
from reconciler.providers.dwdi.service import Components, Reading, Service, factor, month
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Used

_COST = "totalCost"


class Inference(Service):
    """``inference/resource/cost``."""

    name = "DWDI inference"
    lacking = "uuid"

    def asked(self, resource: Resource) -> str:
        """The resource's uuid; where its backend_id is the same uuid, as that spells it."""
        name = resource.backend_id.strip()
        return name if name and self.canonical(name) == self.canonical(resource.uuid) else resource.uuid

    def canonical(self, name: str) -> str:
        """A uuid without dashes."""
        return name.replace("-", "").lower()

    def query(self, period: Period, group: str) -> Query:
        """The month's cost."""
        return Query("inference/resource/cost", month(period), "resource_uuid", "inference", "waldurResourceUuid")

    def ping(self, today: date) -> Query:
        """This month's cost."""
        return self.query(Period(today.year, today.month), "")

    def field(self, component: str) -> str:
        """The cost, for ``token_cost``."""
        return _COST if component.lower() == "token_cost" else ""

    def reading(self, row: Mapping[str, Any], components: Components, period: Period, group: str) -> Reading:
        """The cost."""
        cost = parsed(CostRow, row)
        total = {}
        for name in self.sourced(components):
            value = cost.figure(_COST)
            if value is None:
                raise BadRowError(f"no {_COST}")
            total[name] = value / factor(components[name])
        return Reading(Used(total))
