"""Usage of months long past."""

from __future__ import annotations

from typing import Any

from tests.conftest import Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn
from tests.usage import held


def backfilled(portal: StandIn) -> list[str]:
    return sorted({u["billing_period"][:7] for u in portal.world.get("usages", [])})


def test_backfill_is_resumable_and_needs_staff(used: Program, slurm: Slurm, portal: StandIn) -> None:
    for month in ("2024-01", "2024-02", "2024-03"):
        slurm.ran("a_climate-a", "tbalice", f"{month}-10T01:00:00", f"{month}-10T03:00:00", "cpu=4,gres/gpu=1")
    span: tuple[Any, ...] = ("usage", "backfill", "--from", "2024-01", "--to", "2024-03")
    refused = used(*span)
    assert refused.code == 1
    assert "not a staff user's" in refused.both
    assert backfilled(portal) == []
    portal.world["staff"] = True
    portal.push()
    planned = used(*span, "--dry-run")
    assert planned.code == 0
    assert "2 to send" in planned.out and backfilled(portal) == []
    # one month fails: it is named, the others are done
    portal.faults({"path": "billing_period=2024-02-01", "status": 500, "times": 20, "body": "<html>broken</html>"})
    used.document["reconcile"]["http_retries"] = 0
    failed = used(*span)
    assert failed.code == 1
    assert "2024-02: failed" in failed.out
    assert backfilled(portal) == ["2024-01", "2024-03"]
    portal.faults()
    portal.forget()
    done = used(*span)
    assert done.code == 0, done.both
    assert "2024-01: already right" in done.out and "2024-02: 2 sent" in done.out
    assert held(portal, "climate-a", "2024-02") == {"cpu": "8.00", "gpu": "2.00"}


def test_backfill_honours_the_rate_limit(used: Program, slurm: Slurm, portal: StandIn) -> None:
    portal.world["staff"] = True
    portal.push()
    slurm.ran("a_climate-a", "tbalice", "2024-01-10T01:00:00", "2024-01-10T03:00:00", "cpu=4")
    portal.faults({"path": "set_usage", "status": 429, "times": 2, "headers": {"Retry-After": "1"}})
    done = used("usage", "backfill", "--from", "2024-01", "--to", "2024-01")
    assert done.code == 0, done.both
    assert held(portal, "climate-a", "2024-01") == {"cpu": "8.00"}
