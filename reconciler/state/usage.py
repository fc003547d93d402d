"""What resources used, as every source of usage tells it: exact amounts in the portal's units, rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

#: exact amounts in Waldur's units, by component
Amounts = Mapping[str, Fraction]


def rounded(amount: Fraction) -> str:
    """An amount as Waldur keeps it: two decimals, half away from zero. Every amount is rounded once, here."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(amount.numerator) / Decimal(amount.denominator)
        return str(exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


@dataclass(frozen=True)
class Used:
    """What one account used in one period. ``incomplete`` says why this must not be told to anybody."""

    total: Amounts
    users: Mapping[str, Amounts] = field(default_factory=dict)  # "" holds what nobody can be named for
    incomplete: str = ""


@dataclass(frozen=True)
class Accounted:
    """A source's answer about one period, by resource. Of a resource that is missing it said nothing.

    ``bad``: rows that could not be understood, quoted, at most a few; ``bad_count``: all of them.
    """

    used: Mapping[str, Used] = field(default_factory=dict)
    bad: tuple[str, ...] = ()
    bad_count: int = 0
    notes: tuple[str, ...] = ()  # what else a person should know
    silent: str = ""  # why nothing of it is believed: a source that knows nobody may be in trouble
