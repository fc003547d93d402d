"""A user's default account: wanted, moved out of the way of what goes, and removed last.

sacctmgr(1): a user's default account cannot be removed while others remain, not even in the same command.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from reconciler.config.settings import COMMON
from reconciler.providers.slurm.kinds import ROOT, user
from reconciler.state.diff import Action, Change, values_of
from reconciler.state.kinds import is_account, is_member
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, Obj, State
from reconciler.state.values import Unless

_KIND = "slurm.user"


def want(desired: Desired, managed: Managed, actual: State) -> None:
    """A user's default account is one of its own allocations, and never one that it is about to lose."""
    own_accounts: dict[str, list[str]] = defaultdict(list)
    held = {a.key[0] for a in desired.held if is_account(a)}
    offerings: dict[str, frozenset[str]] = {}
    for side in (desired.objects, desired.absent):
        for address, obj in side.items():
            if is_member(address):
                name, who = address.key
                known = offerings.get(who)
                offerings[who] = obj.offerings if known is None else known | obj.offerings
                if side is desired.objects and name not in held:
                    own_accounts[who].append(name)
    losing: dict[str, set[str]] = defaultdict(set)
    staying: dict[str, set[str]] = defaultdict(set)
    for address in actual:
        if is_member(address):
            (losing if address in desired.absent else staying)[address.key[1]].add(address.key[0])
    reason = "a user's default account is one of its own allocations"
    for who in sorted(own_accounts.keys() | losing.keys()):
        address = user(who)
        mine = sorted(own_accounts.get(who, ()))
        if common := managed.common_default.get(who):
            desired.objects[address] = Obj({"default_account": common}, COMMON)
            continue
        if address not in actual or who in managed.held_users:
            continue
        others = sorted(staying[who] - set(mine) - {ROOT})
        # what exists first, what is yet to be made next; never root, where no limit holds
        choice = [*(n for n in mine if n in staying[who]), *(n for n in mine if n not in staying[who]), *others]
        refused = set(losing[who])
        if mine and not managed.leave_defaults:
            refused |= {"", ROOT}
        if choice and refused:
            wanted = Unless(choice[0], frozenset(refused))
            desired.objects[address] = Obj({"default_account": wanted}, reason, offerings.get(who, frozenset()))


def settle(changes: Iterable[Change], actual: State) -> list[Change]:
    """Once guards have blocked some changes: moves that are needed now, none that are not, and what cannot go."""
    return _stuck(_with_moves(_without_needless_moves(list(changes)), actual))


def _without_needless_moves(changes: list[Change]) -> list[Change]:
    """Leave a user's default account where it is when the association it moves away from stays."""
    staying = {c.address.key for c in changes if c.blocked and c.action is Action.DELETE}
    return [
        c
        for c in changes
        if c.address.kind != _KIND
        or c.before is None
        or (c.before.get("default_account"), c.address.key[0]) not in staying
    ]


def _with_moves(changes: list[Change], actual: State) -> list[Change]:
    """Move defaults off accounts that users lose while a guard keeps them in another, which was to go as well."""
    going = {c.address for c in changes if c.action is Action.DELETE and not c.blocked}
    planned = {c.address for c in changes}
    staying: dict[str, list[str]] = defaultdict(list)
    for address in actual:
        if is_member(address) and address not in going:
            staying[address.key[1]].append(address.key[0])
    moves = []
    for change in changes:
        if not is_member(change.address) or change.address not in going:
            continue
        account, name = change.address.key
        owner = user(name)
        present = actual.get(owner)
        # root is no default to move to: no limit holds there
        left = sorted(n for n in staying[name] if n != ROOT)
        if left and owner not in planned and present is not None and present.values["default_account"] == account:
            before = values_of(present)
            reason = f"the user loses {account}, and stays in {left[0]} for now"
            after = {**before, "default_account": left[0]}
            moves.append(Change(owner, Action.UPDATE, before, after, reason, change.offerings))
    return changes + moves


def _stuck(changes: list[Change]) -> list[Change]:
    """Block the removal from a default account that cannot be moved."""
    stuck_moves = {
        (str((c.before or {}).get("default_account")), c.address.key[0])
        for c in changes
        if c.blocked and c.address.kind == _KIND
    }
    return [
        replace(c, blocked="the user's default account cannot be moved away from it")
        if c.action is Action.DELETE and not c.blocked and c.address.key in stuck_moves
        else c
        for c in changes
    ]
