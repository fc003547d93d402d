"""The world of these tests."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn
from tests.usage import COMPONENTS

MEM = {"measured_unit": "GB-hours", "unit_factor": 61440, "accounting_type": "limit", "label": "RAM"}


@pytest.fixture
def used(site: Program, slurm: Slurm, portal: StandIn) -> Program:
    """Two allocations with members, as apply makes them, and nothing used yet."""
    site.document["offerings"][0]["backend_components"] = {**COMPONENTS, "mem": MEM}
    site.document["offerings"][0]["reporting_backend"] = "slurm"
    site.document["reconcile"]["usage_minutes"] = 0
    portal.resource("climate-a", backend_id="a_climate-a", limits={"cpu": 100, "mem": 1000, "gpu": 10})
    portal.resource("fusion-b", project="fusion", backend_id="a_fusion-b", limits={"cpu": 100, "mem": 10, "gpu": 1})
    portal.user("tbalice", "climate", "fusion")
    portal.user("tbbob", "climate")
    assert site("apply", "--auto-approve").code == 0
    portal.forget()
    return site
