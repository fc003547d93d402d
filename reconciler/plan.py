"""A plan is data: changes in order, and everything a person must decide. Rendering, JSON and apply read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from reconciler.errors import StalePlanError
from reconciler.state import kinds
from reconciler.state.diff import MOMENTS, Action, Change, values_of
from reconciler.state.kinds import KINDS, Kind, Stage, on_cluster
from reconciler.state.model import Address, Note, State

#: how plans of usage alone are labelled: usage-CLUSTER, or usage-dwdi where there is no cluster
USAGE = "usage-"


#: guards that doubt how few resources the portal has
SHRINKING = ("min_read_share", "min_resources_share")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard that refuses the whole plan, with its config key (below ``reconcile.guards``)."""

    key: str
    text: str

    @property
    def lifted_by(self) -> str:
        """How to go on nevertheless."""
        once = f"--allow {self.key} for this run" + (", --accept-shrink once" if self.key in SHRINKING else "")
        return f"reconcile.guards.{self.key} in the configuration, or {once}"


@dataclass(frozen=True)
class Plan:
    """What would happen to one cluster. ``changes`` are in the order of execution."""

    cluster: str
    offerings: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    blocked: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    orphans: tuple[Note, ...] = ()
    refused: tuple[Note, ...] = ()
    waiting: tuple[Note, ...] = ()
    warnings: tuple[Note, ...] = ()
    config_digest: str = ""
    created: str = ""
    resources: int = 0
    cancels_jobs: bool = True
    allowed: frozenset[str] = field(default_factory=frozenset)
    partial: bool = False  # --target or --offering left out the rest

    @property
    def title(self) -> str:
        """What it is about."""
        where = f"Usage of {self.cluster.removeprefix(USAGE)}"
        where = where if self.cluster.startswith(USAGE) else f"Cluster {self.cluster}"
        return f"{where}, offerings: {', '.join(self.offerings)}"

    @property
    def nothing(self) -> str:
        """What an empty plan says."""
        usage = self.cluster.startswith(USAGE)
        return "No changes. Waldur has all usage." if usage else "No changes. Your cluster matches Waldur."

    @property
    def stuck(self) -> bool:
        """Something is blocked or refused: an apply of this plan cannot converge."""
        return bool(self.blocked or self.refused)

    @property
    def empty(self) -> bool:
        """Nothing to do and nothing blocked."""
        return not self.changes and not self.stuck

    def count(self, action: Action) -> int:
        """Number of changes with this action."""
        return sum(c.action is action for c in self.changes)


def now_text(clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """The time as Terraform writes it."""
    return clock().strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------- order


def steps(changes: Iterable[Change], actual: State | None = None) -> list[list[Change]]:
    """Changes in groups; each group only needs the groups before it.

    QoS first, then accounts from the root down, associations, default accounts, settings of associations and
    of accounts; then deletions the other way round.
    """
    listed = list(changes)
    depth = _depths(listed, actual or {})
    groups: dict[tuple[int, int, int], list[Change]] = {}
    for change in listed:
        groups.setdefault(_position(change, depth), []).append(change)
    return [sorted(groups[key], key=lambda c: c.address) for key in sorted(groups)]


def _position(change: Change, depth: Mapping[str, int]) -> tuple[int, int, int]:
    kind = KINDS[change.address.kind]
    if kind.stage is not Stage.CLUSTER:
        return (kind.stage * 10, kind.rank, 0)
    return _position_on_cluster(change, kind, depth)


def _position_on_cluster(change: Change, kind: Kind, depth: Mapping[str, int]) -> tuple[int, int, int]:
    first = Stage.CLUSTER * 10
    level = depth.get(change.address.key[0], 0) if change.address.kind == "slurm.account" else 0
    if change.action is Action.DELETE:
        return (first + 2, -kind.rank, int(change.last) - level)
    if change.action is Action.UPDATE and change.address.kind == "slurm.account" and "parent" in change.changed():
        # below its new parent, before anything that might need the old one gone
        return (first, kind.rank, 1000 + level)
    if change.action is Action.UPDATE and kind.rank < KINDS["slurm.user"].rank:
        # users' own settings first: SLURM refuses a QoS for an account while a user's default is another
        return (first + 1, -kind.rank, 0)
    return (first, kind.rank, level)


def _depths(changes: Sequence[Change], actual: State) -> dict[str, int]:
    parents: dict[str, str] = {}
    for address, obj in actual.items():
        if address.kind == "slurm.account":
            parents[address.key[0]] = str(obj.values.get("parent") or "")
    for change in changes:
        if change.address.kind == "slurm.account":
            values = change.after if change.after is not None else change.before
            parents[change.address.key[0]] = str((values or {}).get("parent") or "")
    depths: dict[str, int] = {}
    for start in [c.address.key[0] for c in changes if c.address.kind == "slurm.account"]:
        path = [start]
        while path[-1] not in depths and (up := parents.get(path[-1], "")) and up not in path:
            path.append(up)
        base = depths.get(path[-1], 0)
        for distance, name in enumerate(reversed(path)):
            depths.setdefault(name, base + distance)
    return depths


def ordered(changes: Iterable[Change], actual: State | None = None) -> tuple[Change, ...]:
    """All changes in the order of :func:`steps`, default accounts marked to go last."""
    state = actual or {}
    marked = [replace(c, last=True) if _is_default(c, state) else c for c in changes]
    return tuple(change for step in steps(marked, state) for change in step)


def _is_default(change: Change, actual: State) -> bool:
    """sacctmgr refuses to remove a user's default account while others remain, even in the same command."""
    if change.action is not Action.DELETE or change.address.kind != "slurm.association":
        return False
    account, user = change.address.key
    present = actual.get(kinds.user(user))
    return present is not None and present.values.get("default_account") == account


class Mode(StrEnum):
    """The agents' words for a part of the work; each is only a selection of addresses."""

    ALL = "all"
    ORDERS = "order_process"
    MEMBERSHIP = "membership_sync"
    REPORT = "report"


def of_mode(changes: Sequence[Change], mode: Mode) -> list[Change]:
    """``order_process``: orders and what they need; ``report``: usage; ``membership_sync``: all the rest."""
    if mode is Mode.ALL:
        return list(changes)
    usage = [c for c in changes if c.address.kind == "waldur.usage"]
    if mode is Mode.REPORT:
        return usage
    ours = _with_followers(
        [c for c in changes if any(a.kind == "waldur.order" for a in (c.address, *c.needs))], changes
    )
    orders = _with_needs(ours, changes)
    if mode is Mode.ORDERS:
        return orders
    taken = {id(c) for c in (*orders, *usage)}
    # what both parts need belongs to both; what waits for an order's approval does not go without it
    bound = {id(c) for c in ours}
    rest = _with_needs([c for c in changes if id(c) not in taken], changes)
    return [c for c in rest if id(c) not in bound]


def _with_followers(chosen: Sequence[Change], changes: Sequence[Change]) -> list[Change]:
    """These changes with all that can only be made once they are."""
    found = {id(c) for c in chosen}
    before = -1
    while len(found) > before:
        before = len(found)
        leading = {c.address for c in changes if id(c) in found}
        made = {c.address for c in changes if id(c) in found and c.action is Action.CREATE}
        found |= {id(c) for c in changes if c.needs & leading or set(_depends(c)) & made or _moved(c) in leading}
    return [c for c in changes if id(c) in found]


def _moved(change: Change) -> Address | None:
    """The user whose default account has to move before this association can go."""
    if change.action is Action.DELETE and change.address.kind == "slurm.association":
        return kinds.user(change.address.key[1])
    return None


def _depends(change: Change) -> tuple[Address, ...]:
    if change.action is Action.DELETE:
        return ()
    return KINDS[change.address.kind].depends(change.address.key, change.after or {})


def select(changes: Sequence[Change], targets: Sequence[str], offering: str = "") -> list[Change]:
    """Changes that the globs in ``targets`` (or the offering) name, with the changes those depend on."""
    if not targets and not offering:
        return list(changes)
    chosen = [
        c
        for c in changes
        if (not offering or offering in c.offerings) and (not targets or any(c.address.matches(t) for t in targets))
    ]
    return _with_needs(chosen, changes)


def _with_needs(chosen: Sequence[Change], changes: Sequence[Change]) -> list[Change]:
    """These changes with all that they depend on, in the plan's order."""
    by_address: dict[Address, list[Change]] = {}
    for change in changes:
        by_address.setdefault(change.address, []).append(change)
    wanted = set()
    queue = list(chosen)
    while queue:
        change = queue.pop()
        if id(change) in wanted:
            continue
        wanted.add(id(change))
        queue += [c for a in change.needs for c in by_address.get(a, ())]
        queue += [c for a in _depends(change) for c in by_address.get(a, ()) if c.action is not Action.DELETE]
        if change.action is Action.DELETE:
            queue += _hanging(change, changes)
    return [c for c in changes if id(c) in wanted]


def _hanging(change: Change, changes: Sequence[Change]) -> list[Change]:
    """What must happen before a deletion: what hangs on the object, and moved default accounts."""
    if change.address.kind == "slurm.account":
        name = change.address.key[0]
        return [
            c
            for c in changes
            if (c.action is Action.DELETE and c.address.kind == "slurm.association" and c.address.key[0] == name)
            or (
                c.address.kind == "slurm.account"
                and (c.before or {}).get("parent") == name
                and "parent" in (c.changed() if c.action is Action.UPDATE else ("parent",))
            )
        ]
    if change.address.kind == "slurm.association":
        default = kinds.user(change.address.key[1])
        return [c for c in changes if c.address == default]
    return []


# ---------------------------------------------------------------------- preconditions


def stale(plan: Plan, actual: State) -> list[Address]:
    """Objects that no longer have the values the plan expects."""
    return [c.address for c in plan.changes if not _as_expected(c, actual)]


def _as_expected(change: Change, actual: State) -> bool:
    present = actual.get(change.address)
    if change.before is None or present is None:
        return (change.before is None) == (present is None)
    now = values_of(present)
    if not on_cluster(change.address):  # the portal moves on in other fields, like the time of the last sync
        return all(now.get(n) == change.before.get(n) for n in change.changed() if n not in MOMENTS)
    return now == dict(change.before)


def require_fresh(plan: Plan, actual: State) -> None:
    """Raise :class:`StalePlanError` naming what moved since the plan was made."""
    moved = stale(plan, actual)
    if moved:
        shown = "".join(f"\n  {a}" for a in moved[:20]) + (f"\n  and {len(moved) - 20} more" if moved[20:] else "")
        raise StalePlanError(
            "Saved plan is stale. The cluster was changed by another operation after the plan was created; "
            f"nothing was done. Changed since then:{shown}",
            "Make a new plan with: reconcile plan --out FILE",
        )


def removed(changes: Iterable[Change]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Accounts and (account, user) pairs that the changes take away."""
    gone = [c.address for c in changes if c.action is Action.DELETE]
    return (
        sorted(a.key[0] for a in gone if a.kind == "slurm.account"),
        sorted(a.key for a in gone if a.kind == "slurm.association"),
    )


def require_idle(plan: Plan, active: Mapping[tuple[str, str], int], used: Collection[str]) -> None:
    """Raise :class:`StalePlanError` where more jobs than the plan showed would be hit by what it removes.

    ``active``: jobs by (account, user) at this moment; ``used``: accounts on which jobs ran since the plan was made.
    """
    accounts, _ = removed(plan.changes)
    shown = {c.address.key: c.jobs for c in plan.changes if c.action is Action.DELETE}
    busy = [
        f"{kinds.association(account, user)}: {count} jobs, {shown.get((account, user), 0)} when the plan was made"
        for (account, user), count in sorted(active.items())
        if ((account, user) in shown or account in accounts) and count > shown.get((account, user), 0)
    ]
    expected = {key[0] for key, count in shown.items() if count}
    busy += [f"{kinds.account(a)}: jobs ran on it since" for a in accounts if a in used and a not in expected]
    if busy:
        listed = "".join(f"\n  {text}" for text in busy[:20]) + (f"\n  and {len(busy) - 20} more" if busy[20:] else "")
        raise StalePlanError(
            f"Saved plan is stale. What it removes was used after it was made; nothing was done:{listed}",
            "Make a new plan with: reconcile plan --out FILE",
        )


def restricted(plan: Plan, targets: Sequence[str], offering: str, mode: Mode = Mode.ALL) -> Plan:
    """The part of a plan that the globs, the offering and the mode name."""
    if mode is not Mode.ALL:
        changes, blocked = of_mode(plan.changes, mode), of_mode(plan.blocked, mode)
        plan = replace(plan, partial=True, changes=tuple(changes), blocked=tuple(blocked))
    if not targets and not offering:
        return plan

    def notes(found: tuple[Note, ...]) -> tuple[Note, ...]:
        return tuple(
            n
            for n in found
            if (not offering or n.offering in (offering, ""))
            and (not targets or any(n.address.matches(t) for t in targets))
        )

    return replace(
        plan,
        partial=True,
        changes=tuple(select(plan.changes, targets, offering)),
        blocked=tuple(select(plan.blocked, targets, offering)),
        orphans=notes(plan.orphans),
        refused=notes(plan.refused),
        waiting=notes(plan.waiting),
        warnings=notes(plan.warnings),
    )
