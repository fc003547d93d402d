"""Months: one after the other, in any time zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.state.period import Period, recent, span


@given(st.integers(2001, 2100), st.integers(1, 12), st.sampled_from(["Europe/Tallinn", "UTC", "America/Lima"]))
def test_periods_follow_each_other(year: int, month: int, zone: str) -> None:
    period = Period(year, month)
    assert Period.parse(str(period)) == period
    assert period.following.previous == period
    assert period.following.start(zone) > period.start(zone)
    assert list(span(period, period.following)) == [period, period.following]


def test_months_in_which_clocks_change() -> None:
    assert Period(2026, 10).seconds("Europe/Tallinn") == 745 * 3600
    assert Period(2026, 3).seconds("Europe/Tallinn") == 743 * 3600
    assert Period(2026, 3).seconds("UTC") == 744 * 3600


def test_which_month_it_is_depends_on_the_zone() -> None:
    moment = datetime(2026, 10, 31, 22, 30, tzinfo=UTC)
    assert Period.of(moment, "Europe/Tallinn") == Period(2026, 11)
    assert Period.of(moment, "UTC") == Period(2026, 10)
    assert recent(moment, "UTC", 3) == (Period(2026, 8), Period(2026, 9), Period(2026, 10))


@pytest.mark.parametrize("text", ["2026", "2026-13", "26-11", "2026-11-31", "november", ""])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="not a month"):
        Period.parse(text)


@pytest.mark.parametrize("text", ["0001-03", "1999-12", "1970-01-01"])
def test_months_before_there_was_any_slurm(text: str) -> None:
    with pytest.raises(ValueError, match="is before 2000-01"):
        Period.parse(text)
