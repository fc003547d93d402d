"""What a plan may never do unasked. Pure: facts about jobs and usage come from the caller.

Some guards block single changes and let the others go on; others refuse the whole plan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from reconciler.config import Guards
from reconciler.plan import Refusal
from reconciler.state import kinds
from reconciler.state.diff import Action, Change, values_of
from reconciler.state.model import Address, Desired, Note, State
from reconciler.state.naming import fold

MIN_READ_SHARE = "min_read_share"


@dataclass(frozen=True)
class Activity:
    """What runs and ran on the accounts that would lose something.

    ``jobs``: running and pending jobs by (account, user); ``used``: accounts with usage in this month;
    ``unknown``: why nothing could be found out.
    """

    jobs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    unknown: str = ""
    usage_unknown: str = ""  # the same of usage alone
    since: str = "the first of the month"  # what ``used`` looks back to


@dataclass(frozen=True)
class Screened:
    """Changes after the guards of single objects; ``busy``: accounts that an order ends, kept by their jobs."""

    changes: list[Change]
    waiting: list[Note]
    busy: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """Accounts that customers' orders end, and what that means for their jobs."""

    accounts: frozenset[str] = frozenset()
    jobs: Literal["cancel_jobs", "wait", "refuse"] = "cancel_jobs"


def _lift(key: str) -> str:
    return f"(reconcile.guards.{key}, or --allow {key})"


def screen(
    changes: Sequence[Change],
    actual: State,
    activity: Activity,
    guards: Guards,
    *,
    drain: bool = False,
    ending: Ending = Ending(),
    orphans: frozenset[str] = frozenset(),
    allowed: frozenset[str] = frozenset(),
) -> Screened:
    """Block single changes that need consent; with ``drain`` turn removals of busy users into a stop.

    ``orphans``: accounts that go only because nobody names them, for which a mistake is likeliest.
    """
    busy = _busy(ending, activity)
    changes = [c for c in changes if not _postponed(c, busy, ending, actual)]
    leaving = {c.address.key[0] for c in changes if c.action is Action.DELETE and _is_account(c)}
    staying = _children_that_stay(changes, actual)
    result: list[Change] = []
    waiting: list[Note] = []
    accounts: dict[str, str] = {}  # accounts whose deletion is blocked together with what hangs on them
    partly: set[str] = set()  # accounts that stay for now, but whose members lose access
    for change in changes:
        if change.action is Action.DELETE and _is_account(change):
            why, whole = _account_block(change, staying, activity, guards, allowed, ending, orphans)
            if why and whole:
                accounts[change.address.key[0]] = why
            elif why:
                partly.add(change.address.key[0])
    for change in changes:
        blocked = change.blocked or _protected(change.address, guards)
        if not blocked and change.action is Action.DELETE:
            if _is_account(change):
                blocked = _account_block(change, staying, activity, guards, allowed, ending, orphans)[0]
            elif change.address.kind == "slurm.association":
                account = change.address.key[0]
                if account in leaving and account in accounts:
                    blocked = f"account {account} stays: {accounts[account]}"
                else:
                    # without consent no job of an ending account is cancelled: its members are drained
                    consent = account in ending.accounts and ending.jobs == "cancel_jobs"
                    stop = account in partly or account in busy or (drain and not consent)
                    turned = _member_removal(change, activity, stop)
                    if isinstance(turned, Note):
                        waiting.append(turned)
                        continue
                    change, blocked = turned, turned.blocked  # noqa: PLW2901  # what it was turned into
        result.append(replace(change, blocked=blocked) if blocked else change)
    return Screened(result, waiting, busy)


def _busy(ending: Ending, activity: Activity) -> dict[str, int]:
    """Accounts that an order ends and that have to wait for their jobs, with the number of jobs."""
    found: dict[str, int] = defaultdict(int)
    for (account, _), jobs in activity.jobs.items() if ending.jobs != "cancel_jobs" else ():
        if account in ending.accounts:
            found[account] += jobs
    return dict(found)


def _postponed(change: Change, busy: Mapping[str, int], ending: Ending, actual: State) -> bool:
    """Whether a deletion has to wait for an account whose jobs an order waits for."""
    if change.action is not Action.DELETE or not busy:
        return False
    if change.address.kind == "slurm.association":
        # refused: the order fails, so nobody leaves; wait: who has no jobs leaves
        return ending.jobs == "refuse" and change.address.key[0] in busy
    above: set[str] = set()
    for name in busy:
        here = name
        while here and here not in above:
            above.add(here)
            obj = actual.get(kinds.account(here))
            here = str(obj.values.get("parent") or "") if obj is not None else ""
    return _is_account(change) and change.address.key[0] in above


def _is_account(change: Change) -> bool:
    return change.address.kind == "slurm.account"


def _protected(address: Address, guards: Guards) -> str:
    # of an association it is the user that counts: removing one from root harms no one
    name = address.key[-1] if address.kind == "slurm.association" else address.key[0]
    if address.kind == "slurm.qos":
        return ""
    if any(fnmatchcase(name, fold(p)) for p in guards.protected):
        return f"{name!r} is protected (reconcile.guards.protected)"
    return ""


def _children_that_stay(changes: Sequence[Change], actual: State) -> dict[str, list[str]]:
    moving = {
        c.address.key[0]
        for c in changes
        if _is_account(c)
        and not c.blocked
        and (c.action is Action.DELETE or (c.action is Action.UPDATE and "parent" in c.changed()))
    }
    staying: dict[str, list[str]] = defaultdict(list)
    for address, obj in actual.items():
        if address.kind == "slurm.account" and address.key[0] not in moving:
            staying[str(obj.values.get("parent") or "")].append(address.key[0])
    return staying


def _account_block(
    change: Change,
    staying: Mapping[str, list[str]],
    activity: Activity,
    guards: Guards,
    allowed: frozenset[str],
    ending: Ending,
    orphans: frozenset[str],
) -> tuple[str, bool]:
    """Why an account may not go, and whether its members then stay as well."""
    name = change.address.key[0]
    if reason := _protected(change.address, guards):
        return reason, True
    children = sorted(staying.get(name, ()))
    if children:
        shown = ", ".join(children[:5]) + (f" and {len(children) - 5} more" if children[5:] else "")
        return f"accounts below it would go along: {shown} {_lift('delete_with_children')}", True
    if activity.unknown:
        return f"its jobs and usage cannot be found out: {activity.unknown}", True
    if name in ending.accounts:
        return "", False  # the customer's order is the consent, and reconcile.on_terminate says what jobs mean
    jobs = sum(n for (account, _), n in activity.jobs.items() if account == name)
    used = name in activity.used
    usage = activity.usage_unknown and f"whether it was used cannot be found out: {activity.usage_unknown}"
    if name in orphans and jobs:
        return f"an orphan that is in use is never removed: {jobs} jobs are running or waiting", True
    if name in orphans and (used or usage) and "prune_grace" in allowed:
        return "", False
    if name in orphans and usage and guards.prune_grace:
        return f"{usage} {_lift('prune_grace')}", True
    if name in orphans and used and guards.prune_grace:
        return (
            f"an orphan that is in use is never removed: it was used since {activity.since} {_lift('prune_grace')}",
            True,
        )
    if jobs and not (guards.delete_with_jobs or "delete_with_jobs" in allowed):
        return f"{jobs} jobs are running or waiting {_lift('delete_with_jobs')}; no new ones meanwhile", False
    if used and not (guards.delete_with_usage or "delete_with_usage" in allowed):
        return f"it has usage since {activity.since} {_lift('delete_with_usage')}; its members lose access now", False
    if usage and not (guards.delete_with_usage or "delete_with_usage" in allowed):
        return f"{usage} {_lift('delete_with_usage')}; its members lose access now", False
    return "", False


def _member_removal(change: Change, activity: Activity, drain: bool) -> Change | Note:
    account, user = change.address.key
    jobs = activity.jobs.get((account, user), 0)
    if activity.unknown:
        return replace(change, blocked=f"the user's jobs cannot be found out: {activity.unknown}")
    if not jobs:
        return change
    if not drain:
        return replace(change, reason=f"{change.reason}; cancels {jobs} job{'s' * (jobs > 1)}", jobs=jobs)
    reason = f"{change.reason}; draining, {jobs} job{'s' * (jobs > 1)} left"
    before = change.before or {}
    if before.get("max_submit_jobs") == 0:
        return Note(change.address, reason, next(iter(sorted(change.offerings)), ""))
    return replace(change, action=Action.UPDATE, after={**before, "max_submit_jobs": 0}, reason=reason)


def propagate(changes: Iterable[Change], actual: State) -> list[Change]:
    """Block what depends on something that neither exists nor is made: a member of a blocked account."""
    listed = _without_needless_moves(list(changes))
    made = {c.address for c in listed if c.action is Action.CREATE and not c.blocked}
    held = {c.address for c in listed if c.action is Action.CREATE} - made
    progress = True
    while progress:
        progress = False
        for number, change in enumerate(listed):
            if change.blocked or change.action is Action.DELETE:
                continue
            needs = kinds.KINDS[change.address.kind].depends(change.address.key, change.after or {})
            missing = next((n for n in needs if n not in actual and n not in made), None)
            if missing is None:
                continue
            what = "is blocked" if missing in held else "does not exist on the cluster"
            listed[number] = replace(change, blocked=f"it needs {missing}, which {what}")
            if change.address in made:
                made.discard(change.address)
                held.add(change.address)
                progress = True
    return _nothing_hangs_on(_with_moves(listed, actual), actual)


def _with_moves(changes: list[Change], actual: State) -> list[Change]:
    """Move defaults off accounts that users lose while a guard keeps them in another, which was to go as well.

    sacctmgr removes nobody from a default account while others remain.
    """
    going = {c.address for c in changes if c.action is Action.DELETE and not c.blocked}
    planned = {c.address for c in changes}
    staying: dict[str, list[str]] = defaultdict(list)
    for address in actual:
        if address.kind == "slurm.association" and address not in going:
            staying[address.key[1]].append(address.key[0])
    moves = []
    for change in changes:
        if change.address.kind != "slurm.association" or change.address not in going:
            continue
        account, name = change.address.key
        owner = kinds.user(name)
        present = actual.get(owner)
        # root is no default to move to: no limit holds there
        left = sorted(n for n in staying[name] if n != "root")
        if left and owner not in planned and present is not None and present.values["default_account"] == account:
            before = values_of(present)
            reason = f"the user loses {account}, and stays in {left[0]} for now"
            after = {**before, "default_account": left[0]}
            moves.append(Change(owner, Action.UPDATE, before, after, reason, change.offerings))
    return changes + moves


def _nothing_hangs_on(changes: list[Change], actual: State) -> list[Change]:
    """Block the deletion of an account on which anything stays, and of a default account that cannot be moved."""
    stuck_moves = {
        (str((c.before or {}).get("default_account")), c.address.key[0])
        for c in changes
        if c.blocked and c.address.kind == "slurm.user"
    }
    listed = [
        replace(c, blocked="the user's default account cannot be moved away from it")
        if c.action is Action.DELETE and not c.blocked and c.address.key in stuck_moves
        else c
        for c in changes
    ]
    while True:
        left = _left_on(listed, actual)
        found = {
            n: left[c.address.key[0]]
            for n, c in enumerate(listed)
            if c.action is Action.DELETE and _is_account(c) and not c.blocked and c.address.key[0] in left
        }
        if not found:
            return listed
        for number, address in found.items():
            listed[number] = replace(listed[number], blocked=f"{address} stays and would go along")


def _left_on(changes: Iterable[Change], actual: State) -> dict[str, Address]:
    """Accounts with something on them that the unblocked changes neither remove nor move away."""
    gone = {c.address for c in changes if c.action is Action.DELETE and not c.blocked}
    parents = {
        c.address: c.after.get("parent")
        for c in changes
        if c.action is Action.UPDATE and not c.blocked and _is_account(c) and c.after is not None
    }
    left: dict[str, Address] = {}
    for address, obj in actual.items():
        if address in gone:
            continue
        if address.kind == "slurm.association":
            left.setdefault(address.key[0], address)
        elif address.kind == "slurm.account":
            parent = parents.get(address, obj.values.get("parent"))
            if isinstance(parent, str):
                left.setdefault(parent, address)
    return left


def _without_needless_moves(changes: list[Change]) -> list[Change]:
    """Leave a user's default account where it is when the association it moves away from stays."""
    staying = {c.address.key for c in changes if c.blocked and c.action is Action.DELETE}
    return [
        c
        for c in changes
        if c.address.kind != "slurm.user"
        or c.before is None
        or (c.before.get("default_account"), c.address.key[0]) not in staying
    ]


def refusals(
    changes: Sequence[Change],
    desired: Desired,
    actual: State,
    guards: Guards,
    *,
    resources: int,
    managed: int,
    silent: Mapping[str, int] | None = None,
    ordered: frozenset[str] = frozenset(),
    shrunken: Mapping[str, tuple[int, int]] | None = None,
    allowed: frozenset[str] = frozenset(),
) -> list[Refusal]:
    """Guards that refuse the plan as a whole. ``managed``: allocation accounts on the cluster;
    ``silent``: offerings without any resource, with the number of unknown accounts that look like theirs;
    ``ordered``: accounts whose end customers ordered, which count as consent;
    ``shrunken``: by offering, the resources that it has now and had at the last good read.
    """
    found: list[Refusal] = []
    if resources == 0 and managed and not guards.allow_empty_portal:
        found.append(
            Refusal(
                "allow_empty_portal",
                f"Waldur has no resources at all, the cluster has {managed} accounts under management",
            )
        )
    for offering, count in sorted((silent or {}).items()):
        if resources and count and not guards.allow_empty_portal:
            text = (
                f"Waldur has no resources at all for offering {offering!r}, the cluster has {count} accounts like its"
            )
            found.append(Refusal("allow_empty_portal", text))
    if resources and managed and resources < guards.min_resources_share * managed:
        found.append(
            Refusal(
                "min_resources_share",
                f"Waldur has {resources} resources, below {guards.min_resources_share:g} of the {managed} accounts "
                "that the cluster has under management",
            )
        )
    for offering, (now, before) in sorted((shrunken or {}).items()):
        if now < guards.min_read_share * before:
            text = (
                f"Waldur has {now} resources for offering {offering!r}, below {guards.min_read_share:g} of the "
                f"{before} that it had at the last good read and that have not ended since"
            )
            found.append(Refusal(MIN_READ_SHARE, text))
    totals = Counter(a.kind for a in actual if a in desired.objects or a in desired.absent)
    leaving = {c.address.key[0] for c in changes if c.action is Action.DELETE and _is_account(c)}
    deletions = Counter(
        c.address.kind
        for c in changes
        # what hangs on a deleted account is counted with it
        if c.action is Action.DELETE
        and not (c.address.kind == "slurm.association" and c.address.key[0] in leaving)
        and not (c.address.kind in ("slurm.account", "slurm.association") and c.address.key[0] in ordered)
    )
    for kind, count in sorted(deletions.items()):
        limit = max(guards.max_deletions, int(guards.max_deletions_share * totals[kind]))
        if count > limit:
            text = f"{count} deletions of {kind}, of {totals[kind]}; more than {limit} at once need consent"
            found.append(Refusal("max_deletions", text))
    updates = Counter(c.address.kind for c in changes if c.action is Action.UPDATE and _weighty(c, ordered))
    for kind, count in sorted(updates.items()):
        if totals[kind] > guards.updates_above and count > guards.max_updates_share * totals[kind]:
            text = (
                f"{count} updates of {kind}, of {totals[kind]}; more than "
                f"{guards.max_updates_share:.0%} at once need consent"
            )
            found.append(Refusal("max_updates_share", text))
    return [r for r in found if r.key not in allowed]


def _weighty(change: Change, ordered: frozenset[str]) -> bool:
    """Whether an update counts: on the cluster all do, of what the portal is told only states of resources."""
    if change.address.kind == "slurm.association" and change.address.key[0] in ordered:
        return False
    if kinds.on_cluster(change.address):
        return True
    return change.address.kind == "waldur.resource" and "state" in change.changed()


#: what ``--allow`` takes
ALLOWABLE = (
    "allow_empty_portal",
    MIN_READ_SHARE,
    "prevent_downgrade",
    "min_resources_share",
    "max_deletions",
    "max_updates_share",
    "delete_with_jobs",
    "delete_with_children",
    "delete_with_usage",
    "prune_grace",
    "allow_decrease",
)
