"""Whether slurmctld's counters began anew with a period, and what would be forgotten if they did by now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from reconciler.config import Component
from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.base import Allocation, Reading
from reconciler.providers.slurm import kinds
from reconciler.providers.slurm.periodic import factors
from reconciler.providers.slurm.reset import FIELD
from reconciler.providers.slurm.usage import SacctSource
from reconciler.providers.usage import Metered
from reconciler.state.model import Address, Desired, Note

#: every job has some, so they tell for all TRES
_CPU = "cpu"
#: what an account was never reset for is of some time before
EARLIER = "earlier"
# minutes, and a share: slurmctld and sacct do not cut seconds at the same place
_SLACK, _SHARE = 2, Fraction(1, 1000)


@dataclass(frozen=True)
class _Open:
    """An account of which memory does not tell whether its counters began anew with a period."""

    address: Address
    allocation: Allocation
    span: str
    counted: Mapping[str, int]


def look(
    desired: Desired, reading: Reading, sacct: SacctSource, allocations: Sequence[Allocation], today: date
) -> None:
    """Say of each account, in the reading, which period its counters are of; sacct is asked where memory is no help."""
    unclear: dict[date, list[_Open]] = defaultdict(list)
    for allocation in allocations:
        address = kinds.account(allocation.account)
        wanted, present = desired.objects.get(address), reading.state.get(address)
        terms, past = allocation.terms, allocation.past
        if present is None or wanted is None or terms is None or FIELD not in wanted.values or not terms.span.start:
            continue
        span = str(terms.span)
        if past.renewed == span:
            _set(reading, address, span)
        elif past.counted is not None and any(past.counted.values()):
            unclear[terms.span.start].append(_Open(address, allocation, span, past.counted))
    for start, accounts in sorted(unclear.items()):
        try:
            _prove(desired, reading, sacct, accounts, start, today)
        except ReconcileError as error:
            for one in accounts:
                _unclear(desired, one, error.message)


def _prove(
    desired: Desired, reading: Reading, sacct: SacctSource, accounts: Sequence[_Open], start: date, today: date
) -> None:
    """Counters that hold no more than was used since the period began have begun anew with it, or later."""
    metered = [_metered(one) for one in accounts]
    used = sacct.since(start, today, metered).used
    if silence := sacct.silence():
        raise ReadError(silence)
    for one, of in zip(accounts, metered, strict=True):
        found = used[of.resource.uuid]
        if found.incomplete:
            _unclear(desired, one, found.incomplete)
            continue
        counted, since = one.counted.get(_CPU, 0), found.total[_CPU]
        if counted <= since + max(Fraction(_SLACK), counted * _SHARE):
            _set(reading, one.address, one.span)
            continue
        _set(reading, one.address, one.allocation.past.renewed or EARLIER)
        limits = _budget(one.allocation) or {_CPU: None}
        lost = {tres: (int(found.total[tres]), limits[tres]) for tres in limits if found.total.get(tres)}
        if lost:
            desired.forgiven[one.address] = lost


def _metered(one: _Open) -> Metered:
    """The account by its TRES-minutes."""
    each = Component(unit_factor=Decimal(1))
    resource = replace(one.allocation.resource, backend_id=one.allocation.account)
    return Metered(resource, dict.fromkeys({_CPU, *_budget(one.allocation)}, each))


def _budget(allocation: Allocation) -> dict[str, int | None]:
    """TRES-minutes that may be used in the period, without any grace."""
    found: dict[str, int | None] = {}
    for name, balance in allocation.terms.balances.items() if allocation.terms else ():
        for tres, factor in factors(allocation.offering, name).items():
            found[tres] = (found.get(tres) or 0) + int(balance.total * Fraction(factor))
    return found


def _set(reading: Reading, address: Address, period: str) -> None:
    present = reading.state[address]
    reading.state[address] = replace(present, values={**present.values, FIELD: period})


def _unclear(desired: Desired, one: _Open, why: str) -> None:
    text = f"whether RawUsage was reset for {one.span} cannot be told, so it is not reset: {why}"
    desired.warnings.append(Note(one.address, text, one.allocation.offering.name))
