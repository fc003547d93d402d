"""Which objects of the cluster are ours: what may be removed, what is an orphan, what is left alone.

An object outside the managed scope is never touched. Inside it, an account whose resource ended is removed,
one that nobody claims is an orphan; likewise the users of managed accounts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.state import kinds
from reconciler.state.facts import Claim
from reconciler.state.model import Address, Desired, Note, Obj, State, Tres, TresWithin, Unless

ROOT = "root"  # SLURM's own account, without which there is no tree


@dataclass(frozen=True, slots=True)
class Level:
    """Where one offering's accounts stand: below ``root``, one prefix per level, allocations last."""

    offering: str
    root: str
    prefixes: tuple[str, ...]
    soft: Tres | None = None  # ended accounts stay, with these limits (soft_delete)

    @property
    def marked(self) -> bool:
        """Whether allocations carry a prefix at all; without one an unknown account is nobody's orphan."""
        return bool(self.prefixes[-1])

    @property
    def tell_tale(self) -> str:
        """The allocation prefix, where it alone shows that an account is an allocation."""
        own = self.prefixes[-1]
        others = self.prefixes[:-1]
        return own if own and not any(own.startswith(p) or p.startswith(own) for p in others) else ""


@dataclass(frozen=True)
class Policy:
    """What the configuration says about objects nobody claims."""

    prune: bool = False
    children: bool = False  # accounts below one that goes, and nobody's, go along
    customers: bool = True  # a customer account without resources goes; projects' always do


@dataclass
class Scope:
    """What belongs to the offerings of a cluster; filled by the builder."""

    levels: list[Level] = field(default_factory=list)
    managed: set[str] = field(default_factory=set)  # accounts whose member list is ours
    leaving: dict[str, Claim] = field(default_factory=dict)  # accounts that a Terminate order ends
    shared: set[str] = field(default_factory=set)  # accounts where only the portal's own users are judged
    existing_only: dict[str, str] = field(default_factory=dict)  # accounts that are not made here, and why
    known_users: set[str] = field(default_factory=set)  # usernames the portal knows
    held_users: set[str] = field(default_factory=set)
    access: dict[str, str] = field(default_factory=dict)  # by account: why a known user has no place in it
    outsiders: dict[str, str] = field(default_factory=dict)  # users without access anywhere, and why
    common_default: dict[str, str] = field(default_factory=dict)
    leave_defaults: bool = False
    strangers_unsure: bool = False  # an unknown user may be a service account that could not be read


def _by_parent(actual: State) -> dict[str, list[str]]:
    children: dict[str, list[str]] = defaultdict(list)
    for address, obj in actual.items():
        if address.kind == "slurm.account":
            children[str(obj.values.get("parent") or "")].append(address.key[0])
    return children


def _by_parent_after(desired: Desired, actual: State) -> dict[str, list[str]]:
    """Children as they will be once moved accounts have moved."""
    children: dict[str, list[str]] = defaultdict(list)
    for address, obj in actual.items():
        if address.kind == "slurm.account":
            wanted = desired.objects.get(address)
            parent = wanted.values.get("parent") if wanted else None
            here = parent if isinstance(parent, str) else str(obj.values.get("parent") or "")
            children[here].append(address.key[0])
    return children


def _looks_ours(scope: Scope, actual: State) -> tuple[dict[str, Level], dict[str, tuple[Level, int]]]:
    """Accounts that look like allocations of an offering, and those that look like their containers."""
    children = _by_parent(actual)
    allocations: dict[str, Level] = {}
    containers: dict[str, tuple[Level, int]] = {}
    for level in scope.levels:
        here = [level.root]
        for depth, prefix in enumerate(level.prefixes):
            here = [c for parent in here for c in children.get(parent, ()) if c.startswith(prefix)]
            last = depth == len(level.prefixes) - 1
            for name in here:
                if last:
                    allocations.setdefault(name, level)
                elif prefix:  # without a prefix nothing shows that a container is ours
                    containers.setdefault(name, (level, depth))
        if mark := level.tell_tale:
            for address in actual:
                if address.kind == "slurm.account" and address.key[0].startswith(mark):
                    allocations.setdefault(address.key[0], level)
    return allocations, containers


def unclaimed(desired: Desired, scope: Scope, actual: State) -> dict[str, Level]:
    """Accounts that look like allocations of ours and that no resource names: ask the portal about them."""
    allocations, containers = _looks_ours(scope, actual)
    used = {a.key[0] for a in actual if a.kind == "slurm.association"} if any(x.soft for x in scope.levels) else set()
    return {
        name: level
        for name, level in allocations.items()
        if name not in containers
        and not (name not in used and _emptied(level, actual[kinds.account(name)]))
        and name not in scope.leaving
        and kinds.account(name) not in desired.objects
        and kinds.account(name) not in desired.held
    }


def _softly(scope: Scope, offering: str) -> Level | None:
    """The level of an offering whose ended accounts stay."""
    return next((level for level in scope.levels if level.offering == offering and level.soft is not None), None)


def _emptied(level: Level, account: Obj) -> bool:
    """Whether a softly deleted account has already got its limits."""
    have = account.values.get("grp_tres_mins")
    return level.soft is not None and isinstance(have, Mapping) and level.soft.items() <= have.items()


def leaving(claims: Mapping[str, Claim], levels: Mapping[str, Level], scope: Scope, policy: Policy) -> frozenset[str]:
    """Accounts that go by the portal's word: ended ones, and unknown ones where orphans are pruned."""
    return frozenset(
        name
        for name, claim in {**claims, **scope.leaving}.items()
        if (claim.verdict == "terminated" and _softly(scope, claim.offering) is None)
        or (claim.verdict == "unknown" and policy.prune and levels[name].marked)
    )


def empty_containers(
    desired: Desired, scope: Scope, actual: State, going: frozenset[str] = frozenset()
) -> dict[str, tuple[Level, int]]:
    """Customer and project accounts that hold nothing once the accounts in ``going`` have left."""
    children = _by_parent_after(desired, actual)
    _, containers = _looks_ours(scope, actual)
    used = {a.key[0] for a in actual if a.kind == "slurm.association"}
    found: dict[str, tuple[Level, int]] = {}
    # innermost first, so that a customer of empty projects counts as empty too
    for name, where in sorted(containers.items(), key=lambda item: -item[1][1]):
        address = kinds.account(name)
        if (
            set(children.get(name, ())) <= found.keys() | going
            and name not in used
            and address not in desired.objects
            and address not in desired.held
        ):
            found[name] = where
    return found


def managed_on_cluster(scope: Scope, actual: State, claims: Mapping[str, Claim]) -> int:
    """How many allocation accounts the cluster has under management: what the portal must roughly know."""
    named = {name for name in scope.managed - scope.shared if kinds.account(name) in actual}
    return len(named) + sum(c.verdict == "unknown" for c in claims.values())


def unknown_of(scope: Scope, actual: State, claims: Mapping[str, Claim], offering: str) -> list[str]:
    """Accounts on the cluster that look like this offering's and that no portal knows."""
    own_levels = Scope(levels=[level for level in scope.levels if level.offering == offering])
    allocations, _ = _looks_ours(own_levels, actual)
    return [n for n, c in claims.items() if c.verdict == "unknown" and n in allocations and allocations[n].marked]


def own(  # six inputs of one pure step
    desired: Desired,
    scope: Scope,
    actual: State,
    claims: Mapping[str, Claim],
    made: frozenset[str] = frozenset(),
    policy: Policy = Policy(),
) -> Desired:
    """Complete a desired state with what has to go, what is an orphan, and the users' default accounts.

    ``claims``: the portal's word on each account of :func:`unclaimed`; ``made``: names among
    :func:`empty_containers` whose slug the portal knows. The same object is returned.
    """
    _only_existing(desired, scope, actual)
    levels = unclaimed(desired, scope, actual)
    claims = {**claims, **{n: c for n, c in scope.leaving.items() if kinds.account(n) in actual}}
    going = _accounts(desired, scope, actual, claims, levels, policy)
    _containers(desired, scope, actual, claims, made, going, policy)
    _associations(desired, scope, actual, policy)
    _defaults(desired, scope, actual)
    return desired


def _only_existing(desired: Desired, scope: Scope, actual: State) -> None:
    for name, why in scope.existing_only.items():
        address = kinds.account(name)
        if address in desired.objects and address not in actual:
            note = Note(address, f"not on the cluster, and {why}")
            desired.waiting.append(note)
            desired.held[address] = note.text
            for other in [a for a in desired.objects if a.kind == "slurm.association" and a.key[0] == name]:
                del desired.objects[other]


def _accounts(
    desired: Desired,
    scope: Scope,
    actual: State,
    claims: Mapping[str, Claim],
    levels: Mapping[str, Level],
    policy: Policy,
) -> set[str]:
    going: set[str] = set()
    emptied: dict[str, Obj] = {}
    pruned = leaving(claims, levels, scope, policy)
    for name, claim in claims.items():
        address = kinds.account(name)
        offerings = frozenset({claim.offering})
        if address in desired.held:
            continue
        if claim.verdict == "elsewhere":
            desired.held[address] = claim.text
        elif claim.verdict == "terminated" and (level := _softly(scope, claim.offering)) is not None:
            nothing = TresWithin(level.soft or {}, frozenset(level.soft or {}))
            reason = f"{claim.text}; soft_delete keeps the account without limits' worth and members"
            emptied[name] = Obj({"grp_tres_mins": nothing}, reason, offerings, needs=claim.needs)
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
    if policy.children:
        _descendants(desired, actual, going)
    for address in actual:
        if address.kind == "slurm.association" and address.key[0] in going:
            gone = desired.absent[kinds.account(address.key[0])]
            desired.absent[address] = Obj({}, f"its account goes: {gone.reason}", gone.offerings, needs=gone.needs)
        elif address.kind == "slurm.association" and address.key[0] in emptied:
            gone = emptied[address.key[0]]
            desired.absent[address] = Obj({}, gone.reason, gone.offerings, needs=gone.needs)
    return going


def _descendants(desired: Desired, actual: State, going: set[str]) -> None:
    """Accounts below those in ``going`` that nobody claims: listed, so that the plan shows what is lost."""
    children = _by_parent_after(desired, actual)
    queue = sorted(going)
    while queue:
        above = queue.pop()
        for name in children.get(above, ()):
            address = kinds.account(name)
            if name not in going and address not in desired.objects and address not in desired.held:
                going.add(name)
                queue.append(name)
                parent = desired.absent[kinds.account(above)]
                desired.absent[address] = Obj({}, f"it hangs below {above}, which goes", parent.offerings)


def _depths(actual: State) -> dict[str, int]:
    depths: dict[str, int] = {}
    children = _by_parent(actual)
    level, here = 0, [""]
    while here:
        depths |= dict.fromkeys(here, level)
        level, here = level + 1, [c for parent in here for c in children.get(parent, ()) if c not in depths]
    return depths


def _containers(  # the inputs of one step
    desired: Desired,
    scope: Scope,
    actual: State,
    claims: Mapping[str, Claim],
    made: frozenset[str],
    going: set[str],
    policy: Policy,
) -> None:
    """Projects, then customers, that hold nothing once the accounts in ``going`` have left."""
    empty = empty_containers(desired, scope, actual, frozenset(going))
    if not policy.customers:
        # the level above the projects, where there are customers at all
        tops = {level.offering: len(level.prefixes) - 2 for level in scope.levels}
        empty = {n: (level, depth) for n, (level, depth) in empty.items() if depth == tops[level.offering]}
    children = _by_parent_after(desired, actual)
    used = {a.key[0] for a in actual if a.kind == "slurm.association"}
    ours = {p for name in claims if name in going for p in claims[name].parents}
    depth = _depths(actual)
    # innermost first: a customer is empty once its projects go
    for name in sorted((ours | made) & empty.keys(), key=lambda n: (-depth.get(n, 0), n)):
        address = kinds.account(name)
        wanted_below = any(
            o.values.get("parent") == name for a, o in desired.objects.items() if a.kind == "slurm.account"
        )
        if (
            address in actual
            and address not in desired.objects
            and address not in desired.held
            and name not in used
            and not wanted_below
            and set(children.get(name, ())) <= going
        ):
            below = [c for n, c in claims.items() if name in c.parents and n in going]
            offering = below[0].offering if below else ""
            # one order alone empties it, so without that order it stays
            needs = below[0].needs if len(below) == 1 else frozenset()
            going.add(name)
            reason = "made for a project or customer that has no resources any more"
            desired.absent[address] = Obj({}, reason, frozenset({offering}), needs=needs)


def _associations(desired: Desired, scope: Scope, actual: State, policy: Policy) -> None:
    for address in actual:
        if address.kind != "slurm.association" or address in desired.objects or address in desired.absent:
            continue
        name, user = address.key
        if kinds.account(name) in desired.held or user in scope.held_users:
            continue
        if name in scope.managed:
            account = desired.objects.get(kinds.account(name))
            offerings = account.offerings if account else frozenset()
            if user in scope.known_users:
                reason = scope.outsiders.get(user) or scope.access.get(name, "a member of nothing any more")
                desired.absent[address] = Obj({}, reason, offerings)
            elif name in scope.shared:
                continue
            elif policy.prune and not scope.strangers_unsure:
                reason = "orphan: Waldur does not know the user, and reconcile.prune is on"
                desired.absent[address] = Obj({}, reason, offerings)
            else:
                desired.orphans.append(
                    Note(address, f"Waldur does not know the user {user}", next(iter(sorted(offerings)), ""))
                )
        elif name == ROOT and user in scope.known_users:
            desired.warnings.append(
                Note(
                    address,
                    "bypasses every limit (older agents made it by DefaultAccount=root); remove it with: "
                    f"sacctmgr -i remove user where name={user} account={ROOT}",
                )
            )


def _defaults(desired: Desired, scope: Scope, actual: State) -> None:
    """A user's default account is one of its own allocations, and never one that it is about to lose."""
    own_accounts: dict[str, list[str]] = defaultdict(list)
    held = {a.key[0] for a in desired.held if a.kind == "slurm.account"}
    offerings: dict[str, frozenset[str]] = {}
    for side in (desired.objects, desired.absent):
        for address, obj in side.items():
            if address.kind == "slurm.association":
                name, user = address.key
                known = offerings.get(user)
                offerings[user] = obj.offerings if known is None else known | obj.offerings
                if side is desired.objects and name not in held:
                    own_accounts[user].append(name)
    losing: dict[str, set[str]] = defaultdict(set)
    staying: dict[str, set[str]] = defaultdict(set)
    for address in actual:
        if address.kind == "slurm.association":
            (losing if address in desired.absent else staying)[address.key[1]].add(address.key[0])
    everyone = own_accounts.keys() | losing.keys()
    reason = "a user's default account is one of its own allocations"
    for user in sorted(everyone):
        address = kinds.user(user)
        mine = sorted(own_accounts.get(user, ()))
        if common := scope.common_default.get(user):
            desired.objects[address] = Obj({"default_account": common}, "default_account_policy is common")
            continue
        if address not in actual or user in scope.held_users:
            continue
        others = sorted(staying[user] - set(mine) - {ROOT})
        # what exists first, what is yet to be made next; never root, where no limit holds
        choice = [*sorted(mine, key=lambda n: n not in staying[user]), *others]
        if not choice:
            continue
        refused = set(losing[user])
        if mine and not scope.leave_defaults:
            refused |= {"", ROOT}
        if refused:
            wanted = Unless(choice[0], frozenset(refused))
            desired.objects[address] = Obj({"default_account": wanted}, reason, offerings.get(user, frozenset()))


def hold_back(desired: Desired, actual: State, missing: frozenset[str]) -> None:
    """Users that the head node does not know yet get no new associations; they are listed as waiting."""
    for user in sorted(missing):
        new = [a for a in _of_user(desired, user) if a not in actual]
        for address in new:
            del desired.objects[address]
        if new:
            accounts = ", ".join(a.key[0] for a in new)
            note = f"unknown to the head node (getent passwd), not yet added to {accounts}"
            desired.waiting.append(Note(kinds.user(user), note))


def _of_user(desired: Desired, user: str) -> Iterator[Address]:
    return (a for a in list(desired.objects) if a.kind == "slurm.association" and a.key[1] == user)


def members_to_add(desired: Desired, actual: State) -> frozenset[str]:
    """Users who would get their first or a further association."""
    return frozenset(a.key[1] for a in desired.objects if a.kind == "slurm.association" and a not in actual)
