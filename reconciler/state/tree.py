"""Accounts and their members as a tree: the only place that walks it, whatever kinds a cluster has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Role, is_account, is_member
from reconciler.state.model import Address, Desired, Obj, State


@dataclass(frozen=True)
class Shape:
    """Which kinds of a cluster make its tree; ``person`` is empty where users have no record of their own.

    ``above``: the field of an account that names the one above it. ``root``: the account without which there is no
    tree, which is never touched; empty where there is none. ``budget``: what an account may use, where that is an
    object of its own.
    """

    account: str
    member: str
    person: str = ""
    above: str = ""
    root: str = ""
    budget: str = ""

    def account_at(self, name: str) -> Address:
        """The address of an account."""
        return Address(self.account, (name,))

    def member_at(self, account: str, user: str) -> Address:
        """The address of a user's membership in an account."""
        return Address(self.member, (account, user))

    def budget_of(self, account: str) -> tuple[Address, ...]:
        """The address of an account's budget, where that is an object of its own."""
        return (Address(self.budget, (account,)),) if self.budget else ()

    def person_at(self, user: str) -> Address:
        """The address of a user, for notes too where users have no record."""
        return Address(self.person, (user,)) if self.person else Address(self.member, ("*", user))


def above(kind: str, values: Mapping[str, object] | None) -> str:
    """The account that an account of these values hangs below; empty where none is named."""
    found = (values or {}).get(KINDS[kind].above)
    return found if isinstance(found, str) else ""


class Tree:
    """The accounts of a state. What is asked for is worked out once; the state must not change meanwhile."""

    def __init__(self, state: State, parents: Mapping[str, str] | None = None) -> None:
        self._state = state
        self._parents = parents

    @classmethod
    def after(cls, desired: Desired, actual: State, *, made: bool = False) -> Tree:
        """The accounts that are there, where they will stand once those that move have moved.

        ``made``: with those that are yet to be made.
        """
        parents = dict(cls(actual).parents)
        for address, obj in desired.objects.items():
            if is_account(address) and (made or address in actual):
                new = obj.values.get(KINDS[address.kind].above)
                if isinstance(new, str):
                    parents[address.key[0]] = new
        return cls(actual, parents)

    @cached_property
    def parents(self) -> Mapping[str, str]:
        """By account, the one above it; empty text where there is none."""
        if self._parents is not None:
            return self._parents
        return {a.key[0]: above(a.kind, o.values) for a, o in self._state.items() if is_account(a)}

    @cached_property
    def addresses(self) -> Mapping[str, Address]:
        """Accounts by name."""
        return {a.key[0]: a for a in self._state if is_account(a)}

    @cached_property
    def children(self) -> Mapping[str, list[str]]:
        """By account, those right below it."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, parent in self.parents.items():
            found[parent].append(name)
        return found

    @cached_property
    def members(self) -> Mapping[str, list[Address]]:
        """By account, its members."""
        found: dict[str, list[Address]] = defaultdict(list)
        for address in self._state:
            if is_member(address):
                found[address.key[0]].append(address)
        return found

    @cached_property
    def used(self) -> frozenset[str]:
        """Accounts with members."""
        return frozenset(a.key[0] for a in self._state if is_member(a))

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """How far below the top each account stands that hangs together with it; 0 for what it begins with."""
        found: dict[str, int] = {}
        level, here = 0, [""]
        while here:
            found |= dict.fromkeys(here, level)
            level, here = level + 1, [c for parent in here for c in self.children.get(parent, ()) if c not in found]
        return found

    def account(self, name: str) -> Obj | None:
        """An account, if it is there."""
        address = self.addresses.get(name)
        return self._state[address] if address is not None else None

    def lineage(self, name: str) -> Iterator[str]:
        """An account that is there and those above it, innermost first; a circle is walked once."""
        seen: set[str] = set()
        while name and name not in seen:
            seen.add(name)
            yield name
            name = self.parents.get(name, "")

    def people(self, account: str) -> list[str]:
        """The members of an account, sorted."""
        return sorted(a.key[1] for a in self.members.get(account, ()))


def planned_parents(changes: Iterable[Change], actual: State) -> dict[str, str]:
    """Where accounts stand once these changes are made; removed ones where they stood."""
    parents = dict(Tree(actual).parents)
    for change in changes:
        if is_account(change.address):
            values = change.after if change.after is not None else change.before
            parents[change.address.key[0]] = above(change.address.kind, values)
    return parents


def burdens(changes: Iterable[Change], actual: State) -> dict[str, Address]:
    """Accounts with something on them that these changes neither remove nor move away, and the first of it."""
    listed = [c for c in changes if not c.blocked]
    gone = {c.address for c in listed if c.action is Action.DELETE}
    moved = {
        c.address: above(c.address.kind, c.after)
        for c in listed
        if c.action is Action.UPDATE and is_account(c.address) and c.after is not None
    }
    found: dict[str, Address] = {}
    for address, obj in actual.items():
        role = KINDS[address.kind].role
        if address in gone or role not in (Role.ACCOUNT, Role.MEMBER, Role.BUDGET):
            continue
        if role is not Role.ACCOUNT:
            found.setdefault(address.key[0], address)
        elif parent := moved.get(address, above(address.kind, obj.values)):
            found.setdefault(parent, address)
    return found
