"""What a budget says, whether it is numbers by name or a single amount: for whoever asks if one falls or rises."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from reconciler.state.kinds import Kind
from reconciler.state.units import UnitError, decimal
from reconciler.state.values import Value, numbers_of

#: whole numbers, or decimals where the cluster keeps decimals
Amounts = Mapping[str, int | Decimal]


def amounts(kind: Kind, value: object) -> dict[str, int | Decimal]:
    """The amounts of a value of the kind's budget by name; nothing for what is none."""
    if not kind.component:
        return {**numbers_of(value)}
    try:
        return {kind.component: decimal(value)}
    except UnitError:
        return {}


def plain(kind: Kind, value: object) -> dict[str, int | str]:
    """The same for JSON, which has no exact decimals: these as texts."""
    return {n: a if isinstance(a, int) else f"{a:f}" for n, a in amounts(kind, value).items()}


def mixed(kind: Kind, value: Value, other: Value, names: Collection[str]) -> Value:
    """A budget with these of its amounts as another one has them."""
    if kind.component:
        return other if kind.component in names else value
    theirs = numbers_of(other)
    return {n: a for n, a in numbers_of(value).items() if n not in names} | {n: theirs[n] for n in names if n in theirs}
