"""Which objects of the cluster are ours: what may be removed, what is an orphan, what is left alone.

An object outside the managed scope is never touched. Inside it, an account whose resource ended is removed,
one that nobody claims is an orphan; likewise the members of managed accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property

from reconciler.state.facts import Claim
from reconciler.state.kinds import KINDS, Role, is_account, is_member, role_of
from reconciler.state.managed import Level, Managed, Policy
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.tree import Shape, Tree, above
from reconciler.state.values import accepts, plain

Levels = Mapping[str, Level]
# what goes with its account
_ALONG = frozenset({Role.MEMBER, Role.BUDGET})


@dataclass
class Ownership:
    """What is ours of one cluster; ``desired`` is completed in place. ``policy``: what becomes of strangers."""

    desired: Desired
    managed: Managed
    actual: State
    shape: Shape
    policy: Policy

    @cached_property
    def _after(self) -> Tree:
        """Where accounts will stand counts: what moves takes along what hangs on it."""
        return Tree.after(self.desired, self.actual)

    @cached_property
    def _here(self) -> Tree:
        return Tree(self.actual)

    @cached_property
    def _ours(self) -> tuple[dict[str, Level], dict[str, tuple[Level, int]]]:
        return looks_ours(self.managed.levels, self._after, self._here.addresses)

    def _named(self, name: str) -> bool:
        """Whether somebody says what should become of an account."""
        address = self.shape.account_at(name)
        return address in self.desired.objects or address in self.desired.held

    # ------------------------------------------------------------------ what to ask about

    def unclaimed(self) -> dict[str, Level]:
        """Accounts that look like allocations of ours and that no resource names: ask the portal about them."""
        allocations, containers = self._ours
        return {
            name: level
            for name, level in allocations.items()
            if name not in containers
            and not (name not in self._here.used and self._emptied(name, level))
            and name not in self.managed.leaving
            and not self._named(name)
        }

    def _emptied(self, name: str, level: Level) -> bool:
        """Whether a softly deleted account has already got its limits."""
        account = self._here.account(name)
        return (
            level.soft is not None
            and account is not None
            and all(accepts(want, plain(account.values.get(field))) for field, want in level.soft.items())
        )

    def _softly(self, offering: str) -> Level | None:
        """The level of an offering whose ended accounts stay."""
        return next((x for x in self.managed.levels if x.offering == offering and x.soft is not None), None)

    def leaving(self, claims: Mapping[str, Claim], levels: Levels) -> frozenset[str]:
        """Accounts that go by the portal's word: ended ones, and unknown ones where orphans are pruned."""
        return frozenset(
            name
            for name, claim in {**claims, **self.managed.leaving}.items()
            if (claim.verdict == "terminated" and self._softly(claim.offering) is None)
            or (claim.verdict == "unknown" and self.policy.prune and levels[name].marked)
        )

    def empty_containers(self, going: frozenset[str] = frozenset()) -> dict[str, tuple[Level, int]]:
        """Customer and project accounts that hold nothing once the accounts in ``going`` have left."""
        found: dict[str, tuple[Level, int]] = {}
        # innermost first, so that a customer of empty projects counts as empty too
        for name, where in sorted(self._ours[1].items(), key=lambda item: -item[1][1]):
            left = set(self._after.children.get(name, ())) - found.keys() - going
            if not left and name not in self._here.used and not self._named(name):
                found[name] = where
        return found

    # ------------------------------------------------------------------ what it says of the portal

    def managed_here(self, claims: Mapping[str, Claim]) -> int:
        """How many allocation accounts the cluster has under management: what the portal must roughly know."""
        named = (self.managed.managed - self.managed.shared) & self._here.addresses.keys()
        return len(named) + sum(c.verdict == "unknown" for c in claims.values())

    def unknown_of(self, claims: Mapping[str, Claim], offering: str) -> list[str]:
        """Accounts on the cluster that look like this offering's and that no portal knows."""
        levels = [x for x in self.managed.levels if x.offering == offering]
        allocations, _ = looks_ours(levels, self._here, self._here.addresses)
        return [n for n, c in claims.items() if c.verdict == "unknown" and n in allocations and allocations[n].marked]

    # ------------------------------------------------------------------ what becomes of it

    def own(self, claims: Mapping[str, Claim], made: frozenset[str] = frozenset()) -> Desired:
        """Complete the desired state with what has to go and what is an orphan.

        ``claims``: the portal's word on each account of :meth:`unclaimed`; ``made``: names among
        :meth:`empty_containers` whose slug the portal knows. The same object is returned.
        """
        self._only_existing()
        levels = self.unclaimed()
        there = self._here.addresses
        claims = {**claims, **{n: c for n, c in self.managed.leaving.items() if n in there}}
        going = self._accounts(claims, levels)
        self._containers(claims, made, going)
        self._members()
        return self.desired

    def _only_existing(self) -> None:
        for name, why in self.managed.existing_only.items():
            address = self.shape.account_at(name)
            if address in self.desired.objects and address not in self.actual:
                note = Note(address, f"not on the cluster, and {why}")
                self.desired.waiting.append(note)
                self.desired.held[address] = note.text
                for other in [a for a in self.desired.objects if is_member(a) and a.key[0] == name]:
                    del self.desired.objects[other]

    def _accounts(self, claims: Mapping[str, Claim], levels: Levels) -> set[str]:
        desired, going = self.desired, set[str]()
        emptied: dict[str, Obj] = {}
        pruned = self.leaving(claims, levels)
        for name, claim in claims.items():
            address = self.shape.account_at(name)
            offerings = frozenset({claim.offering})
            if address in desired.held:
                continue
            if claim.verdict == "elsewhere":
                desired.held[address] = claim.text
            elif claim.verdict == "terminated" and (level := self._softly(claim.offering)) is not None:
                reason = f"{claim.text}; soft_delete keeps the account without limits' worth and members"
                emptied[name] = Obj(dict(level.soft or {}), reason, offerings, needs=claim.needs)
                desired.objects[address] = emptied[name]
            elif claim.verdict == "terminated":
                going.add(name)
                desired.absent[address] = Obj({}, claim.text, offerings, needs=claim.needs)
            elif not levels[name].marked:
                continue
            elif name in pruned:
                going.add(name)
                reason = "orphan: no Waldur resource names it, and reconcile.prune is on"
                desired.absent[address] = Obj({}, reason, frozenset({claim.offering}))
            else:
                desired.orphans.append(Note(address, "no Waldur resource names this account", claim.offering))
        if self.policy.children:
            self._descendants(going)
        self._members_along(going, emptied)
        return going

    def _members_along(self, going: set[str], emptied: Mapping[str, Obj]) -> None:
        for address in self.actual:
            if role_of(address) in _ALONG and address.key[0] in going:
                gone = self.desired.absent[self.shape.account_at(address.key[0])]
                reason = f"its account goes: {gone.reason}"
                self.desired.absent[address] = Obj({}, reason, gone.offerings, needs=gone.needs)
            elif is_member(address) and address.key[0] in emptied:
                gone = emptied[address.key[0]]
                self.desired.absent[address] = Obj({}, gone.reason, gone.offerings, needs=gone.needs)
            elif role_of(address) is Role.BUDGET and address.key[0] in emptied:
                self._empty(address, emptied[address.key[0]])

    def _empty(self, address: Address, gone: Obj) -> None:
        """A budget of its own is taken first: an account without members and amounts is never looked at again."""
        kind, account = KINDS[address.kind], self.shape.account_at(address.key[0])
        values = {kind.budget: kind.field(kind.budget).fresh}
        self.desired.objects[address] = Obj(values, gone.reason, gone.offerings, needs=gone.needs)
        self.desired.objects[account] = replace(gone, needs=gone.needs | {address})

    def _descendants(self, going: set[str]) -> None:
        """Accounts below those in ``going`` that nobody claims: listed, so that the plan shows what is lost."""
        queue = sorted(going)
        while queue:
            parent = queue.pop()
            for name in self._after.children.get(parent, ()):
                if name not in going and not self._named(name):
                    going.add(name)
                    queue.append(name)
                    gone = self.desired.absent[self.shape.account_at(parent)]
                    reason = f"it hangs below {parent}, which goes"
                    self.desired.absent[self.shape.account_at(name)] = Obj({}, reason, gone.offerings)

    # ------------------------------------------------------------------ projects and customers

    def _containers(self, claims: Mapping[str, Claim], made: frozenset[str], going: set[str]) -> None:
        """Projects, then customers, that hold nothing once the accounts in ``going`` have left."""
        empty = self.empty_containers(frozenset(going))
        if not self.policy.customers:
            # the level above the projects, where there are customers at all
            tops = {level.offering: len(level.prefixes) - 2 for level in self.managed.levels}
            empty = {n: (level, depth) for n, (level, depth) in empty.items() if depth == tops[level.offering]}
        ours = {p for name in claims if name in going for p in claims[name].parents}
        wanted_below = {above(a.kind, o.values) for a, o in self.desired.objects.items() if is_account(a)}
        depth = self._here.depths
        # innermost first: a customer is empty once its projects go
        for name in sorted(empty, key=lambda n: (-depth.get(n, 0), n)):
            free = name in self._here.addresses and not self._named(name) and name not in self._here.used
            if free and name not in wanted_below and set(self._after.children.get(name, ())) <= going:
                below = [c for n, c in claims.items() if name in c.parents and n in going]
                if self._container(name, below, known=name in ours | made):
                    going.add(name)

    def _container(self, name: str, below: list[Claim], *, known: bool) -> bool:
        """Whether an empty container goes; ``below``: the portal's word on what hung below it and goes."""
        address = self.shape.account_at(name)
        offering = below[0].offering if below else ""
        # one order alone empties it, so without that order it stays
        needs = below[0].needs if len(below) == 1 else frozenset[Address]()
        reason = "made for a project or customer that has no resources any more"
        if not known:
            reason = "an empty account of a project or customer that Waldur does not know (any more)"
            if any(fnmatchcase(name, glob) for glob in self.policy.kept):
                return False
            if not self.policy.prune:
                # what should have gone with its last resource and was blocked then is not forgotten
                note = Note(address, f"{reason}; reconcile.guards.protected keeps it", offering)
                self.desired.orphans.append(note)
                return False
            reason = f"orphan: {reason}, and reconcile.prune is on"
        self.desired.absent[address] = Obj({}, reason, frozenset({offering} if offering else ()), needs=needs)
        return True

    # ------------------------------------------------------------------ members

    def _members(self) -> None:
        desired, managed = self.desired, self.managed
        for address in self.actual:
            if not is_member(address) or address in desired.objects or address in desired.absent:
                continue
            name, user = address.key
            if self.shape.account_at(name) in desired.held or user in managed.held_users or name not in managed.managed:
                continue
            account = desired.objects.get(self.shape.account_at(name))
            offerings = account.offerings if account else frozenset[str]()
            if user in managed.known_users:
                reason = managed.outsiders.get(user) or managed.access.get(name, "a member of nothing any more")
                desired.absent[address] = Obj({}, reason, offerings)
            elif name in managed.shared:
                continue
            elif self.policy.prune and not managed.strangers_unsure:
                reason = "orphan: Waldur does not know the user, and reconcile.prune is on"
                desired.absent[address] = Obj({}, reason, offerings)
            else:
                text = f"Waldur does not know the user {user}"
                desired.orphans.append(Note(address, text, next(iter(sorted(offerings)), "")))


def looks_ours(
    levels: list[Level], tree: Tree, there: Mapping[str, Address]
) -> tuple[dict[str, Level], dict[str, tuple[Level, int]]]:
    """Accounts that look like allocations of an offering, and those that look like their containers."""
    allocations: dict[str, Level] = {}
    containers: dict[str, tuple[Level, int]] = {}
    for level in levels:
        here = [level.root]
        for depth, prefix in enumerate(level.prefixes):
            here = [c for parent in here for c in tree.children.get(parent, ()) if c.startswith(prefix)]
            last = depth == len(level.prefixes) - 1
            for name in here:
                if last:
                    allocations.setdefault(name, level)
                elif prefix:  # without a prefix nothing shows that a container is ours
                    containers.setdefault(name, (level, depth))
        if mark := level.tell_tale:
            for name in there:
                if name.startswith(mark):
                    allocations.setdefault(name, level)
    return allocations, containers


# ---------------------------------------------------------------------- people whom the head node does not know


def hold_back(desired: Desired, actual: State, shape: Shape, missing: frozenset[str]) -> None:
    """Users that the head node does not know yet get no new memberships; they are listed as waiting."""
    for user in sorted(missing):
        new = [a for a in _of_user(desired, user) if a not in actual]
        for address in new:
            del desired.objects[address]
        if new:
            accounts = ", ".join(a.key[0] for a in new)
            note = f"unknown to the head node (getent passwd), not yet added to {accounts}"
            desired.waiting.append(Note(shape.person_at(user), note))


def _of_user(desired: Desired, user: str) -> Iterator[Address]:
    return (a for a in list(desired.objects) if is_member(a) and a.key[1] == user)


def members_to_add(desired: Desired, actual: State) -> frozenset[str]:
    """Users who would get their first or a further membership."""
    return frozenset(a.key[1] for a in desired.objects if is_member(a) and a not in actual)
