"""How much may be used in a period: carryover, shares, grace and thresholds, exactly as a portal computes them. Pure.

Source: Waldur's SLURM periodic usage policy. Amounts are in the portal's units ("hours"); whole numbers of minutes are
cut off where the portal cuts them, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from math import floor

from reconciler.state.period import Period

MONTH, QUARTER, YEAR, TOTAL = "month", "quarterly", "annual", "total"
_MONTHS = {MONTH: 1, QUARTER: 3, YEAR: 12}
#: how many days ago the use of the last period counts as, where it decays
_AGO = {MONTH: 30, QUARTER: 90, YEAR: 365}
_DIGITS = 12
MINUTES = 60


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """One period of a kind: ``2026-05``, ``2026-Q2``, ``2026``, or ``total``, which has neither begin nor end."""

    kind: str
    first: Period

    @classmethod
    def of(cls, kind: str, day: date) -> Span:
        """The one that a day belongs to."""
        length = _MONTHS.get(kind, 1)
        return cls(kind, Period(day.year, day.month - (day.month - 1) % length))

    @classmethod
    def parse(cls, text: str, kind: str) -> Span:
        """Read the name of a period of a kind. Raises ``ValueError`` for one of another kind."""
        pattern = {MONTH: r"(2\d{3})-(0[1-9]|1[0-2])", QUARTER: r"(2\d{3})-Q([1-4])", YEAR: r"(2\d{3})()"}.get(
            kind, r"\Z."
        )
        match = re.fullmatch(pattern, text.strip().upper())
        if match is None:
            like = {MONTH: "2026-11", QUARTER: "2026-Q4", YEAR: "2026"}.get(kind, TOTAL)
            raise ValueError(f"{text!r} is no period here: they are like {like}")
        number = int(match[2] or 1)
        return cls(kind, Period(int(match[1]), number * 3 - 2 if kind == QUARTER else number))

    def __str__(self) -> str:
        year, month = self.first.year, self.first.month
        names = {QUARTER: f"{year:04d}-Q{(month + 2) // 3}", YEAR: f"{year:04d}", TOTAL: TOTAL}
        return names.get(self.kind, str(self.first))

    @property
    def months(self) -> tuple[Period, ...]:
        """Its months; ``total`` has none that could be listed."""
        found: list[Period] = []
        for _ in range(_MONTHS.get(self.kind, 0)):
            found.append(found[-1].following if found else self.first)
        return tuple(found)

    @property
    def previous(self) -> Span | None:
        """The one before it."""
        return Span.of(self.kind, self.first.first - timedelta(days=1)) if self.months else None

    @property
    def following(self) -> Span | None:
        """The one after it."""
        return Span(self.kind, self.months[-1].following) if self.months else None

    @property
    def start(self) -> date | None:
        """Its first day."""
        return self.first.first if self.months else None

    @property
    def days(self) -> int:
        """How long it is; 0 for what has no end."""
        after = self.following
        return (after.first.first - self.first.first).days if after else 0


@dataclass(frozen=True)
class Rules:
    """A policy's parameters.

    ``source``: where they stand; ``uuid``: the portal's policy, empty where it is none; ``factor``: the share of a
    limit that may be carried over; ``half_life``: days in which use of the last period counts half, where that is
    the rule instead; ``grace``: the share of the total by which it may be exceeded, None where nobody is ever
    blocked; ``limit_type``: the limit that a cluster is given; ``reset``: counters begin anew with each period.
    """

    source: str
    uuid: str = ""
    period: str = MONTH
    carryover: bool = True
    factor: Fraction = Fraction(1, 2)
    half_life: Fraction | None = None
    grace: Fraction | None = Fraction(1, 5)
    billing: bool = True
    weights: Mapping[str, Fraction] = field(default_factory=dict)
    limit_type: str = ""
    reset: bool = True

    @property
    def leeway(self) -> Fraction:
        """The grace as a factor."""
        return 1 + (self.grace or Fraction(0))


@dataclass(frozen=True)
class Spent:
    """What resources used, by month (``2026-10``) and component; ``bad``: of whom not all is known, and why."""

    by: Mapping[str, Mapping[str, Mapping[str, Fraction]]] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Announced:
    """What the portal itself made of a policy for an account, last on a day: minutes by its own names, and a share."""

    day: date
    fairshare: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


#: weights of a policy that has none of its own: a node of 64 cores, 512 GB and 4 GPUs is one in each of them
WEIGHTS = {"CPU": Fraction(1, 64), "Mem": Fraction(1, 512), "GRES/gpu": Fraction(1, 4)}


@dataclass(frozen=True)
class Balance:
    """One component's amounts: bought, used in the last period, and what of it is carried over."""

    base: Fraction
    previous: Fraction = Fraction(0)
    cap: Fraction = Fraction(0)
    carried: Fraction = Fraction(0)

    @property
    def unused(self) -> Fraction:
        """What was left of the last period."""
        return max(Fraction(0), self.base - self.previous)

    @property
    def total(self) -> Fraction:
        """What may be used in this one."""
        return self.base + self.carried


@dataclass(frozen=True)
class Terms:
    """What a policy means for one resource in one period."""

    rules: Rules
    span: Span
    balances: Mapping[str, Balance] = field(default_factory=dict)

    @property
    def totals(self) -> dict[str, Fraction]:
        """What may be used, by component."""
        return {name: balance.total for name, balance in self.balances.items()}

    @property
    def fairshare(self) -> int:
        """A third of all that may be used, at least 1."""
        return max(1, floor(sum(self.totals.values(), Fraction(0)) / 3))


def terms(
    rules: Rules, span: Span, limits: Mapping[str, Fraction], used: Mapping[str, Mapping[str, Fraction]]
) -> Terms:
    """A resource's terms. ``used``: by month (``2026-10``) and component; other months do not count."""
    before = span.previous
    months = [str(m) for m in before.months] if before else []
    balances = {}
    for name, base in limits.items():
        spent = sum((used.get(month, {}).get(name, Fraction(0)) for month in months), Fraction(0))
        balances[name] = _balance(rules, span, base, spent) if before and rules.carryover else Balance(base, spent)
    return Terms(rules, span, balances)


def _balance(rules: Rules, span: Span, base: Fraction, spent: Fraction) -> Balance:
    if rules.half_life is None:
        cap = rules.factor * base
        return Balance(base, spent, cap, min(max(Fraction(0), base - spent), cap))
    left = base - spent * decay(rules.half_life, _AGO[span.kind])
    return Balance(base, spent, base, min(base, max(Fraction(0), left)))


def decay(half_life: Fraction, days: int) -> Fraction:
    """How much of what was used so many days ago still counts, to twelve digits."""
    with localcontext() as context:
        context.prec = _DIGITS + 8
        exponent = Decimal(days * half_life.denominator) / Decimal(half_life.numerator)
        return Fraction(round(Decimal(2) ** -exponent, _DIGITS))


def graced(number: int | Fraction, rules: Rules, *, binary: bool = False) -> int:
    """A limit with the grace on top, cut off a second time.

    ``binary``: in the portal's own arithmetic, for which 6000 x 1.15 is a bit less than 6900.
    """
    if binary:
        return int((number if isinstance(number, int) else float(number)) * (1 + float(rules.grace or 0)))
    return int(number * rules.leeway)


def weight(rules: Rules, names: Iterable[str]) -> Fraction | None:
    """The weight of the first of these names that has one: written just so, else in another case; None: none has."""
    given = rules.weights or WEIGHTS
    listed = list(names)
    folded = {name.lower(): value for name, value in given.items()}
    for name in listed:
        if name in given:
            return given[name]
    return next((folded[name.lower()] for name in listed if name.lower() in folded), None)


def percent(terms: Terms, used: Mapping[str, Fraction]) -> Fraction:
    """How much of a period is used, as the portal decides about flags.

    What has no weight counts with 1 here, also what has no limit at all.
    """

    def weighed(amounts: Mapping[str, Fraction]) -> Fraction:
        return sum((a * _known(weight(terms.rules, [name])) for name, a in amounts.items()), Fraction(0))

    whole = weighed(terms.totals)
    return 100 * weighed(used) / whole if whole else Fraction(0)


def triggers(used: Fraction, rules: Rules) -> tuple[str, ...]:
    """Which of its actions the portal takes at this percentage, the strictest first."""
    bounds = {"pause": 100 * rules.leeway, "downscale": Fraction(100), "notify": Fraction(80)}
    return tuple(word for word, least in bounds.items() if used >= least)


def shown(amount: Fraction) -> str:
    """An amount as people read it, with at most six decimals."""
    whole, rest = divmod(round(abs(amount) * 10**6), 10**6)
    decimals = f".{rest:06d}".rstrip("0").rstrip(".")
    return f"{'-' if amount < 0 and (whole or rest) else ''}{whole}{decimals}"


def _known(found: Fraction | None) -> Fraction:
    return Fraction(1) if found is None else found
