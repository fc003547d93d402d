"""Usage that a portal holds, and the report of a site; months as they are now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.conftest import Program
from tests.standin.portal import StandIn, uid

NOW = datetime.now(UTC)
THIS = f"{NOW:%Y-%m}"
LAST = f"{NOW.year - (NOW.month == 1)}-{(NOW.month - 2) % 12 + 1:02d}"
COMPONENTS: dict[str, Any] = {
    "cpu": {"measured_unit": "CPU-hours", "unit_factor": 60, "accounting_type": "limit", "label": "CPU"},
    "gpu": {
        "measured_unit": "GPU-hours",
        "accounting_type": "usage",
        "label": "GPU",
        "target_components": {"gres/gpu": {"factor": 60}},
    },
}


def held(portal: StandIn, name: str = "climate-a", period: str = THIS) -> dict[str, str]:
    """Totals of a resource by component, of all its plans."""
    found: dict[str, str] = {}
    for usage in portal.world.get("usages", []):
        if usage["resource_uuid"] == uid("resource", name) and usage["billing_period"] == f"{period}-01":
            found[usage["type"]] = f"{float(found.get(usage['type'], 0)) + float(usage['usage']):.2f}"
    return found


def users(portal: StandIn, component: str, name: str = "climate-a", period: str = THIS) -> dict[str, str]:
    """What each user has of it."""
    rows = [
        u
        for u in portal.world["usages"]
        if (u["resource_uuid"], u["type"], u["billing_period"]) == (uid("resource", name), component, f"{period}-01")
    ]
    return {k: v for u in rows for k, v in u["users"].items()}


def report(site: Program, *arguments: str, code: int = 0) -> str:
    ran = site("usage", "report", "--auto-approve", *arguments)
    assert ran.code == code, ran.both
    return ran.both
