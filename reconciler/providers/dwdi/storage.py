"""Space and inodes below paths. Nobody in particular used them, so no users are told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from reconciler.config import Offering
from reconciler.errors import ConfigError
from reconciler.providers.dwdi.client import Query
from reconciler.providers.dwdi.rows import BadRowError, PathRow, parsed
from reconciler.providers.dwdi.service import Components, Reading, Service, factor
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Used

_SPACE, _INODES = "spaceUsed", "inodesUsed"


class Storage(Service):
    """``storage/usage-month``."""

    name = "DWDI storage"
    lacking = "backend_id, which its path is found by"
    month_endpoint = "storage/usage-month"
    day_endpoint = "storage/usage-day"

    def __init__(self, offering: Offering) -> None:
        settings = offering.backend_settings
        self._paths = settings.storage_path_mapping
        self._of = (("filesystem", settings.storage_filesystem), ("data_type", settings.storage_data_type))
        for name in self.sourced(offering.backend_components):
            chosen = factor(offering.backend_components[name])
            if chosen < 1:
                raise ConfigError(
                    f"offering {offering.name!r}: component {name!r}: bytes and inodes are divided by unit_factor, "
                    f"and {float(chosen):g} would make them more",
                    f"Write {float(1 / chosen):g}; 1000000000 makes GB of bytes.",
                )

    def asked(self, resource: Resource) -> str:
        """The path: what the mapping says, else the resource's backend_id itself."""
        name = resource.backend_id.strip()
        return self._paths.get(name, name)

    def canonical(self, name: str) -> str:
        """A path without a slash at its end."""
        return name.rstrip("/") or name

    def query(self, period: Period, group: str) -> Query:
        """The month's figures."""
        return Query(self.month_endpoint, (("exact-month", str(period)), *self._of), "paths", "storage", "path")

    def ping(self, today: date) -> Query:
        """Today's figures."""
        return Query(self.day_endpoint, (("exact-date", today.isoformat()), *self._of), "paths", "storage", "path")

    def field(self, component: str) -> str:
        """Space or inodes, by the component's name."""
        name = component.lower()
        if "inodes" in name:
            return _INODES
        return _SPACE if name == "storage" or "space" in name else ""

    def reading(self, row: Mapping[str, Any], components: Components, period: Period, group: str) -> Reading:
        """The figures that the components need."""
        path = parsed(PathRow, row)
        total = {}
        for name, figure in self.sourced(components).items():
            value = path.figure(figure)
            if value is None:
                raise BadRowError(f"no {figure}")
            total[name] = value / factor(components[name])
        return Reading(Used(total))


class LegacyStorage(Storage):
    """The API of 2025: these words are its address, the values are parameters."""

    name = "DWDI storage (legacy API)"
    month_endpoint = "storage/usage-month/filesystem_name/data_type"
    day_endpoint = "storage/usage-day/filesystem_name/data_type"
