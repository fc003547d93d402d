"""Many creations as one ``sacctmgr load``: seconds instead of the minutes that one call per object takes.

Format: sacctmgr(1), "FLAT FILE DUMP AND LOAD"; what it does to existing objects was measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from reconciler.providers.command import Command
from reconciler.providers.slurm.write import WORDS, commands, text_of
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, State

#: from this many new objects on, one ``load`` replaces one ``add`` per group
LOAD_FROM = 12
_QUOTED = frozenset({"Description", "Organization", "QOS", "DefaultQOS"})


def loadable(change: Change) -> bool:
    """Whether ``sacctmgr load`` can make this object: new accounts and associations."""
    return change.action is Action.CREATE and change.address.kind in ("slurm.account", "slurm.association")


def load_command(changes: Sequence[Change], actual: State, cluster: str) -> Command:
    """All these creations as one ``sacctmgr load`` from standard input.

    ``load`` adds what is missing and deletes nothing. Ancestors that exist must be listed too, by name
    alone: without options their settings stay. The alternative is the same work as ``add`` commands.
    """
    accounts = {c.address.key[0]: c for c in changes if c.address.kind == "slurm.account"}
    users: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.address.kind == "slurm.association":
            users[change.address.key[0]].append(change)
    children: dict[str, list[str]] = defaultdict(list)
    listed: set[str] = set()
    for name in [*accounts, *users]:
        _list_with_ancestors(name, accounts, actual, children, listed)
    lines = [f"Cluster - '{cluster}'"]
    queue = ["root"]
    while queue:
        parent = queue.pop(0)
        if not children[parent] and not users[parent]:
            continue
        lines.append(f"Parent - '{parent}'")
        for name in children[parent]:
            lines.append(f"Account - '{name}'{_load_options(accounts.get(name))}")
            queue.append(name)
        lines += [f"User - '{c.address.key[1]}'{_load_options(c)}" for c in users[parent]]
    ordered = sorted(changes, key=lambda c: (c.address.kind, _depth(c.address.key[0], accounts, actual)))
    alternative = tuple(
        command
        for change_group in _same_depth(ordered, accounts, actual)
        for command in commands(change_group, cluster)
    )
    return Command(
        "sacctmgr",
        ("-i", "load", "/dev/stdin"),
        tuple(c.address for c in changes),
        stdin="\n".join(lines) + "\n",
        alternative=alternative,
    )


def _parent(name: str, accounts: Mapping[str, Change], actual: State) -> str:
    if name in accounts:
        return str((accounts[name].after or {}).get("parent") or "root")
    present = actual.get(Address("slurm.account", (name,)))
    return str(present.values.get("parent") or "") if present else ""


def _list_with_ancestors(
    name: str, accounts: Mapping[str, Change], actual: State, children: dict[str, list[str]], listed: set[str]
) -> None:
    while name and name != "root" and name not in listed:
        listed.add(name)
        parent = _parent(name, accounts, actual)
        children[parent].append(name)
        name = parent


def _depth(name: str, accounts: Mapping[str, Change], actual: State) -> int:
    depth = 0
    while name and name != "root" and depth < 100:
        name, depth = _parent(name, accounts, actual), depth + 1
    return depth


def _same_depth(changes: Sequence[Change], accounts: Mapping[str, Change], actual: State) -> Iterable[list[Change]]:
    groups: dict[tuple[str, int], list[Change]] = defaultdict(list)
    for change in changes:
        kind = change.address.kind
        depth = _depth(change.address.key[0], accounts, actual) if kind == "slurm.account" else 0
        groups[(kind, depth)].append(change)
    return groups.values()


def _load_options(change: Change | None) -> str:
    if change is None:
        return ""
    fields = KINDS[change.address.kind].by_name
    result = ""
    for name, value in (change.after or {}).items():
        word = WORDS.get(name, ("", ""))[1]
        text = text_of(fields[name].compare, None, value, new=True) if word else None
        if text is not None:
            result += f":{word}='{text}'" if word in _QUOTED else f":{word}={text}"
    return result
