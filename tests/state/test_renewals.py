"""Counters that begin anew with a period: what is blocked, what goes on, and what is never taken back. Pure."""

from __future__ import annotations

from reconciler.config import Guards
from reconciler.cycle.inverse import inverse
from reconciler.cycle.periodic import renewed
from reconciler.guards.budgets import below_used
from reconciler.guards.renewals import late
from reconciler.providers.slurm import kinds
from reconciler.state.diff import Action, Change, diff
from reconciler.state.model import Desired, Obj
from reconciler.state.values import IfKnown, OneOf, Unless, Value
from reconciler.store.journal import Entry

A = kinds.account("a")
BEFORE: dict[str, Value] = {"fairshare": 1, "grp_tres_mins": {"cpu": 1500}, "usage_period": "2026-10"}
AFTER: dict[str, Value] = {"fairshare": 5, "grp_tres_mins": {"cpu": 1000}, "usage_period": "2026-11"}
CHANGE = Change(A, Action.UPDATE, BEFORE, AFTER)


def forgiving(used: int, limit: int | None = 1000) -> Desired:
    return Desired(forgiven={A: {"cpu": (used, limit)}})


def test_a_little_of_the_new_period_is_forgiven_without_a_word() -> None:
    assert late([CHANGE], forgiving(50), Guards()) == [CHANGE]


def test_more_is_blocked_with_the_amount_and_all_else_goes_on() -> None:
    live, blocked = late([CHANGE], forgiving(51), Guards())
    assert live.changed() == ("fairshare", "grp_tres_mins") and not live.blocked
    assert blocked.changed() == ("usage_period",) and "51 minutes of cpu (of 1000)" in blocked.blocked
    assert late([CHANGE], forgiving(51), Guards(), frozenset({"late_reset"})) == [CHANGE]
    assert late([CHANGE], forgiving(51), Guards(late_reset=0.5)) == [CHANGE]


def test_of_what_has_no_limit_nothing_is_forgiven_unasked() -> None:
    assert len(late([CHANGE], forgiving(1, None), Guards())) == 2


def test_a_limit_below_what_was_used_is_no_cut_where_the_counters_begin_anew() -> None:
    """1200 were used of October's 1500: November's 1000 stop nobody, as the counters are 0 then."""
    used = {"a": {"cpu": 1200}}
    guards = Guards(prevent_downgrade=True)
    assert below_used([CHANGE], used, guards).changes == [CHANGE]
    stays = Change(A, Action.UPDATE, {**BEFORE, "usage_period": "2026-11"}, AFTER)
    assert below_used([stays], used, guards).changes[0].blocked


def test_a_rollback_never_resets_counters_again() -> None:
    entry = Entry("r", str(A), "update", BEFORE, AFTER, "", "", "", "done", "", 0.0)
    found = inverse([entry], {A: Obj({**AFTER, "usage_period": None})}, "run")
    assert "usage_period" not in found.objects[A].values
    assert found.objects[A].values["fairshare"] == 1


def test_a_period_that_nobody_knows_is_no_difference() -> None:
    wanted = Desired({A: Obj({"usage_period": IfKnown("2026-11")})})
    assert diff(wanted, {A: Obj({})}) == []
    assert diff(wanted, {A: Obj({"usage_period": "2026-11"})}) == []
    (change,) = diff(wanted, {A: Obj({"usage_period": "earlier"})})
    assert change.after == {"usage_period": "2026-11"} and renewed([change]) == {"a": "2026-11"}
    assert diff(wanted, {})[0].after == {}, "a new account has nothing to reset"


def test_what_is_stricter_than_wanted_stays() -> None:
    strict = OneOf(Unless("normal", frozenset({"paused", "slow"})), frozenset({"paused", "slow"}))
    assert strict.accepts("paused") and strict.accepts("other") and strict.target("x") == "normal"
