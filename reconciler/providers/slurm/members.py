"""What members have on SLURM beside their membership: shares like the others', names as they are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from reconciler.providers.slurm.kinds import ROOT, account, association, user
from reconciler.state.kinds import is_member
from reconciler.state.managed import Managed
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.names import fold
from reconciler.state.values import Wanted


def shares(desired: Desired, actual: State) -> None:
    """New members get the fairshare that the members who are there have, where these agree.

    Members with ``parent`` and members with shares of their own side by side are charged differently for the same use.
    """
    there: dict[str, set[object]] = defaultdict(set)
    for address, obj in actual.items():
        if is_member(address):
            there[address.key[0]].add(obj.values.get("fairshare"))
    values: dict[tuple[int, object], Mapping[str, Wanted]] = {}
    for address, obj in list(desired.objects.items()):
        found = there.get(address.key[0]) if is_member(address) and address not in actual else None
        if not found or found == {1} or "fairshare" in obj.values:
            continue
        share = next(iter(found)) if len(found) == 1 else 1
        why = "as the members who are there" if len(found) == 1 else "the members who are there differ"
        key = (id(obj.values), share)
        if key not in values:
            values[key] = {**obj.values, "fairshare": share if isinstance(share, int | str) else 1}
        reason = f"{obj.reason}; fairshare {share}: {why} (reconcile.member_fairshare)"
        desired.objects[address] = replace(obj, values=values[key], reason=reason)


def cased(managed: Managed, actual: State) -> bool:
    """Whether any name of a user is not all lower case, so that it matters how slurmdbd keeps them."""
    written = {str(o.values.get("name", a.key[0])) for a, o in actual.items() if a.kind == "slurm.user"}
    return any(name != fold(name) for name in {*managed.spelling.values(), *written})


def spell(desired: Desired, managed: Managed, actual: State) -> None:
    """Users' names as the portal writes them, where slurmdbd keeps the case: slurmctld finds nobody by another."""
    accounts: dict[str, Address] = {}
    for address in desired.objects:
        if is_member(address):
            accounts.setdefault(address.key[1], address)
    for name, member in accounts.items():
        wanted = managed.spelling.get(name, name)
        address = user(name)
        present = actual.get(address)
        if (str(present.values.get("name")) if present else name) == wanted or name in managed.held_users:
            continue
        known = desired.objects.get(address)
        reason = "slurmdbd keeps the case of names (PreserveCaseUser), and jobs need the name as it is"
        values: Mapping[str, Wanted] = {**(known.values if known else {}), "name": wanted}
        desired.objects[address] = Obj(values, reason, desired.objects[member].offerings, needs=frozenset({member}))


def unlimited(desired: Desired, managed: Managed, actual: State) -> list[Note]:
    """Users of the portal with an association with root, which bypasses every limit."""
    if ROOT in managed.managed or account(ROOT) in desired.held:
        return []
    names = sorted(
        a.key[1]
        for a in actual
        if is_member(a)
        and a.key[0] == ROOT
        and a not in desired.objects
        and a not in desired.absent
        and a.key[1] in managed.known_users - managed.held_users
    )
    if not names:
        return []
    count = f"{len(names)} users have one" if names[1:] else "a user has one"
    text = (
        f"{count} with {ROOT}, which bypasses every limit (older agents made it by DefaultAccount={ROOT}); remove "
        f"with: sacctmgr -i remove user where name={','.join(names)} account={ROOT}"
    )
    return [Note(association(ROOT, names[0] if not names[1:] else "*"), text)]
