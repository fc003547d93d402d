"""Home directories of members: planned like everything else, made one by one, proven by another look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.config import Offering
from reconciler.errors import ReconcileError
from reconciler.outcome import Record, mismatch
from reconciler.providers import host
from reconciler.providers.runner import CommandRunner
from reconciler.state import kinds
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Stage
from reconciler.state.model import Desired, Note, State

_SHOWN = 5


@dataclass
class Homes:
    """The members' homes: as they should be, and as they are."""

    desired: Desired = field(default_factory=Desired)
    actual: State = field(default_factory=dict)


def members(offerings: Sequence[Offering], cluster: Desired) -> dict[str, Offering]:
    """Users with an association in an offering that makes homes, and the first such offering of each."""
    serving = {o.name: o for o in offerings if o.backend_settings.enable_user_homedir_account_creation}
    found: dict[str, Offering] = {}
    for address, obj in cluster.objects.items() if serving else ():
        if address.kind == "slurm.association" and address not in cluster.held:
            for name in sorted(obj.offerings & serving.keys()):
                found.setdefault(address.key[1], serving[name])
    return found


def read(runner: CommandRunner, users: Mapping[str, Offering]) -> Homes:
    """Look at all homes at once. A base directory that cannot be read spoils the homes below it alone."""
    homes = Homes()
    known = host.accounts(runner, users) if users else {}
    groups: dict[str | None, list[str]] = defaultdict(list)
    for user, offering in users.items():
        groups[offering.backend_settings.homedir_base_path].append(user)
    for base, names in groups.items():
        mine = {n: known[n] for n in names if n in known}
        paths = {n: host.home_path(a, base) for n, a in mine.items()}
        entries, unreadable = _scanned(runner, paths.values())
        lost = {n for n, path in paths.items() if path.rpartition("/")[0] in unreadable}
        placeless = {n for n, path in paths.items() if host.path_problem(path)}
        for text in sorted(unreadable.values()):
            offering = users[names[0]]
            note = Note(kinds.homedir(min(lost)), f"home directories there are left alone: {text}", offering.name)
            homes.desired.refused.append(note)
        sound = {n: a for n, a in mine.items() if n not in lost | placeless}
        homes.actual |= host.actual(sound, entries, base)
        for one in {users[n].name: users[n] for n in names}.values():
            here = [n for n in names if users[n] is one]
            wanted, _ = host.desired(
                [n for n in here if n in sound],
                sound,
                entries,
                one.backend_settings,
                reason=f'member of offering "{one.name}"; enable_user_homedir_account_creation',
                offerings=frozenset({one.name}),
            )
            homes.desired.objects |= wanted
            _without(homes, one, sorted(n for n in here if n not in mine), "unknown to this host (getent passwd)")
            _without(homes, one, sorted(placeless & set(here)), "passwd gives them no place for a home")
    return homes


def _without(homes: Homes, offering: Offering, names: Sequence[str], why: str) -> None:
    if names:
        more = f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else ""
        text = f"{why}, so without homes: {', '.join(names[:_SHOWN])}{more}"
        homes.desired.warnings.append(Note(kinds.homedir(names[0]), text, offering.name))


def _scanned(runner: CommandRunner, paths: Iterable[str]) -> tuple[dict[str, host.Entry], dict[str, str]]:
    """What lies at these paths, and base directories that could not be read, with the reason."""
    listed = list(paths)
    try:
        return host.homedirs(runner, listed), {}
    except ReconcileError:
        pass  # one of them spoils the scan of all, so each is looked at alone
    entries: dict[str, host.Entry] = {}
    unreadable: dict[str, str] = {}
    by_base: dict[str, list[str]] = defaultdict(list)
    for path in listed:
        by_base[path.rpartition("/")[0]].append(path)
    for base, here in by_base.items():
        try:
            entries |= host.homedirs(runner, here)
        except ReconcileError as error:
            unreadable[base] = str(error)
    return entries, unreadable


def write(runner: CommandRunner, record: Record) -> None:
    """Make what the plan wants made; what is there already is corrected in its mode alone."""
    ready = record.ready(c for c in record.plan.changes if KINDS[c.address.kind].stage is Stage.HOST)
    if not ready:
        return
    try:
        known = host.accounts(runner, [c.address.key[0] for c in ready])
    except ReconcileError as error:
        _fail_all(record, ready, error.message)
        return
    for change in ready:
        user = change.address.key[0]
        after = change.after or {}
        account = known.get(user)
        if account is None:
            record.fail(change, f"the host does not know user {user} any more")
            continue
        try:
            record.start(change, f"{change.action.value} {after['path']} with mode {after['mode']}")
        except ReconcileError as error:
            record.fail(change, f"not tried: {error.message}")
            continue
        work = host.create if change.action is Action.CREATE else host.correct_mode
        if problem := work(runner, account, str(after["path"]), int(str(after["mode"]), 8)):
            record.fail(change, problem)
        else:
            record.progress(change)
    _confirm(runner, record, [c for c in ready if c.address in record.outcome.done], known)


def _confirm(
    runner: CommandRunner, record: Record, changes: Sequence[Change], known: Mapping[str, host.Account]
) -> None:
    try:
        now = _now(runner, changes, known)
    except ReconcileError as error:
        _fail_all(record, changes, f"not confirmed: {error.message}")
        return
    for change in changes:
        record.judge(change, mismatch(change, now))


def _now(runner: CommandRunner, changes: Iterable[Change], known: Mapping[str, host.Account]) -> State:
    paths = {c.address: str((c.after or {})["path"]) for c in changes}
    entries, _ = _scanned(runner, paths.values())
    state: State = {}
    for address, path in paths.items():
        user = address.key[0]
        if (account := known.get(user)) is not None:
            base = None if host.home_path(account, None) == path else path.rpartition("/")[0]
            state |= host.actual({user: account}, entries, base)
    return state


def _fail_all(record: Record, changes: Iterable[Change], text: str) -> None:
    for change in changes:
        record.fail(change, text)


def told(runner: CommandRunner, changes: Iterable[Change]) -> State:
    """The homes that a plan changes, as they are at this moment."""
    addresses: list[Change] = [c for c in changes if KINDS[c.address.kind].stage is Stage.HOST]
    if not addresses:
        return {}
    return _now(runner, addresses, host.accounts(runner, [c.address.key[0] for c in addresses]))
