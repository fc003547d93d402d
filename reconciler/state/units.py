"""Exact conversion of Waldur amounts into SLURM's integers."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation, localcontext


class UnitError(ValueError):
    """A value that is no usable amount."""


def decimal(value: object) -> Decimal:
    """A number of an API answer or a config as an exact decimal. Raises :class:`UnitError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise UnitError(f"not a number: {value!r}")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise UnitError(f"not a number: {value!r}") from None
    if not number.is_finite():
        raise UnitError(f"not a finite number: {value!r}")
    return number


def plain_text(amount: Decimal) -> str:
    """A number in one spelling, without exponent or trailing zeros: ``100``, ``2.5``."""
    return f"{amount.normalize():f}"


def last_decimal(amount: Decimal) -> Decimal:
    """A unit of the last decimal that an amount is written with; of whole numbers 1."""
    return Decimal((0, (1,), min(0, int(amount.as_tuple().exponent))))


# SLURM keeps limits in 64 bits and uses the two largest numbers as marks
LARGEST = 2**63 - 1


def to_units(amount: object, factor: object) -> int:
    """``amount`` × ``factor`` in whole units; a remainder is dropped, as SLURM counts whole units.

    Raises :class:`UnitError` for negative amounts (sacctmgr reads them as "clear" or as 2**64 - n) and
    for those that do not fit.
    """
    with localcontext() as context:
        context.prec = 60
        product = decimal(amount) * decimal(factor)
        if product < 0:
            raise UnitError(f"negative amount: {amount!r}")
        if product > LARGEST:
            raise UnitError(f"larger than SLURM can hold: {amount!r} x {factor!r}")
        return int(product.to_integral_value(rounding=ROUND_DOWN))


def to_amount(units: int, factor: object) -> str:
    """The least amount with two decimals, as Waldur keeps them, that gives at least so many units."""
    with localcontext() as context:
        context.prec = 60
        amount = (Decimal(units) / decimal(factor)).quantize(Decimal("0.01"), rounding=ROUND_UP)
    return plain_text(amount)


def prepaid_months(created: date, end: date) -> int:
    """Months paid for in advance: a begun month counts whole, at least one."""
    months = (end.year - created.year) * 12 + end.month - created.month
    if end.day > created.day:
        months += 1
    return max(1, months)
