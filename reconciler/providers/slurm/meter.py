"""What accounts used: runs of jobs summed exactly, by account, user and component. Pure.

A component counts one or several TRES. A run contributes seconds × allocated TRES; where a component stands for
several TRES (a node-hour of cpu and gpu), the largest share of any of them counts, so that one node is one node.
All sums are integers. Amounts in Waldur's units are exact fractions, which ``state.usage.rounded`` alone rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm

from reconciler.providers.slurm.tres import TresError, quantities
from reconciler.state.usage import Used

#: SLURM prints memory with two decimals of a KiB at the finest: so many parts of a MiB
_PARTS = 102400
_SHOWN = 5
_CACHED = 50_000


@dataclass(frozen=True)
class Meter:
    """How runs turn into amounts: by component, the TRES it counts with the TRES-minutes of one unit."""

    names: tuple[str, ...]
    _weights: tuple[Mapping[str, Fraction], ...]
    _divisors: tuple[int, ...]

    @classmethod
    def of(cls, components: Mapping[str, Mapping[str, Decimal]]) -> Meter:
        """A meter for components, each with its TRES and their factors (TRES-minutes in one Waldur unit)."""
        weights: list[Mapping[str, Fraction]] = []
        divisors: list[int] = []
        for factors in components.values():
            shares = {tres: 1 / Fraction(factor) for tres, factor in factors.items()}
            scale = lcm(*(s.denominator for s in shares.values()))
            weights.append({tres: share * scale * _PARTS for tres, share in shares.items()})
            divisors.append(60 * scale * _PARTS)
        return cls(tuple(components), tuple(weights), tuple(divisors))

    def rates(self, tres: str) -> tuple[int, ...]:
        """What each component counts per second of a run with these allocated TRES. Raises :class:`TresError`."""
        found = quantities(tres)
        if any(n < 0 for n in found.values()):
            raise TresError(f"less than nothing: {tres!r}")
        result = []
        for weights in self._weights:
            rate = max((count(found, name) * weight for name, weight in weights.items()), default=Fraction(0))
            if rate.denominator != 1:
                raise TresError(f"finer than SLURM counts: {tres!r}")
            result.append(int(rate))
        return tuple(result)

    def amounts(self, counts: Sequence[int]) -> dict[str, Fraction]:
        """Counts in Waldur's units."""
        return {
            n: Fraction(count, divisor) for n, count, divisor in zip(self.names, counts, self._divisors, strict=True)
        }


def count(tres: Mapping[str, Fraction], name: str) -> Fraction:
    """How many of a TRES; where only types of a generic resource are tracked, all of them together."""
    if name in tres:
        return tres[name]
    return sum((n for typed, n in tres.items() if typed.startswith(f"{name}:")), Fraction(0))


class Aggregation:
    """Sums runs of jobs, one at a time and in any order; memory grows with accounts and users, not with runs.

    ``meters`` by account (folded). Runs of other accounts are passed over.
    """

    def __init__(self, meters: Mapping[str, Meter]) -> None:
        self._counts: dict[str, tuple[Meter, dict[str, list[int]]]] = {a: (m, {}) for a, m in meters.items()}
        self._spelling: dict[str, str] = {}
        self._rates: dict[tuple[int, str], tuple[int, ...]] = {}
        self._seen = _Seen()
        self._bad: dict[str, tuple[int, str]] = {}  # by account: how many, and the first of them
        self._doubts: dict[str, str] = {}
        self._quoted: list[str] = []
        self.bad_count = 0
        self.counted = 0

    def account(self, text: str) -> str | None:
        """The account in the spelling of ``meters``; None for one that nobody asked about."""
        name = self._spelling.get(text)
        if name is None:
            name = self._spelling[text] = text.strip().lower()
        return name if name in self._counts else None

    def add(self, account: str, user: str, tres: str, seconds: int, job: int, start: int) -> None:
        """Count one run, unless it was counted before. Raises :class:`TresError`; nothing is counted then.

        A run that was told with another length before raises as well: nobody knows which one is right.

        ``account`` as :meth:`account` gives it; ``job`` and ``start`` together name the run.
        """
        meter, users = self._counts[account]
        key = (id(meter), tres)
        rates = self._rates.get(key)
        if rates is None:
            rates = meter.rates(tres)
            if len(self._rates) >= _CACHED:
                self._rates.clear()
            self._rates[key] = rates
        known = self._seen.seconds(job, start, seconds)
        if known is not None:
            if known != seconds:
                raise TresError(f"run {job} was told twice, with {known} and {seconds} seconds")
            return
        self.counted += 1
        counts = users.get(user)
        if counts is None:
            counts = users[user] = [0] * len(rates)
        for number, rate in enumerate(rates):
            counts[number] += rate * seconds

    def reject(self, account: str | None, text: str) -> None:
        """Note a row that cannot be understood; its account's sums are incomplete then."""
        self.bad_count += 1
        if len(self._quoted) < _SHOWN:
            self._quoted.append(text)
        if account is not None:
            count, first = self._bad.get(account, (0, text))
            self._bad[account] = (count + 1, first)

    def doubt(self, account: str, text: str) -> None:
        """Note why an account's sums are not what was used."""
        if account in self._counts:
            self._doubts[account] = text

    @property
    def quoted(self) -> tuple[str, ...]:
        """The first of the rejected rows."""
        return tuple(self._quoted)

    def result(self) -> dict[str, Used]:
        """What every account used; one without runs used nothing."""
        found = {}
        for account, (meter, users) in self._counts.items():
            total = [sum(column) for column in zip(*users.values(), strict=True)] or [0] * len(meter.names)
            bad, first = self._bad.get(account, (0, ""))
            found[account] = Used(
                meter.amounts(total),
                {user: meter.amounts(counts) for user, counts in users.items()},
                "; ".join(filter(None, (_not_understood(bad, first), self._doubts.get(account, "")))),
            )
        return found


def _not_understood(bad: int, first: str) -> str:
    return f"{bad} of its records cannot be understood, like {first!r}" if bad else ""


class _Seen:
    """Which runs were counted, in some 17 bytes each: jobs of a month have numbers close to each other."""

    _PAGE = 512

    def __init__(self) -> None:
        self._pages: dict[int, memoryview] = {}  # start + 1 and seconds of the first run of each job
        self._again: dict[tuple[int, int], int] = {}

    def seconds(self, job: int, start: int, seconds: int) -> int | None:
        """How long this run was when it was seen before; None for the first time."""
        number, offset = divmod(job, self._PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = memoryview(bytearray(16 * self._PAGE)).cast("q")
        known = page[2 * offset]
        if known == 0:
            page[2 * offset], page[2 * offset + 1] = start + 1, seconds
            return None
        if known == start + 1:
            return int(page[2 * offset + 1])
        if (job, start) in self._again:
            return self._again[job, start]
        self._again[job, start] = seconds
        return None
