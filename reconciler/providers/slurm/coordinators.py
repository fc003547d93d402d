"""Who may add people to an account beside us: coordinators of managed accounts, found out and, where asked, taken away.

A coordinator of an account is one of every account below it, and sacctmgr shows both alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from reconciler.providers.slurm import kinds
from reconciler.providers.slurm.kinds import ROOT
from reconciler.state.kinds import is_account, is_member
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.tree import Tree

_KIND = "slurm.coordinator"


def own(desired: Desired, scope: Managed, actual: State, *, take: bool) -> None:
    """Complete a desired state with coordinators: those whom roles name, and those who may not be one (any more).

    ``take``: these lose the right; else they are listed.
    """
    here = {a.key for a in actual if a.kind == _KIND}
    tree = Tree.after(desired, actual, made=True)
    members = _members(desired, scope)
    below = _below(members, tree)
    ours = members.keys() | {a.key[0] for a in desired.objects if is_account(a)}
    ours -= {a.key[0] for a in desired.held if is_account(a)}
    for account, user in sorted(here):
        top = _given(account, user, here, tree)
        if account not in ours or top not in ours or user == ROOT or user in scope.held_users:
            continue  # given above our accounts it is whoever's who gave it there
        if _may(scope, top, user, members, below):
            continue
        address, offerings = kinds.coordinator(account, user), _offerings(desired, account)
        unsure = scope.strangers_unsure and user not in scope.known_users
        if take and not unsure:
            # what only shows below goes by itself, and what was given there to a member may stay
            if account == top or user not in members.get(account, ()):
                desired.absent[address] = Obj({}, _why(scope, top, user, members, below), offerings)
        elif account == top:
            text = (
                f"{_why(scope, top, user, members, below)}: may add people to it. Remove with: sacctmgr -i remove "
                f"coordinator account={account} names={user} (or reconcile.coordinators: managed)"
            )
            desired.orphans.append(Note(address, text, min(offerings, default="")))
    for account, wanted in sorted(scope.coordinators.items()):
        for user in sorted(wanted & members[account] if account in ours & members.keys() else ()):
            reason = f"{user} has a role of reconcile.coordinators in Waldur"
            needs = frozenset({kinds.association(account, user)})
            address = kinds.coordinator(account, user)
            desired.objects[address] = Obj({}, reason, _offerings(desired, account), needs=needs)


def _may(
    scope: Managed, account: str, user: str, members: Mapping[str, set[str]], below: Mapping[str, set[str]]
) -> bool:
    """Whether somebody may add people to an account: a member of it, and of all that is below it."""
    for name in below.get(account, ()):
        roles = scope.coordinators.get(name)
        if user not in members[name] or (roles is not None and user not in roles):
            return False
    return True


def _why(
    scope: Managed, account: str, user: str, members: Mapping[str, set[str]], below: Mapping[str, set[str]]
) -> str:
    if user not in scope.known_users:
        return "coordinator, and Waldur does not know the user"
    missing = sorted(name for name in below.get(account, ()) if user not in members[name])
    if not missing:
        return "coordinator without a role of reconcile.coordinators"
    where = "" if missing == [account] else f" of {', '.join(missing[:3])}" + (" and more" if missing[3:] else "")
    return f"coordinator, and {scope.outsiders.get(user) or f'no member{where} (any more)'}"


def _given(account: str, user: str, here: set[tuple[str, ...]], tree: Tree) -> str:
    """The account on which it was given, as far as can be seen: it shows on all below."""
    for name in tree.lineage(account):
        if (name, user) not in here:
            break
        account = name
    return account


def _offerings(desired: Desired, account: str) -> frozenset[str]:
    found = desired.objects.get(kinds.account(account))
    return found.offerings if found else frozenset()


def _members(desired: Desired, scope: Managed) -> dict[str, set[str]]:
    """Members by account whose list is ours."""
    found: dict[str, set[str]] = {name: set() for name in scope.managed - scope.shared}
    for address in desired.objects:
        if is_member(address) and address.key[0] in found:
            found[address.key[0]].add(address.key[1])
    return found


def _below(members: Collection[str], tree: Tree) -> dict[str, set[str]]:
    """By account: those with members of ours that it is, or that hang below it."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in members:
        for account in tree.lineage(name):
            found[account].add(name)
    return found
