"""The one place that walks accounts: whatever is asked, the answer is that of the plainest way to find it out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.providers.slurm.kinds import SHAPE, account, association
from reconciler.state.diff import Action, Change, diff
from reconciler.state.model import Address, Desired, Obj, State
from reconciler.state.tree import Tree, burdens, planned_parents
from tests.ideal import overlay
from tests.state.strategies import cluster

NAMES = st.sampled_from(["root", "c_north", "p_alpha", "a_one", "a_two", "x"])


def parent_of(state: State, name: str) -> str:
    found = state.get(account(name))
    return str((found.values if found else {}).get("parent") or "")


def above(state: State, name: str) -> list[str]:
    """An account and those above it, one after the other."""
    found: list[str] = []
    while name and name not in found:
        found.append(name)
        name = parent_of(state, name)
    return found


@given(cluster())
def test_a_tree_is_what_its_accounts_say(state: State) -> None:
    tree = Tree(state)
    names = {a.key[0] for a in state if a.kind == SHAPE.account}
    members = [a for a in state if a.kind == SHAPE.member]
    assert tree.addresses == {n: account(n) for n in names}
    assert tree.used == {a.key[0] for a in members}
    for name in names:
        assert tree.parents[name] == parent_of(state, name)
        assert list(tree.lineage(name)) == above(state, name)
        assert sorted(tree.children.get(name, ())) == sorted(n for n in names if parent_of(state, n) == name)
        assert tree.people(name) == sorted(a.key[1] for a in members if a.key[0] == name)
        if above(state, name)[-1] == "root":
            assert tree.depths[name] == len(above(state, name))
    assert tree.account("nobody's") is None


@given(cluster(), st.dictionaries(NAMES, NAMES, max_size=4))
def test_where_accounts_will_stand(state: State, moves: dict[str, str]) -> None:
    desired = Desired(objects={account(n): Obj({"parent": p}) for n, p in moves.items()})
    there, later = Tree.after(desired, state), Tree.after(desired, state, made=True)
    for name in {a.key[0] for a in state if a.kind == SHAPE.account}:
        assert there.parents[name] == later.parents[name] == moves.get(name, parent_of(state, name))
    assert later.parents.keys() - there.parents.keys() == {n for n in moves if account(n) not in state}
    changes = [c for c in diff(desired, state) if not c.blocked]
    assert planned_parents(changes, state) == dict(Tree(overlay(state, changes)).parents)


@given(cluster(), st.data())
def test_an_account_is_free_when_nothing_is_left_on_it(state: State, data: st.DataObject) -> None:
    """What is left once the changes are made keeps its account, and nothing else does."""
    addresses = sorted(a for a in state if a.kind in (SHAPE.account, SHAPE.member))
    gone = data.draw(st.lists(st.sampled_from(addresses), unique=True, max_size=6)) if addresses else []
    changes = [Change(a, Action.DELETE, {}, None, blocked="no" if n % 3 == 2 else "") for n, a in enumerate(gone)]
    left = overlay(state, changes)
    expected = {a.key[0] for a in left if a.kind == SHAPE.member}
    expected |= {parent_of(left, a.key[0]) for a in left if a.kind == SHAPE.account} - {""}
    assert burdens(changes, state).keys() == expected


def test_a_circle_is_walked_once() -> None:
    state: State = {account("a"): Obj({"parent": "b"}), account("b"): Obj({"parent": "a"})}
    tree = Tree(state)
    assert list(tree.lineage("a")) == ["a", "b"]
    assert tree.depths == {"": 0}


def test_members_of_accounts_that_are_not_there_are_members_all_the_same() -> None:
    member: Address = association("gone", "ann")
    tree = Tree({member: Obj({})})
    assert tree.used == {"gone"} and tree.people("gone") == ["ann"] and tree.account("gone") is None
