"""What was used, from MAM's usage records: one ``mam-list-usagerecords`` per period, whatever the number of accounts.

A record counts where its job ended, with its whole charge: MAM charges at the end, and its own filter (StartTime from
``-s`` on, EndTime up to ``-e``) leaves a job that spans two months out of both. Refunds lower the charge of a record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from reconciler.config import MoabSettings
from reconciler.providers.base import SilenceError
from reconciler.providers.moab import kinds
from reconciler.providers.moab.funds import funds
from reconciler.providers.moab.rows import Row, listed
from reconciler.providers.runner import CommandRunner
from reconciler.providers.usage import Counted, Metered, Recount
from reconciler.state.facts import Resource
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.units import UnitError, decimal
from reconciler.state.usage import Accounted, Used

COLUMNS = ("Account", "User", "Charge", "StartTime", "EndTime")
SILENCE = "mam-list-usagerecords knows no charge of anybody: an idle cluster, or a caller who is shown none"
_SHOWN = 5
#: before all records
_EVER = date(1990, 1, 1)


@dataclass(frozen=True)
class Charge:
    """What one job cost. ``ended``: local time of the accounting manager."""

    account: str
    user: str
    amount: Decimal
    ended: date


@dataclass
class Found:
    """The charges of a span, and records that cannot be understood, by account where that can be."""

    charges: list[Charge] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)
    quoted: list[str] = field(default_factory=list)
    like: dict[str, str] = field(default_factory=dict)
    rows: int = 0

    def reject(self, row: Row) -> None:
        """Note a record that is not believed."""
        account, text = fold(row["Account"]), "|".join(row.values())[:200]
        self.bad[account] = self.bad.get(account, 0) + 1
        self.like.setdefault(account, text)
        if len(self.quoted) < _SHOWN:
            self.quoted.append(text)


class Records:
    """The usage records of all accounts. ``longest``: days before a span in which its jobs may have begun."""

    def __init__(self, runner: CommandRunner, longest: int) -> None:
        self._runner, self._longest = runner, timedelta(days=longest)

    def between(self, first: date, after: date) -> Found:
        """Charges of jobs that ended from a day on and before another. Raises :class:`ReadError`."""
        # midnight alone: MAM takes 2026-11-30T23:59:59 for the beginning of that day
        span = ("-s", str(first - self._longest), "-e", str(after))
        found = Found()
        for row in listed(self._runner, "mam-list-usagerecords", COLUMNS, *span):
            found.rows += 1
            try:
                charge = _charge(row)
            except (UnitError, ValueError):
                found.reject(row)
                continue
            if charge is not None and first <= charge.ended < after:
                found.charges.append(charge)
        return found

    def silent(self, until: date) -> bool:
        """Whether there is no record of anybody at any time, the last year first. Raises :class:`ReadError`."""
        return not any(self.between(first, until).rows for first in (until - timedelta(days=366), _EVER))

    def charged(self, accounts: Collection[str], first: date, after: date) -> frozenset[str]:
        """Which of these accounts have records. Raises :class:`SilenceError` where nobody has any."""
        if not accounts:
            return frozenset()
        found = self.between(first, after)
        if not found.rows and self.silent(after):
            raise SilenceError(SILENCE)
        used = {c.account for c in found.charges if c.amount} | found.bad.keys()
        return frozenset(used & set(accounts))


def _charge(row: Row) -> Charge | None:
    """A record's charge; None of a job that has not ended, or was never charged. Raises ``ValueError``."""
    if not row["Charge"] or row["EndTime"] in ("", "infinity"):
        return None
    amount = decimal(row["Charge"])
    if not amount:
        return None
    return Charge(fold(row["Account"]), fold(row["User"]), amount, datetime.fromisoformat(row["EndTime"]).date())


class MamSource:
    """Usage of one MAM's accounts, in the unit of its charges."""

    name = "mam-list-usagerecords"
    may_fall = True  # a refund takes back what a past month was charged

    def __init__(self, runner: CommandRunner, settings: MoabSettings, today: Callable[[], date]) -> None:
        self.runner, self._today = runner, today
        self._records = Records(runner, settings.longest_job_days)
        self._lasts = settings.period == "total"
        self._heard = False

    def key(self, resource: Resource) -> str:
        """Its account."""
        return fold(resource.backend_id)

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """One command for all accounts. Raises :class:`ReadError`."""
        found = self._records.between(period.first, period.following.first)
        self._heard = self._heard or bool(found.rows)
        keys = {self.key(one.resource): one for one in metered}
        charges = by_account(found.charges)
        used = {
            one.resource.uuid: Used({kinds.DEPOSIT: Fraction(0)} if kinds.DEPOSIT in one.components else {})
            for one in metered
        }
        for account, one in keys.items():
            if count := found.bad.get(account):
                why = f"{count} of its records cannot be understood, like {found.like[account]!r}"
                used[one.resource.uuid] = Used({}, {}, why)
            elif account in charges and kinds.DEPOSIT in one.components:
                used[one.resource.uuid] = _summed(charges[account])
        notes = (SILENCE,) if not found.rows else ()
        return Accounted(used, tuple(found.quoted), sum(found.bad.values()), notes)

    def silence(self) -> str:
        """Why no answer is believed: nothing in any of them, nor at any other time. Raises :class:`ReadError`."""
        self._heard = self._heard or not self._records.silent(self._today() + timedelta(days=2))
        return "" if self._heard else SILENCE

    def unended(self, keys: Collection[str], since: datetime, stop: Callable[[], str]) -> Mapping[str, str]:
        """It is charged when a job ends; what still holds money is not known by account."""
        return {}

    def counter(self) -> FundCounter | None:
        """The balances of funds tell as well, where their money lasts."""
        return FundCounter(self.runner, self._records) if self._lasts else None

    def ping(self) -> str:
        """That records are shown. Raises :class:`ReadError`."""
        today = self._today()
        return f"{self._records.between(today - timedelta(days=31), today).rows} records of the last month"


def by_account(charges: Iterable[Charge]) -> Mapping[str, list[Charge]]:
    """Each account's own: there may be a month of a whole site."""
    found: dict[str, list[Charge]] = {}
    for charge in charges:
        found.setdefault(charge.account, []).append(charge)
    return found


def _summed(charges: Sequence[Charge]) -> Used:
    users: dict[str, Fraction] = {}
    for charge in charges:
        users[charge.user] = users.get(charge.user, Fraction(0)) + Fraction(charge.amount)
    total = sum(users.values(), Fraction(0))
    return Used({kinds.DEPOSIT: total}, {user: {kinds.DEPOSIT: amount} for user, amount in users.items()})


class FundCounter:
    """What funds lack of what was put in: all that was ever charged to them, where their money lasts for good."""

    name = "mam-list-funds"

    def __init__(self, runner: CommandRunner, records: Records) -> None:
        self._runner, self._records = runner, records

    def counted(self, today: date, metered: Sequence[Metered]) -> Counted:
        """All charges against what is missing in the funds. Raises :class:`ReadError`."""
        span = f"all time until {today}"
        lacking: dict[str, Decimal] = {}
        for fund in funds(self._runner):
            if fund.account:
                missing = fund.allocated - fund.balance
                lacking[fund.account] = lacking.get(fund.account, Decimal(0)) + missing
        charges = self._records.between(_EVER, today + timedelta(days=2)).charges
        rows = tuple(self._rows(metered, lacking, by_account(charges)))
        return Counted(span, rows, tuple(self._notes(metered, lacking)))

    def _rows(
        self, metered: Sequence[Metered], lacking: Mapping[str, Decimal], charges: Mapping[str, Sequence[Charge]]
    ) -> Iterator[Recount]:
        for one in metered:
            account = fold(one.resource.backend_id)
            if account in lacking and kinds.DEPOSIT in one.components:
                total = sum((c.amount for c in charges.get(account, ())), Decimal(0))
                amounts = {MamSource.name: Fraction(total), self.name: Fraction(lacking[account])}
                yield Recount(one.resource, kinds.DEPOSIT, amounts, Fraction(1, 100))

    def _notes(self, metered: Sequence[Metered], lacking: Mapping[str, Decimal]) -> Iterator[str]:
        missing = sorted({fold(m.resource.backend_id) for m in metered} - lacking.keys())
        if missing:
            yield f"without a fund of their own: {', '.join(missing)}"
