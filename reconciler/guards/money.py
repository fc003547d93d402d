"""Money that moves: in a fund whose last movement went wrong, or much of it at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from statistics import median

from reconciler.config import Guards
from reconciler.config.guards import lift
from reconciler.plan.model import Refusal
from reconciler.state import budget
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Role
from reconciler.state.model import Address, Note, State
from reconciler.state.values import Value

RETRY, MOST, ROLLBACK = "retry_money", "max_deposit", "rollback_money"
#: a deposit so many times the usual amount is said
UNUSUAL = 10


def moving(changes: Sequence[Change]) -> list[Address]:
    """Budgets of their own whose amount would change."""
    return [c.address for c in changes if not c.blocked and _moves(c)]


def rolls_back(guards: Guards, allowed: frozenset[str]) -> bool:
    """Whether a rollback moves money as well."""
    return guards.rollback_money or ROLLBACK in allowed


def doubted(
    changes: Sequence[Change], disproved: Mapping[Address, str], guards: Guards, allowed: frozenset[str]
) -> list[Change]:
    """Leave alone what did not end as it should the last time, until a person has looked."""
    if guards.retry_money or RETRY in allowed:
        return list(changes)
    why = "look at its transactions, then go on"
    return [
        replace(c, blocked=f"its last movement went wrong: {disproved[c.address]}; {why} {lift(RETRY)}")
        # a fund that is made anew is another one
        if c.address in disproved and c.action is Action.UPDATE and not c.blocked and _moves(c)
        else c
        for c in changes
    ]


def deposits(changes: Sequence[Change]) -> dict[Address, Decimal]:
    """By how much each budget of its own rises."""
    found = {c.address: _risen(c) for c in changes if _moves(c) and not c.blocked}
    return {address: amount for address, amount in found.items() if amount > 0}


def unusual(changes: Sequence[Change], actual: State) -> list[Note]:
    """Deposits far above the usual amount of a fund, which is that of those which are there, else of this plan's."""
    rising = deposits(changes)
    there = [a for a in _amounts(actual) if a > 0] or list(rising.values())
    usual = median(there) if there else Decimal(0)
    names = {c.address: min(c.offerings, default="") for c in changes}
    return [
        Note(address, f"a deposit of {amount}, more than {UNUSUAL} times the usual {usual}", names[address])
        for address, amount in sorted(rising.items())
        if len(there) > 1 and amount > UNUSUAL * usual
    ]


def refusals(changes: Sequence[Change], actual: State, guards: Guards) -> Iterator[Refusal]:
    """Why nothing of a plan is applied: more money than the site lets go out in one run."""
    total = sum(deposits(changes).values(), Decimal(0))
    if guards.max_deposit is not None and total > guards.max_deposit:
        yield Refusal(MOST, f"deposits of {total} in one run; more than {guards.max_deposit} need consent")
        return
    held = sum(_amounts(actual), Decimal(0))
    share = guards.max_deposit_share
    if share is not None and total > share * held:
        text = f"deposits of {total} in one run; more than {share} of the {held} that are allocated need consent"
        yield Refusal(MOST, text)


def _moves(change: Change) -> bool:
    kind = change.kind
    return (
        kind.role is Role.BUDGET
        and bool(kind.component)
        and change.action is not Action.DELETE
        and kind.budget in change.changed()
    )


def _risen(change: Change) -> Decimal:
    return _of(change, change.after) - _of(change, change.before)


def _of(change: Change, values: Mapping[str, Value] | None) -> Decimal:
    found = budget.amounts(change.kind, (values or {}).get(change.kind.budget))
    return Decimal(found.get(change.kind.component, 0))


def _amounts(actual: State) -> list[Decimal]:
    kinds = {n: k for n, k in KINDS.items() if k.role is Role.BUDGET and k.component}
    found = (
        budget.amounts(kinds[a.kind], o.values.get(kinds[a.kind].budget)) for a, o in actual.items() if a.kind in kinds
    )
    return [Decimal(amount) for amounts in found for amount in amounts.values()]
