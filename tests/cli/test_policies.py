"""Periodic usage policies of a portal, over real HTTP: what is read, compared, and never loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program
from tests.emulator import Emulator, emulated
from tests.standin.portal import StandIn, uid

HOURS = {"measured_unit": "Hours", "unit_factor": 60, "accounting_type": "limit", "label": "CPU"}


@pytest.fixture
def site(portal: StandIn, tmp_path: Path) -> Program:
    program = emulated(Emulator(tmp_path), portal, tmp_path)
    backends = {"order_processing_backend": "slurm", "membership_sync_backend": "slurm", "reporting_backend": ""}
    program.document["offerings"][0] |= {**backends, "backend_components": {"cpu": dict(HOURS)}}
    portal.resource("one", backend_id="a_one", limits={"cpu": 1000})
    portal.world["policies"] = [{}]
    portal.push()
    return program


def commands(portal: StandIn, **numbers: Any) -> None:
    """What Waldur told agents today, as recorded."""
    share, limits = numbers.pop("fairshare"), numbers
    rows = [
        ("limits", {"account": "a_one", "limits": limits, "limit_type": "GrpTRESMins"}),
        ("fairshare", {"account": "a_one", "fairshare": share}),
    ]
    portal.world["command_history"] = [
        {"uuid": uid("command", kind), "command_type": kind, "parameters": about, "executed_at": "2099-01-01T00:00:00Z"}
        for kind, about in rows
    ]
    portal.push()


def test_what_waldur_itself_reckoned_is_compared(site: Program, portal: StandIn) -> None:
    """Nothing used last month: 1500 hours with 20 % of grace, as the worked example has it."""
    commands(portal, cpu=108000, billing=1687, fairshare=500)
    assert "Waldur itself reckoned" not in site("plan").out
    commands(portal, cpu=93600, billing=1461, fairshare=433)
    said = site("plan").out
    assert "cpu 93600 (here 108000)" in said and "fairshare 433 (here 500)" in said
    assert "the usage of" in said and "changed since" in said
    commands(portal, cpu=108000, gpu=600, billing=1687, fairshare=500)
    assert "gpu 600 (here nothing)" in site("plan").out


def test_a_history_that_cannot_be_read_is_nobodys_hindrance(site: Program, portal: StandIn) -> None:
    portal.world["command_history"] = [{"uuid": 5, "executed_at": "never", "parameters": "odd"}]
    portal.push()
    done = site("plan")
    assert done.code == 0 and "108000" in done.out, done.both


def test_the_longer_periods_are_read_with_one_list(site: Program, portal: StandIn) -> None:
    """Components of a limit_period of their own win over the policy's month."""
    portal.world["offering"]["components"] = [{"type": "cpu", "billing_type": "limit", "limit_period": "annual"}]
    last = int(site_year()) - 1
    for month, amount in (("02", 100), ("07", 250)):
        portal.world.setdefault("usages", []).append(
            {"uuid": uid("usage", month), "resource_uuid": uid("resource", "one"), "type": "cpu",
             "billing_period": f"{last}-{month}-01", "usage": str(amount)}
        )  # fmt: skip
    portal.push()
    portal.forget()
    assert "+ 500 carried over" in site("plan").out
    lists = [r for r in portal.log() if r["path"].endswith("/marketplace-component-usages/")]
    assert len(lists) == 1 and f"billing_period_year={last}" in lists[0]["query"]


def site_year() -> str:
    from datetime import UTC, datetime

    return str(datetime.now(UTC).year)


def test_limits_that_are_read_back_do_not_grow(site: Program, portal: StandIn) -> None:
    """(1 + grace)^n: the agents' two writers feed each other where the cluster owns limits."""
    site.document["reconcile"]["limits_owner"] = "cluster"
    for _ in range(3):
        assert site("apply", "--auto-approve").code == 0
    assert portal.world["resources"][0]["limits"] == {"cpu": 1000}
    assert "No changes" in site("plan").out
    assert "108000" in site("diagnose", "a_one").out


def test_a_server_without_policies_and_a_token_that_may_not_read_them(site: Program, portal: StandIn) -> None:
    portal.world["policies_denied"] = True
    portal.push()
    done = site("plan")
    assert "whether it has a periodic usage policy is not known" in done.out and '"cpu": 60000' in done.out, done.both
    portal.world["version"] = "7.0.7"
    portal.push()
    assert "No account has periodic limits." in site("limits", "show").out


def test_several_policies_leave_limits_as_they_are(site: Program, portal: StandIn) -> None:
    portal.world["policies"] = [{}, {"uuid": uid("policy", "other")}]
    portal.push()
    done = site("plan")
    assert done.code == 0 and "several policies" in done.out and "left as they are" in done.out, done.both
