"""Changes as ``sacctmgr`` commands: few and big, argv lists, names already validated.

Formats: sacctmgr(1), "SPECIFICATIONS FOR ACCOUNTS/USERS/QOS" and "FLAT FILE DUMP AND LOAD".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from reconciler.providers.command import Command
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.reset import FIELD, Emptied, arguments
from reconciler.providers.slurm.tres import format_tres, tres_change
from reconciler.state import compare
from reconciler.state.compare import Compare
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address
from reconciler.state.values import Value, json_value, numbers_of

# one argument may have 128 KiB on Linux; well below it, a list is split
MAX_LIST = 60_000

# field → the word in ``set`` and in ``add``, and the one in a load file
WORDS = {
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
    "name": ("NewName", ""),
}
# what does not move rows in the association tree may be set side by side
_PARALLEL = frozenset({"fairshare", "grp_tres_mins", "grp_tres", "max_tres_mins", "grp_submit_jobs", "max_submit_jobs"})


def commands(step: Sequence[Change], cluster: str, runner: CommandRunner | None = None) -> list[Command]:
    """The commands for one step of a plan; the order of the list is the order to run them in.

    ``runner``: for calls that look before they do anything.
    """
    by_sort: dict[tuple[str, Action], list[Change]] = defaultdict(list)
    for change in step:
        by_sort[(change.address.kind, change.action)].append(change)
    result = _resets([c for c in step if c.action is Action.UPDATE and FIELD in c.changed()], cluster, runner)
    for (kind, action), changes in by_sort.items():
        result += _WRITERS[kind, action](changes, cluster)
    return result


def _resets(changes: Sequence[Change], cluster: str, runner: CommandRunner | None) -> list[Command]:
    """What was counted in the last period goes before the limits of this one come."""
    by_name = {c.address.key[0]: c.address for c in changes}

    def command(names: Sequence[str]) -> Command:
        single = tuple(command([n]) for n in names) if len(names) > 1 else ()
        once = Emptied(runner, tuple(names), cluster) if runner is not None else None
        addresses = tuple(by_name[n] for n in names)
        return Command("sacctmgr", arguments(names, cluster), addresses, alternative=single, once=once)

    return [command(names) for names in batches(by_name)]


def batches(names: Iterable[str]) -> Iterable[list[str]]:
    """Names in lists of which none is too long for an argument."""
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
        f"{WORDS[name][0]}={text}"
        for name in change.changed()
        if name != FIELD
        and (text := text_of(fields[name].compare, before.get(name), after[name], new=change.before is None))
        is not None
    )


def text_of(how: Compare, before: Value, after: Value, *, new: bool) -> str | None:
    """A field's new value as sacctmgr takes it, or None when there is nothing to say."""
    if how is compare.NUMBERS:
        return format_tres(tres_change(numbers_of(before), numbers_of(after))) or None
    if how is compare.SET:
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
    for names in batches(by_name):
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
        if not settings:
            continue  # its counters alone
        parallel = all({*c.changed()} - {FIELD} <= _PARALLEL for c in group)
        tail = (f"cluster={cluster}", "set", *settings)
        result += _simple(group, ("-i", "modify", "account", "where"), tail, parallel=parallel)
    return result


def _remove_accounts(changes: Sequence[Change], cluster: str) -> list[Command]:
    return _simple(changes, ("-i", "remove", "account", "where"), (f"cluster={cluster}",))


def _pairs(
    changes: Sequence[Change], head: tuple[str, ...], tail: tuple[str, ...], *, parallel: bool = False
) -> list[Command]:
    """``head name=u,v account=a,b tail``: accounts with just the same users share a call, as it is a product."""
    return [_pair_command(names, accounts, head, tail, parallel=parallel) for names, accounts in _products(changes)]


def _products(changes: Sequence[Change]) -> Iterator[tuple[list[str], list[str]]]:
    """Users and accounts of which every pair is among the changes, none too long for an argument."""
    users: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        users[change.address.key[0]].append(change.address.key[1])
    accounts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for account, members in users.items():
        accounts[tuple(sorted(members))].append(account)
    for names, holders in accounts.items():
        for part in batches(names):
            for where in batches(holders):
                yield part, where


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


def _coordinators(changes: Sequence[Change], verb: str) -> list[Command]:
    """``add|remove coordinator account=a,b names=u,v``."""

    def command(names: Sequence[str], holders: Sequence[str]) -> Command:
        addresses = tuple(Address("slurm.coordinator", (a, u)) for a in holders for u in names)
        single = tuple(command([u], [a]) for a in holders for u in names) if len(addresses) > 1 else ()
        arguments = ("-i", verb, "coordinator", f"account={','.join(holders)}", f"names={','.join(names)}")
        return Command("sacctmgr", arguments, addresses, alternative=single)

    return [command(names, holders) for names, holders in _products(changes)]


def _add_coordinators(changes: Sequence[Change], cluster: str) -> list[Command]:
    return _coordinators(changes, "add")


def _remove_coordinators(changes: Sequence[Change], cluster: str) -> list[Command]:
    return _coordinators(changes, "remove")


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
    ("slurm.coordinator", Action.CREATE): _add_coordinators,
    ("slurm.coordinator", Action.DELETE): _remove_coordinators,
    ("slurm.qos", Action.CREATE): _add_qos,
    ("slurm.qos", Action.UPDATE): _modify_qos,
}
