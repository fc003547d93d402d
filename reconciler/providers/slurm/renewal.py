"""Whether slurmctld's counters began anew with a period, and what would be forgotten if they did by now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from reconciler.config import Component
from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.base import Allocation, Reading
from reconciler.providers.slurm import counters, kinds
from reconciler.providers.slurm.periodic import BILLING, NODE, factors
from reconciler.providers.slurm.reset import FIELD
from reconciler.providers.slurm.usage import SacctSource
from reconciler.providers.usage import Metered
from reconciler.state.model import Address, Desired, Note, State

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
    family: tuple[str, ...]  # it, and the accounts below it


def look(
    desired: Desired, reading: Reading, sacct: SacctSource, allocations: Sequence[Allocation], today: date
) -> dict[str, Mapping[str, int]]:
    """Say of each account, in the reading, which period its counters are of; sacct is asked where memory is no help.

    The answer: by account whose counters are of an earlier one, what it used in this period.
    """
    unclear: dict[date, list[_Open]] = defaultdict(list)
    below: Callable[[str], list[str]] | None = None  # only asked for where memory is no help
    for allocation in allocations:
        address = kinds.account(allocation.account)
        wanted, present = desired.objects.get(address), reading.state.get(address)
        terms, past = allocation.terms, allocation.past
        if present is None or wanted is None or terms is None or FIELD not in wanted.values or not terms.span.start:
            continue
        span = str(terms.span)
        if past.renewed == span or (past.counted is not None and not any(past.counted.values())):
            _set(reading, address, span)
        elif past.counted is not None:
            below = below or _below(reading.state)
            family = tuple(below(allocation.account))
            unclear[terms.span.start].append(_Open(address, allocation, span, past.counted, family))
    found: dict[str, Mapping[str, int]] = {}
    for start, accounts in sorted(unclear.items()):
        try:
            counters.require_told(sacct.runner)
            found |= _prove(desired, reading, sacct, accounts, start, today)
        except ReconcileError as error:
            for one in accounts:
                _unclear(desired, one, error.message)
    return found


def _below(state: State) -> Callable[[str], list[str]]:
    """An account with all below it, whose usage slurmctld counts as its own."""
    children: dict[str, list[str]] = defaultdict(list)
    for address, obj in state.items():
        parent = obj.values.get("parent")
        if address.kind == kinds.ACCOUNT.name and isinstance(parent, str):
            children[parent].append(address.key[0])

    def family(name: str) -> list[str]:
        found = [name]
        for one in found:
            found += [c for c in children[one] if c not in found]
        return found

    return family


def _prove(
    desired: Desired, reading: Reading, sacct: SacctSource, accounts: Sequence[_Open], start: date, today: date
) -> dict[str, Mapping[str, int]]:
    """Counters that hold no more than was used since the period began have begun anew with it, or later."""
    metered = {(one.address, name): _metered(one, name) for one in accounts for name in one.family}
    used = sacct.since(start, today, list(metered.values())).used
    if silence := sacct.silence():
        raise ReadError(silence)
    earlier: dict[str, Mapping[str, int]] = {}
    for one in accounts:
        parts = [used[metered[one.address, name].resource.uuid] for name in one.family]
        if why := next((p.incomplete for p in parts if p.incomplete), ""):
            _unclear(desired, one, why)
            continue
        since = {tres: sum((p.total[tres] for p in parts), Fraction(0)) for tres in parts[0].total}
        counted = one.counted.get(_CPU, 0)
        if counted <= since[_CPU] + max(Fraction(_SLACK), counted * _SHARE):
            _set(reading, one.address, one.span)
            continue
        _set(reading, one.address, one.allocation.past.renewed or EARLIER)
        limits = _budget(one.allocation) or {_CPU: None}
        lost = {tres: (int(since[tres]), limits[tres]) for tres in limits if since.get(tres)}
        if lost:
            desired.forgiven[one.address] = lost
        wanted = desired.objects[one.address]
        text = f"RawUsage is reset: {counted} cpu-minutes are counted, {int(since[_CPU])} of them since {start}"
        desired.objects[one.address] = replace(wanted, reason=f"{wanted.reason}; {text}")
        earlier[one.allocation.account] = {tres: int(n) for tres, n in since.items()}
    return earlier


def _metered(one: _Open, account: str) -> Metered:
    """An account by its TRES-minutes."""
    each = Component(unit_factor=Decimal(1))
    resource = replace(one.allocation.resource, backend_id=account, uuid=f"{one.address}/{account}")
    return Metered(resource, dict.fromkeys({_CPU, BILLING, NODE, *_budget(one.allocation)}, each))


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
