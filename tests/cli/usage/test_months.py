"""Months that end meanwhile, and plans that are late."""

from __future__ import annotations

from datetime import datetime

import pytest

from reconciler.config import Runner, load
from reconciler.cycle.usage import Accounting
from reconciler.errors import StalePlanError
from reconciler.plan.model import Plan
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Change
from tests.cli.usage.conftest import Jobs
from tests.cli.usage.test_sent import bodies
from tests.conftest import Program
from tests.standin.portal import StandIn, uid
from tests.usage import LAST, THIS, held, report


class Clock:
    """Moments, one after the other; the last one stays."""

    def __init__(self, *moments: str) -> None:
        self.moments = [datetime.fromisoformat(m + "+00:00") for m in moments]

    def __call__(self) -> datetime:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def accounting(site: Program, clock: Clock) -> Accounting:
    config = load(site.write())
    settings = config.offerings[0].backend_settings
    runner = CommandRunner(Runner(slurm_bin_path=settings.slurm_bin_path))
    return Accounting(config, "usage-test", config.offerings, runner, clock=clock)


def sent(portal: StandIn) -> list[tuple[str, str]]:
    return [
        (b["date"][:7], u["amount"]) for b in bodies(portal, "/set_usage/") for u in b["usages"] if u["type"] == "cpu"
    ]


def test_a_month_that_ends_during_the_read(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """What was read for October is told as October's, however late it is by then."""
    jobs.ran("a_climate-a", "alice", 3, month="2026-10")
    jobs.ran("a_climate-a", "alice", 1, month="2026-11")
    one = accounting(site, Clock("2026-10-31T23:59:59", "2026-11-01T00:00:03"))
    plan = one.plan().plan
    assert not one.apply(plan).failures
    assert sent(portal) == [("2026-10", "3.00")]
    later = accounting(site, Clock("2026-11-01T00:05:00"))
    assert not later.apply(later.plan().plan).failures
    assert sent(portal) == [("2026-10", "3.00"), ("2026-11", "1.00")]
    assert held(portal, period="2026-10") == {"cpu": "3.00"}


def test_where_the_site_s_month_begins_before_the_server_s(site: Program, portal: StandIn, jobs: Jobs) -> None:
    """A server that takes no date would put the first hours of December into November."""
    site.document["timezone"] = "Europe/Tallinn"
    jobs.ran("a_climate-a", "alice", 1, month="2026-12")
    portal.world["version"] = "7.0.7"
    portal.push()
    one = accounting(site, Clock("2026-11-30T22:30:00"))
    planned = one.plan().plan
    assert [c.address.key[1] for c in planned.changes] == []
    assert any("current month only" in n.text for n in planned.waiting)
    portal.world["version"] = "8.1"
    portal.push()
    one = accounting(site, Clock("2026-11-30T22:30:00"))
    assert [c.address.key[1] for c in one.plan().plan.changes] == ["2026-12"]


def test_a_saved_plan_is_not_told_to_another_month_of_an_older_server(
    site: Program, portal: StandIn, jobs: Jobs
) -> None:
    portal.world["version"] = "7.0.7"
    portal.push()
    jobs.ran("a_climate-a", "alice", 3, month=LAST)
    one = accounting(site, Clock(f"{LAST}-20T12:00:00"))
    plan: Plan = one.plan().plan
    changes: tuple[Change, ...] = plan.changes
    assert len(changes) == 1
    outcome = accounting(site, Clock(f"{THIS}-01T12:00:00")).apply(plan)
    assert "this Waldur knows the current month only" in next(iter(outcome.failures.values()))
    assert portal.writes() == []


def test_a_month_moved_on_while_a_person_thought(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.resource("other", slug="other", backend_id="a_other", limits={"cpu": 100})
    jobs.ran("a_climate-a", "alice", 3)
    jobs.ran("a_other", "alice", 2)
    one = accounting(site, Clock(f"{THIS}-20T12:00:00"))
    plan = one.plan().plan
    jobs.ran("a_climate-a", "alice", 5)
    report(site, "--target", f"waldur.usage[{uid('resource', 'climate-a')},*]")
    with pytest.raises(StalePlanError, match="stale"):
        one.apply(plan, saved=True)
    assert (held(portal), held(portal, "other")) == ({"cpu": "8.00"}, {})
    # of a plan that was made in this run, what moved stands still alone
    outcome = one.apply(plan)
    assert ["moved after the plan was made" in why for why in outcome.failures.values()] == [True]
    assert (held(portal), held(portal, "other")) == ({"cpu": "8.00"}, {"cpu": "2.00"})
