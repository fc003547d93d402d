"""Budgets that would fall below what was used: jobs of the account stop at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from reconciler.config import Guards
from reconciler.config.guards import lift
from reconciler.state import budget
from reconciler.state.diff import Action, Change
from reconciler.state.model import Address, Note

KEY = "prevent_downgrade"


@dataclass(frozen=True)
class Cuts:
    """Changes with those that are not wanted blocked, and what a person should know."""

    changes: list[Change]
    warnings: list[Note]


def lowering(changes: Iterable[Change]) -> bool:
    """Whether any account's budget would shrink, so that it is worth asking what was used."""
    return any(lowered(c) for c in changes)


def below_used(
    changes: Sequence[Change],
    used: Mapping[str, Mapping[str, int]],
    guards: Guards,
    allowed: frozenset[str] = frozenset(),
) -> Cuts:
    """Say which budgets would fall below what was used, and block those where the site prevents it."""
    texts = {}
    for change in changes:
        # counters that begin anew with this very change are no hindrance
        spent = {} if change.kind.renews in change.changed() else used.get(change.address.key[0], {})
        cut = {t: limit for t, limit in lowered(change).items() if limit < spent.get(t, 0)}
        if cut:
            words = ", ".join(f"{t} to {limit}, {spent[t]} are used" for t, limit in sorted(cut.items()))
            text = f"its budget falls below what was used ({words} {unit(change)}): no job of it runs any more"
            texts[change.address] = text
    return _said(changes, texts, guards, allowed)


def unknown(changes: Sequence[Change], why: str, guards: Guards, allowed: frozenset[str] = frozenset()) -> Cuts:
    """The same where nobody can tell what was used: what may fall below it is said, or blocked."""
    text = f"its budget falls, and what was used cannot be found out: {why}"
    return _said(changes, {c.address: text for c in changes if lowered(c)}, guards, allowed)


def prevented(guards: Guards, allowed: frozenset[str]) -> bool:
    """Whether such cuts are blocked, and not only said."""
    return guards.prevent_downgrade and KEY not in allowed


def _said(changes: Sequence[Change], texts: Mapping[Address, str], guards: Guards, allowed: frozenset[str]) -> Cuts:
    """Block the changes that something is to be said of, or only say it."""
    result: list[Change] = []
    warnings: list[Note] = []
    for change in changes:
        text = texts.get(change.address)
        if text is not None and prevented(guards, allowed):
            blocked = f"{text} {lift(KEY)}"
            result.append(replace(change, blocked=change.blocked or blocked))
            continue
        if text is not None:
            warnings.append(Note(change.address, text, min(change.offerings, default="")))
        result.append(change)
    return Cuts(result, warnings)


def lowered(change: Change) -> dict[str, int | Decimal]:
    """What of its budget an update lowers, or sets where there was none, with the new number."""
    field = change.kind.budget
    if not field or change.action is not Action.UPDATE or change.blocked:
        return {}
    before, after = (budget.amounts(change.kind, (side or {}).get(field)) for side in (change.before, change.after))
    return {t: n for t, n in after.items() if t not in before or n < before[t]}


def unit(change: Change) -> str:
    """What the numbers of its budget count."""
    return change.kind.field(change.kind.budget).unit
