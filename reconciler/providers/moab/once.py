"""Calls that move money, each between two looks at its fund: a deposit adds whatever is there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_DOWN, Decimal

from reconciler.errors import ReadError, ReconcileError
from reconciler.providers.moab.funds import Fund, effective, funds, own, the_one, windows
from reconciler.providers.moab.rows import exact, money
from reconciler.providers.runner import CommandRunner
from reconciler.state.units import last_decimal

#: stands for the number of a fund that is yet to be made
UNKNOWN = "<fund>"


@dataclass
class NewFund:
    """A fund where there is none; every further ``mam-create-fund`` would make another one."""

    runner: CommandRunner
    account: str

    def before(self) -> tuple[str, ...] | None:
        """None where MAM made one together with the account."""
        if own(funds(self.runner, "-a", self.account), self.account):
            self.after()
            return None
        return new_fund(self.account)

    def after(self) -> None:
        """There is one, and one alone."""
        the_one(self.runner, self.account)


def new_fund(account: str) -> tuple[str, ...]:
    """The arguments of ``mam-create-fund``."""
    return ("-a", account)


@dataclass(frozen=True)
class Movement:
    """From what a fund had in a window when it was planned to what it is to have there; empty: money that lasts."""

    account: str
    before: Decimal
    wanted: Decimal
    window: str = ""

    @property
    def program(self) -> str:
        """Which way it goes."""
        return "mam-withdraw" if self.wanted < self.before else "mam-deposit"

    def arguments(self, fund: str, amount: Decimal) -> tuple[str, ...]:
        """``fund`` is empty where its number is not known yet: by account MAM might take a pool."""
        first, _, last = self.window.partition("/")
        lasting = ("-s", first, "-e", last) if last and self.program == "mam-deposit" else ()
        comment = f"waldur:{self.account}:{money(self.wanted)}"
        return ("-f", fund or UNKNOWN, "-z", money(amount), *lasting, "-d", comment)


@dataclass
class Moved:
    """One deposit or withdrawal, of what is missing at the moment of the call. ``today``: by the site's clock."""

    runner: CommandRunner
    movement: Movement
    today: Callable[[], date] = date.today
    expected: Decimal | None = field(default=None, init=False)

    def before(self) -> tuple[str, ...] | None:
        """The arguments; None where nothing is missing at the precision that MAM has."""
        movement = self.movement
        first, _, after = movement.window.partition("/")
        if movement.window and not first <= str(self.today()) < after:
            raise ReconcileError(f"the window {movement.window} is not the present one any more: plan anew")
        fund = the_one(self.runner, movement.account)
        with exact():
            held = self._held(fund)
            step = last_decimal(held)
            if held != movement.before.quantize(step, ROUND_DOWN):
                raise ReconcileError(
                    f"fund {fund.id} has {money(held)} allocated by now instead of {money(movement.before)}"
                )
            amount = movement.wanted.quantize(step, ROUND_DOWN) - held
            if not amount:
                return None
            if amount < 0:
                self._available(fund, -amount)
            self.expected = held + amount
            return movement.arguments(fund.id, abs(amount))

    def _held(self, fund: Fund) -> Decimal:
        put_in = windows(self.runner, "-f", fund.id).get(fund.id, {})
        return fund.within(put_in, self.movement.window)

    def _available(self, fund: Fund, amount: Decimal) -> None:
        free = effective(self.runner, "-f", fund.id).get(fund.id)
        if free is None:
            raise ReadError(f"mam-balance does not show fund {fund.id}")
        if free < amount:
            raise ReconcileError(
                f"only {money(max(free, Decimal(0)))} of fund {fund.id} is neither spent nor held by jobs by now, "
                f"and {money(amount)} was to be withdrawn"
            )

    def after(self) -> None:
        """Allocated is what it should be: some servers do not count withdrawals, which would go on for ever."""
        fund = the_one(self.runner, self.movement.account)
        held = self._held(fund)
        if self.expected is not None and held != self.expected:
            raise ReconcileError(
                f"fund {fund.id} has {money(held)} allocated after the {self.movement.program} instead of "
                f"{money(self.expected)}: no more of its money is moved; look at mam-list-transactions -f {fund.id}"
            )


@dataclass
class GoneFund:
    """The end of a fund with all that is left in it. ``held``: what had been put in when that was planned."""

    runner: CommandRunner
    account: str
    id: str
    window: str
    held: Decimal

    def before(self) -> tuple[str, ...] | None:
        """None where it has gone already."""
        found = own(funds(self.runner, "-a", self.account), self.account)
        if not found:
            return None
        if [f.id for f in found] != [self.id]:
            listed = ", ".join(f.id for f in found)
            raise ReconcileError(f"the funds of {self.account} alone are {listed}, and not {self.id}")
        held = found[0].within(windows(self.runner, "-f", self.id).get(self.id, {}), self.window)
        if held != self.held:
            raise ReconcileError(f"fund {self.id} has {money(held)} allocated by now instead of {money(self.held)}")
        return gone_fund(self.id)

    def after(self) -> None:
        """The read of all objects tells."""


def gone_fund(fund: str) -> tuple[str, ...]:
    """The arguments of ``mam-delete-fund``."""
    return ("-f", fund)
