"""In which order changes are made: whoever needs something comes after it, removals the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.state.diff import Action, Change
from reconciler.state.kinds import Kind, Role, Stage, is_account
from reconciler.state.model import State
from reconciler.state.tree import planned_parents

# whose settings are made once everything is there
_SETTLED = frozenset({Role.CATALOG, Role.ACCOUNT, Role.MEMBER, Role.BUDGET})
# deeper than any tree: accounts that move do so after all that are made
_MOVES = 1000


def steps(changes: Iterable[Change], actual: State | None = None) -> list[list[Change]]:
    """Changes in groups; each group only needs the groups before it.

    What others refer to first, then accounts from the root down, members, users, settings of members and of
    accounts; then removals the other way round.
    """
    listed = list(changes)
    depth = _depths(listed, actual or {})
    groups: dict[tuple[int, int, int], list[Change]] = {}
    for change in listed:
        groups.setdefault(_position(change, depth), []).append(change)
    return [sorted(groups[key], key=lambda c: c.address) for key in sorted(groups)]


def ordered(changes: Iterable[Change], actual: State | None = None) -> tuple[Change, ...]:
    """All changes in the order of :func:`steps`; removals that have to come after all others are marked."""
    state = actual or {}
    marked = [replace(c, last=True) if _late(c, state) else c for c in changes]
    return tuple(change for step in steps(marked, state) for change in step)


def _late(change: Change, actual: State) -> bool:
    return change.action is Action.DELETE and change.kind.late(change.address.key, actual)


def _position(change: Change, depth: Mapping[str, int]) -> tuple[int, int, int]:
    kind = change.kind
    first = kind.stage * 10
    if kind.stage is not Stage.CLUSTER:
        return (first, kind.rank, 0)
    level = depth.get(change.address.key[0], 0) if kind.role is Role.ACCOUNT else 0
    if change.action is Action.DELETE:
        return (first + 2, -kind.rank, int(change.last) - level)
    if _moves(change, kind):
        # below its new parent, before anything that might need the old one gone
        return (first, kind.rank, _MOVES + level)
    if change.action is Action.UPDATE and kind.role in _SETTLED:
        # members' own settings first: SLURM refuses a QoS for an account while a user's default is another
        return (first + 1, -kind.rank, 0)
    return (first, kind.rank, level)


def _moves(change: Change, kind: Kind) -> bool:
    return change.action is Action.UPDATE and kind.role is Role.ACCOUNT and kind.above in change.changed()


def _depths(changes: list[Change], actual: State) -> dict[str, int]:
    parents = planned_parents(changes, actual)
    depths: dict[str, int] = {}
    for start in [c.address.key[0] for c in changes if is_account(c.address)]:
        path = [start]
        while path[-1] not in depths and (up := parents.get(path[-1], "")) and up not in path:
            path.append(up)
        base = depths.get(path[-1], 0)
        for distance, name in enumerate(reversed(path)):
            depths.setdefault(name, base + distance)
    return depths
