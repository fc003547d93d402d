"""Money that lasts for a period: put in once, in its window, whatever clock MAM has."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.config import Runner
from reconciler.errors import ReconcileError
from reconciler.providers.moab.money import window
from reconciler.providers.moab.once import Moved, Movement
from reconciler.providers.runner import CommandRunner
from tests.moab.conftest import ACCOUNT, FUND, RESOURCE, moves, spent
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn

# ---------------------------------------------------------------------- windows


@given(st.dates(date(2020, 1, 1), date(2040, 12, 31)))
def test_windows_follow_each_other(day: date) -> None:
    for period in ("month", "year"):
        first, _, after = window(period, day).partition("/")
        assert date.fromisoformat(first) <= day < date.fromisoformat(after)
        assert window(period, date.fromisoformat(after)).startswith(f"{after}/")
    assert window("total", day) == ""


@pytest.mark.parametrize("period", ["month", "year"])
def test_money_of_a_period_is_put_in_once(site: MoabSite, portal: StandIn, period: str) -> None:
    site.settings["period"] = period
    today = date.today()
    site.do(lambda ledger: ledger.update(clock=f"{today} 12:00:00"))
    assert site("apply", "--auto-approve").code == 0
    first, _, after = window(period, today).partition("/")
    (one,) = site.ledger()["allocations"].values()
    assert (one["start"], one["end"]) == (f"{first} 00:00:00", f"{after} 00:00:00")
    assert "No changes." in site("plan").out
    portal.edit(RESOURCE, limits={"deposit": 800})
    assert site("apply", "--auto-approve").code == 0
    assert [a["allocated"] for a in site.ledger()["allocations"].values()] == [800 * books.MICRO]
    spent(site, "300")
    portal.edit(RESOURCE, limits={"deposit": 600})
    assert site("apply", "--auto-approve").code == 0
    assert site.money(ACCOUNT) == (600, 300)


def test_a_new_period_begins_with_its_own_money(site: MoabSite, portal: StandIn) -> None:
    """The money of the month before lies in a window that is over."""
    site.settings["period"] = "month"
    today = date.today()
    site.do(lambda ledger: ledger.update(clock=f"{today} 12:00:00"))
    assert site("apply", "--auto-approve").code == 0

    def a_month_ago(ledger: dict[str, Any]) -> None:
        for one in ledger["allocations"].values():
            one.update(start="2020-01-01 00:00:00", end="2020-02-01 00:00:00", amount=0)

    site.do(a_month_ago)
    assert site.money(ACCOUNT) == (0, 0)
    assert site("apply", "--auto-approve").code == 0
    assert site.money(ACCOUNT) == (500, 500)
    assert len(site.ledger()["allocations"]) == 2


@pytest.mark.parametrize("period", ["month", "total"])
def test_windows_that_overlap_are_a_persons_to_mend(applied: MoabSite, portal: StandIn, period: str) -> None:
    applied.settings["period"] = period
    if period == "total":  # by hand, somebody put in money for a year
        applied.mam("withdraw -f 1 -z 500")
        applied.mam("deposit -f 1 -z 500 -s 2026-01-01 -e 2036-01-01")
        applied.do(lambda ledger: ledger["allocations"].pop("1"))
    portal.edit(RESOURCE, limits={"deposit": 600})
    applied.forget()
    said = applied("apply", "--auto-approve")
    assert said.code == 4, said.both
    assert "it has money in" in said.out and f"{FUND} is blocked" in said.out
    assert not moves(applied)


def test_several_windows_of_one_fund(applied: MoabSite, portal: StandIn) -> None:
    applied.mam("deposit -f 1 -z 5 -s 2026-01-01 -e 2036-01-01")
    applied.forget()
    text = "it has money in 2026-01-01/2036-01-01, which overlaps with any time: none is moved"
    said = applied("apply", "--auto-approve")
    assert (said.code, text in said.out) == (0, True), said.both
    portal.order(RESOURCE, "Update", "pending-provider", limits={"deposit": 500})
    said = applied("apply", "--auto-approve")
    assert (said.code, text in said.out) == (4, True), "an order is not done on ground that is not clear"
    assert not moves(applied)


@pytest.mark.parametrize("policy", ["exact", "raise_only"])
def test_another_clock_deposits_nothing_twice(site: MoabSite, policy: str) -> None:
    """MAM's clock is still in the month before: what is put in cannot be spent yet, and is there all the same."""
    site.settings.update(period="month", funds=policy)
    site.do(lambda ledger: ledger.update(clock="2020-01-31 23:30:00"))
    site.fault("mam-deposit", 1, "after")
    assert site.process("apply", "--auto-approve").code == -9
    site.well()
    for _ in range(2):
        ran = site("apply", "--auto-approve")
        assert ran.code == 0, ran.both
    assert [a["allocated"] for a in site.ledger()["allocations"].values()] == [500 * books.MICRO]


def test_a_window_that_is_over_gets_no_money() -> None:
    """A plan of last month, or one that was made a second before midnight."""
    runner = CommandRunner(Runner())
    moved = Moved(runner, Movement("a", Decimal(0), Decimal(5), "2026-10-01/2026-11-01"), lambda: date(2026, 11, 1))
    with pytest.raises(ReconcileError, match="not the present one any more"):
        moved.before()
    assert runner.started == 0


def test_a_period_without_money_settles(site: MoabSite, portal: StandIn) -> None:
    site.settings["period"] = "month"
    site.do(lambda ledger: ledger.update(clock=f"{date.today()} 12:00:00"))
    portal.edit(RESOURCE, limits={"deposit": 0})
    assert site("apply", "--auto-approve").code == 0
    assert "No changes." in site("plan").out
    portal.edit(RESOURCE, limits={"deposit": 5})
    assert site("apply", "--auto-approve").code == 0
    portal.edit(RESOURCE, limits={"deposit": 0})
    assert site("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    assert "No changes." in site("plan").out


def test_what_was_emptied_is_in_nobodys_way(applied: MoabSite, portal: StandIn) -> None:
    """Money that lasted is taken back, and then a period is configured."""
    portal.edit(RESOURCE, limits={"deposit": 0})
    assert applied("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    applied.settings["period"] = "month"
    applied.do(lambda ledger: ledger.update(clock=f"{date.today()} 12:00:00"))
    portal.edit(RESOURCE, limits={"deposit": 300})
    for _ in range(2):
        assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT) == (300, 300)
