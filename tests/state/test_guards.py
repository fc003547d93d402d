"""Deletions and what hangs on them: nothing is taken along that the plan does not remove itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.config import Guards
from reconciler.guards.dependents import propagate
from reconciler.guards.jobs import Activity
from reconciler.guards.readings import Read, refusals
from reconciler.providers.slurm import defaults, kinds
from reconciler.state.diff import Action, Change, diff
from reconciler.state.facts import Claim
from reconciler.state.kinds import KINDS, Kind, Role, declare
from reconciler.state.managed import Level, Managed, Policy
from reconciler.state.model import Address, Desired, Obj, State
from tests.pure import ownership, screen


def accounts(**parents: str) -> State:
    state: State = {kinds.account("root"): Obj({"parent": ""})}
    state.update({kinds.account(name): Obj({"parent": parent}) for name, parent in parents.items()})
    return state


def gone(*addresses: Address) -> list[Change]:
    return [Change(a, Action.DELETE, {}, None) for a in addresses]


def screened(
    changes: list[Change], actual: State, activity: Activity | None = None, **guards: object
) -> dict[str, str]:
    settings = Guards.model_validate(guards)
    found = propagate(screen(changes, actual, activity, settings).changes, actual, defaults.settle)
    return {str(c.address): c.blocked for c in found}


def test_nothing_hangs_on_a_deleted_account_at_any_depth() -> None:
    actual = accounts(k1="root", k2="k1", k3="k2", staff="k3")
    blocked = screened(gone(*(kinds.account(n) for n in ("k1", "k2", "k3"))), actual)
    assert all(blocked.values()), blocked
    without = {a: o for a, o in actual.items() if a != kinds.account("staff")}
    assert not any(screened(gone(*(kinds.account(n) for n in ("k1", "k2", "k3"))), without).values())


def test_a_blocked_move_keeps_the_old_parent() -> None:
    actual = accounts(c_old="root", p="c_old")
    move = Change(kinds.account("p"), Action.UPDATE, {"parent": "c_old"}, {"parent": "c_new"})
    blocked = screened([move, *gone(kinds.account("c_old"))], actual)
    assert "c_new" in blocked[str(kinds.account("p"))]
    assert "would go along" in blocked[str(kinds.account("c_old"))]


def test_a_protected_member_keeps_the_account() -> None:
    actual = accounts(a="root")
    member = kinds.association("a", "svc_backup")
    actual[member] = Obj({})
    blocked = screened(gone(kinds.account("a"), member), actual, protected=("root", "svc_*"))
    assert all(blocked.values())


def test_a_default_account_that_cannot_be_moved_keeps_its_association() -> None:
    actual = accounts(a="root", b="root")
    for name in ("a", "b"):
        actual[kinds.association(name, "ann")] = Obj({})
    actual[kinds.user("ann")] = Obj({"default_account": "a"})
    move = Change(kinds.user("ann"), Action.UPDATE, {"default_account": "a"}, {"default_account": "nosuch"})
    blocked = screened([move, *gone(kinds.association("a", "ann"))], actual)
    assert all(blocked.values())


def test_a_needless_move_of_a_default_account_is_withdrawn() -> None:
    actual = accounts(a="root", b="root", child="a")
    actual[kinds.association("a", "ann")] = Obj({})
    actual[kinds.user("ann")] = Obj({"default_account": "a"})
    move = Change(kinds.user("ann"), Action.UPDATE, {"default_account": "a"}, {"default_account": "b"})
    found = screened([move, *gone(kinds.account("a"), kinds.association("a", "ann"))], actual)
    assert set(found) == {str(kinds.account("a")), str(kinds.association("a", "ann"))}
    assert all(found.values())


def test_members_of_an_ending_account_with_jobs_are_drained() -> None:
    """Without consent no job is cancelled, and nobody submits another one."""
    actual = accounts(a="root")
    for name in ("ann", "bob"):
        actual[kinds.association("a", name)] = Obj({"max_submit_jobs": None})
    changes = gone(kinds.account("a"), kinds.association("a", "ann"), kinds.association("a", "bob"))
    found = screen(changes, actual, Activity(jobs={("a", "ann"): ("7", "8")}), Guards()).changes
    told = {c.address: (c.action, bool(c.blocked), c.jobs) for c in found}
    assert told[kinds.account("a")] == (Action.DELETE, True, ())
    assert told[kinds.association("a", "ann")] == (Action.UPDATE, False, ())
    assert told[kinds.association("a", "bob")] == (Action.DELETE, False, ())


SCOPE = Managed(levels=[Level("O", "root", ("c_", "p_", "a_"))])
BARE = Managed(levels=[Level("O", "root", ("", "", ""))])


@pytest.mark.parametrize("verdict", ["unknown", "terminated"])
def test_without_prefixes_nothing_unknown_is_ours(verdict: str) -> None:
    actual = accounts(dept="root", group="dept", team="group", lab="root")
    policy = Policy(prune=True)
    ours = ownership(Desired(), BARE, actual, policy)
    desired = ours.own({n: Claim(verdict, "ended") for n in ours.unclaimed()}, frozenset({"lab", "dept", "group"}))
    wanted = {kinds.account("team")} if verdict == "terminated" else set()
    assert set(desired.absent) == wanted
    assert not desired.orphans


def test_containers_outside_the_tree_are_not_ours() -> None:
    actual = accounts(staff="root", p_lab="staff", c_x="root", p_y="c_x", a_z="p_y")
    claims = {"a_z": Claim("terminated", "ended", ("p_lab", "c_x"))}
    desired = ownership(Desired(), SCOPE, actual).own(claims)
    assert kinds.account("p_lab") not in desired.absent
    assert kinds.account("a_z") in desired.absent


def test_one_silent_offering_among_others_is_refused() -> None:
    found = list(refusals(Read(10, 10, {"B": 3, "C": 0}), Guards()))
    assert [r.key for r in found] == ["allow_empty_portal"]
    assert "'B'" in found[0].text


def test_a_default_account_moves_to_where_a_guard_keeps_the_user() -> None:
    one, two, owner = kinds.association("a_one", "ann"), kinds.association("a_two", "ann"), kinds.user("ann")
    actual = {one: Obj({}), two: Obj({}), owner: Obj({"default_account": "a_one"})}
    going = Change(one, Action.DELETE, {}, None)
    kept = Change(two, Action.DELETE, {}, None, blocked="account a_two stays")
    moved = [c for c in propagate([going, kept], actual, defaults.settle) if c.address == owner]
    assert [(c.action, c.after) for c in moved] == [(Action.UPDATE, {"default_account": "a_two"})]
    # and nothing is added where the user loses both
    assert propagate([going, Change(two, Action.DELETE, {}, None)], actual, defaults.settle)[2:] == []


@pytest.fixture
def funds() -> Iterator[Kind]:
    """A kind of cluster that keeps budgets as objects of their own."""
    kind = Kind("test.fund", ("account",), 9, Role.BUDGET, ())
    declare(kind)
    yield kind
    del KINDS[kind.name]


def test_a_fund_goes_with_its_account_and_holds_no_other(funds: Kind) -> None:
    actual = accounts(c_x="root", p_y="c_x", a_z="p_y", a_stays="p_y")
    actual |= {funds.at(name): Obj({}) for name in ("a_z", "a_stays")}
    desired = ownership(Desired(), SCOPE, actual).own({"a_z": Claim("terminated", "ended", ("p_y", "c_x"))})
    assert funds.at("a_z") in desired.absent
    assert funds.at("a_stays") not in desired.absent
    blocked = {c.address: c.blocked for c in propagate(diff(desired, actual), actual)}
    assert blocked == {kinds.account("a_z"): "", funds.at("a_z"): ""}
    alone = propagate(gone(kinds.account("a_z")), actual)
    assert "test.fund" in alone[0].blocked, "an account never goes from under its fund"
