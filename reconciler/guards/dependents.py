"""What hangs together is blocked together: what needs something that is not made, and what something stays on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from reconciler.state.diff import Action, Change
from reconciler.state.kinds import Role, is_account
from reconciler.state.model import State
from reconciler.state.tree import burdens

Settle = Callable[[list[Change], State], list[Change]]


def propagate(
    changes: Iterable[Change], actual: State, settle: Settle = lambda changes, actual: changes
) -> list[Change]:
    """Block what depends on something that neither exists nor is made: a member of a blocked account.

    ``settle``: what a kind of cluster itself makes of the rest.
    """
    return _nothing_hangs_on(settle(_with_all_they_need(list(changes), actual), actual), actual)


def _with_all_they_need(listed: list[Change], actual: State) -> list[Change]:
    made = {c.address for c in listed if c.action is Action.CREATE and not c.blocked}
    held = {c.address for c in listed if c.action is Action.CREATE} - made
    progress = True
    while progress:
        progress = False
        for number, change in enumerate(listed):
            if change.blocked or change.action is Action.DELETE:
                continue
            needs = change.kind.depends(change.address.key, change.after or {})
            missing = next((n for n in needs if n not in actual and n not in made), None)
            if missing is None:
                continue
            what = "is blocked" if missing in held else "does not exist on the cluster"
            listed[number] = replace(change, blocked=f"it needs {missing}, which {what}")
            if change.address in made:
                made.discard(change.address)
                held.add(change.address)
                progress = True
    return listed


def _nothing_hangs_on(listed: list[Change], actual: State) -> list[Change]:
    """Block the deletion of an account on which anything stays."""
    while True:
        left = burdens(listed, actual)
        found = {
            n: left[c.address.key[0]]
            for n, c in enumerate(listed)
            if c.action is Action.DELETE and is_account(c.address) and not c.blocked and c.address.key[0] in left
        }
        if not found:
            return listed
        for number, address in found.items():
            listed[number] = replace(listed[number], blocked=f"{address} stays and would go along")
        staying = {listed[number].address.key[0] for number in found}
        listed = [_with_its_account(change, staying) for change in listed]


def _with_its_account(change: Change, staying: Collection[str]) -> Change:
    """The budget of an account that stays does too."""
    along = change.kind.role is Role.BUDGET and change.action is Action.DELETE and not change.blocked
    if along and change.address.key[0] in staying:
        return replace(change, blocked=f"its account {change.address.key[0]} stays")
    return change
