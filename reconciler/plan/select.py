"""Parts of a plan: what a mode, targets or an offering name, with all that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from reconciler.plan.model import Plan
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import Role, is_account
from reconciler.state.model import Address, Note
from reconciler.state.tree import above


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
        waiting = (c for c in changes if leading & {*c.needs, *_freed(c)} or made.intersection(_depends(c)))
        found |= {id(c) for c in waiting}
    return [c for c in changes if id(c) in found]


def _depends(change: Change) -> tuple[Address, ...]:
    if change.action is Action.DELETE:
        return ()
    return change.kind.depends(change.address.key, change.after or {})


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


def _freed(change: Change) -> tuple[Address, ...]:
    """What has to be changed, if it is, before this can be removed."""
    return change.kind.frees(change.address.key) if change.action is Action.DELETE else ()


def _hanging(change: Change, changes: Sequence[Change]) -> list[Change]:
    """What must happen before a removal: what hangs on the object goes or moves away, and what is to be freed."""
    found = [c for c in changes if c.address in _freed(change)]
    if is_account(change.address):
        name = change.address.key[0]
        found += [c for c in changes if _leaves(c, name)]
    return found


def _leaves(change: Change, account: str) -> bool:
    """Whether a change takes something off an account."""
    kind = change.kind
    if kind.role in (Role.MEMBER, Role.BUDGET):
        return change.action is Action.DELETE and change.address.key[0] == account
    if kind.role is not Role.ACCOUNT or above(kind.name, change.before) != account:
        return False
    return change.action is not Action.UPDATE or kind.above in change.changed()


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
        unread=notes(plan.unread),
    )
