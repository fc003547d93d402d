"""Funds as MAM tells them: which one is an account's own, how much was put in, and in which windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.moab.rows import Row, amount, listed
from reconciler.providers.runner import CommandRunner
from reconciler.state.units import last_decimal

# no Name and no Description: free text is not escaped
COLUMNS = ("Id", "Constraints", "Allocated", "Balance")
ALLOCATIONS = ("Fund", "StartTime", "EndTime", "Allocated")
BALANCES = ("Id", "Effective")
_OF = "Account="
#: what was put in by window: ``first day/day after the last one``, empty where it has neither
Windows = Mapping[str, Decimal]


@dataclass(frozen=True)
class Fund:
    """One fund. ``allocated`` and ``balance``: of the money that can be spent at this moment."""

    id: str
    constraints: str
    allocated: Decimal
    balance: Decimal

    @property
    def account(self) -> str:
        """The account of which it is the own; empty for pools, and for those with further constraints."""
        one = self.constraints.removeprefix(_OF)
        alone = self.constraints.startswith(_OF) and one and not set(one) & set(",=! ")
        return one if alone else ""

    @property
    def named(self) -> tuple[str, ...]:
        """Accounts that its constraints name."""
        parts = (part.strip() for part in self.constraints.split(","))
        return tuple(p.removeprefix(_OF).removeprefix("!") for p in parts if p.startswith(_OF) and p != _OF)

    def within(self, windows: Windows, window: str) -> Decimal:
        """What was put in for a window, with the decimals that MAM prints."""
        return windows.get(window, 0 * last_decimal(self.allocated))


def funds(runner: CommandRunner, *arguments: str) -> list[Fund]:
    """All funds, or those that the arguments name. Raises :class:`ReadError`."""
    return [_fund(row) for row in listed(runner, "mam-list-funds", COLUMNS, *arguments)]


def own(found: Sequence[Fund], account: str) -> list[Fund]:
    """Those that are an account's own: a pool that it may use as well is nobody's."""
    return [f for f in found if f.account == account]


def the_one(runner: CommandRunner, account: str) -> Fund:
    """An account's own fund at this moment. Raises :class:`ReconcileError` where there are none or several."""
    # -a is a pattern to MAM, and finds pools as well
    found = own(funds(runner, "-a", account), account)
    if len(found) != 1:
        listed_ = ", ".join(f.id for f in found) or "none"
        raise ReconcileError(f"the funds of {account} alone are {listed_}, and not exactly one: no money is moved")
    return found[0]


def _fund(row: Row) -> Fund:
    if not row["Id"].isdigit():
        raise ReadError(f"mam-list-funds: a fund without a number: {'|'.join(row.values())!r}")
    what = f"fund {row['Id']} ({row['Constraints']})"
    return Fund(row["Id"], row["Constraints"], amount(row["Allocated"], what), amount(row["Balance"], what))


def windows(runner: CommandRunner, *arguments: str) -> Mapping[str, Windows]:
    """By fund, what was put in by window, those that are over too: MAM's clock may be another. Raises ``ReadError``."""
    found: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for row in listed(runner, "mam-list-allocations", ALLOCATIONS, *arguments):
        lasting, fund = window(row["StartTime"], row["EndTime"]), found[row["Fund"]]
        put_in = amount(row["Allocated"], f"allocation of fund {row['Fund']}")
        fund[lasting] = fund[lasting] + put_in if lasting in fund else put_in
    return found


def window(start: str, end: str) -> str:
    """A window in one spelling: days where it begins and ends at midnight; empty where it has no bounds."""
    first, last = (_moment(text) for text in (start, end))
    return f"{first}/{last}" if first or last else ""


def overlap(one: str, other: str) -> bool:
    """Whether two windows have a moment in common."""
    (first, after), (begin, end) = one.split("/") if one else ("", ""), other.split("/") if other else ("", "")
    return (not first or not end or first < end) and (not begin or not after or begin < after)


def _moment(text: str) -> str:
    if text in ("", "infinity", "-infinity"):
        return ""
    return text.removesuffix(" 00:00:00")


def effective(runner: CommandRunner, *arguments: str) -> Mapping[str, Decimal]:
    """By fund, what can be taken out: the balance without what running jobs hold. Raises :class:`ReadError`."""
    rows = listed(runner, "mam-balance", BALANCES, *arguments)
    return {row["Id"]: amount(row["Effective"], f"balance of fund {row['Id']}") for row in rows}
