"""Changes as ``sacctmgr`` commands: few and big, argv lists, names already validated.

Formats: sacctmgr(1), "SPECIFICATIONS FOR ACCOUNTS/USERS/QOS" and "FLAT FILE DUMP AND LOAD".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from reconciler.providers.command import Command
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Compare
from reconciler.state.model import Address, State, Value, json_value
from reconciler.state.tres import format_tres, tres_change

# one argument may have 128 KiB on Linux; well below it, a list is split
MAX_LIST = 60_000
#: from this many new objects on, one ``load`` replaces one ``add`` per group
LOAD_FROM = 12

# field → the word in ``set`` and in ``add``, and the one in a load file
_WORDS = {
    "parent": ("parent", ""),
    "description": ("description", "Description"),
    "organization": ("organization", "Organization"),
    "fairshare": ("fairshare", "Fairshare"),
    "qos": ("qos", "QOS"),
    "default_qos": ("defaultqos", "DefaultQOS"),
    "grp_tres_mins": ("GrpTRESMins", "GrpTRESMins"),
    "grp_tres": ("GrpTRES", "GrpTRES"),
    "max_tres_mins": ("MaxTRESMins", "MaxTRESMins"),
    "grp_submit_jobs": ("GrpSubmitJobs", "GrpSubmitJobs"),
    "max_submit_jobs": ("MaxSubmitJobs", "MaxSubmitJobs"),
    "flags": ("flags", ""),
    "default_account": ("DefaultAccount", ""),
}
# what does not move rows in the association tree may be set side by side
_PARALLEL = frozenset({"fairshare", "grp_tres_mins", "grp_tres", "max_tres_mins", "grp_submit_jobs", "max_submit_jobs"})
_QUOTED = frozenset({"Description", "Organization", "QOS", "DefaultQOS"})


def commands(step: Sequence[Change], cluster: str) -> list[Command]:
    """The commands for one step of a plan; the order of the list is the order to run them in."""
    by_sort: dict[tuple[str, Action], list[Change]] = defaultdict(list)
    for change in step:
        by_sort[(change.address.kind, change.action)].append(change)
    result: list[Command] = []
    for (kind, action), changes in by_sort.items():
        result += _WRITERS[kind, action](changes, cluster)
    return result


def _batches(names: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    size = 0
    for name in names:
        if batch and size + len(name) + 1 > MAX_LIST:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += len(name) + 1
    if batch:
        yield batch


def _assignments(change: Change) -> tuple[str, ...]:
    """``word=value`` for each field that changes; TRES as the difference, since SLURM merges them."""
    before, after = change.before or {}, change.after or {}
    fields = KINDS[change.address.kind].by_name
    return tuple(
        f"{_WORDS[name][0]}={text}"
        for name in change.changed()
        if (text := _text(fields[name].compare, before.get(name), after[name], new=change.before is None)) is not None
    )


def _text(compare: Compare, before: Value, after: Value, *, new: bool) -> str | None:
    if compare is Compare.TRES:
        old = before if isinstance(before, Mapping) else {}
        change = tres_change(old, after if isinstance(after, Mapping) else {})
        return format_tres(change) or None
    if compare is Compare.SET:
        names = ",".join(sorted(after)) if isinstance(after, frozenset) else ""
        return None if new and not names else names
    if after is None or after == "":
        # a new object has nothing to clear
        return None if new else "-1"
    return str(json_value(after))


def _grouped(changes: Iterable[Change]) -> dict[tuple[str, ...], list[Change]]:
    groups: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    for change in changes:
        groups[_assignments(change)].append(change)
    return groups


def _simple(
    changes: Sequence[Change], head: tuple[str, ...], tail: tuple[str, ...], *, parallel: bool = False
) -> list[Command]:
    """``head name=a,b tail`` for objects with one name, split where the list grows too long."""
    by_name = {c.address.key[0]: c for c in changes}
    result = []
    for names in _batches(by_name):
        addresses = tuple(by_name[n].address for n in names)
        single = tuple(Command("sacctmgr", (*head, f"name={n}", *tail), (by_name[n].address,), parallel) for n in names)
        arguments = (*head, f"name={','.join(names)}", *tail)
        alternative = single if len(single) > 1 else ()
        result.append(Command("sacctmgr", arguments, addresses, parallel, alternative=alternative))
    return result


def _add_accounts(changes: Sequence[Change], cluster: str) -> list[Command]:
    return [
        command
        for settings, group in _grouped(changes).items()
        for command in _simple(group, ("-i", "add", "account"), (f"cluster={cluster}", *settings))
    ]


def _modify_accounts(changes: Sequence[Change], cluster: str) -> list[Command]:
    result = []
    for settings, group in _grouped(changes).items():
        parallel = all(set(c.changed()) <= _PARALLEL for c in group)
        tail = (f"cluster={cluster}", "set", *settings)
        result += _simple(group, ("-i", "modify", "account", "where"), tail, parallel=parallel)
    return result


def _remove_accounts(changes: Sequence[Change], cluster: str) -> list[Command]:
    return _simple(changes, ("-i", "remove", "account", "where"), (f"cluster={cluster}",))


def _pairs(
    changes: Sequence[Change], head: tuple[str, ...], tail: tuple[str, ...], *, parallel: bool = False
) -> list[Command]:
    """``head name=u,v account=a,b tail``: accounts with just the same users share a call, as it is a product."""
    users: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        users[change.address.key[0]].append(change.address.key[1])
    accounts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for account, names in users.items():
        accounts[tuple(sorted(names))].append(account)
    result = []
    for members, holders in accounts.items():
        for part in _batches(members):
            for where in _batches(holders):
                result.append(_pair_command(part, where, head, tail, parallel=parallel))
    return result


def _pair_command(
    names: Sequence[str],
    accounts: Sequence[str],
    head: tuple[str, ...],
    tail: tuple[str, ...],
    *,
    parallel: bool,
) -> Command:
    addresses = tuple(Address("slurm.association", (a, u)) for a in accounts for u in names)
    arguments = (*head, f"name={','.join(names)}", f"account={','.join(accounts)}", *tail)
    single = tuple(
        Command(
            "sacctmgr",
            (*head, f"name={u}", f"account={a}", *tail),
            (Address("slurm.association", (a, u)),),
            parallel,
        )
        for a in accounts
        for u in names
    )
    return Command("sacctmgr", arguments, addresses, parallel, alternative=single if len(single) > 1 else ())


def _add_associations(changes: Sequence[Change], cluster: str) -> list[Command]:
    return [
        command
        for settings, group in _grouped(changes).items()
        for command in _pairs(group, ("-i", "add", "user"), (f"cluster={cluster}", *settings))
    ]


def _modify_associations(changes: Sequence[Change], cluster: str) -> list[Command]:
    result = []
    for settings, group in _grouped(changes).items():
        parallel = all(set(c.changed()) <= _PARALLEL for c in group)
        tail = (f"cluster={cluster}", "set", *settings)
        result += _pairs(group, ("-i", "modify", "user", "where"), tail, parallel=parallel)
    return result


def _remove_associations(changes: Sequence[Change], cluster: str) -> list[Command]:
    return _pairs(changes, ("-i", "remove", "user", "where"), (f"cluster={cluster}",))


def _modify_users(changes: Sequence[Change], cluster: str) -> list[Command]:
    # a user record comes with its first association; both "new" and "changed" set the default account
    return [
        command
        for settings, group in _grouped(changes).items()
        for command in _simple(group, ("-i", "modify", "user", "where"), (f"cluster={cluster}", "set", *settings))
    ]


def _add_qos(changes: Sequence[Change], cluster: str) -> list[Command]:
    return [c for s, g in _grouped(changes).items() for c in _simple(g, ("-i", "add", "qos"), s)]


def _modify_qos(changes: Sequence[Change], cluster: str) -> list[Command]:
    return [
        c
        for settings, g in _grouped(changes).items()
        for c in _simple(
            g,
            ("-i", "modify", "qos", "where"),
            ("set", *("flags=-1" if s == "flags=" else s for s in settings)),
        )
    ]


_WRITERS = {
    ("slurm.account", Action.CREATE): _add_accounts,
    ("slurm.account", Action.UPDATE): _modify_accounts,
    ("slurm.account", Action.DELETE): _remove_accounts,
    ("slurm.association", Action.CREATE): _add_associations,
    ("slurm.association", Action.UPDATE): _modify_associations,
    ("slurm.association", Action.DELETE): _remove_associations,
    ("slurm.user", Action.CREATE): _modify_users,
    ("slurm.user", Action.UPDATE): _modify_users,
    ("slurm.qos", Action.CREATE): _add_qos,
    ("slurm.qos", Action.UPDATE): _modify_qos,
}


# ---------------------------------------------------------------------- load


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
        word = _WORDS[name][1]
        text = _text(fields[name].compare, None, value, new=True) if word else None
        if text is not None:
            result += f":{word}='{text}'" if word in _QUOTED else f":{word}={text}"
    return result
