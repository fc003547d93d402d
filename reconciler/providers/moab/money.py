"""How much each account's fund should hold: limits, policies and periods of the calendar. Pure but for one look.

Money that is spent stays allocated, so what is put in is compared with the limit, and never what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_DOWN, Decimal
from functools import cached_property

from reconciler.config import MoabSettings, Offering
from reconciler.errors import ReadError
from reconciler.providers.base import Allocation, Conversion
from reconciler.providers.moab import kinds
from reconciler.providers.moab.rows import exact, money
from reconciler.state.compare import AMOUNT
from reconciler.state.diff import values_of
from reconciler.state.facts import CREATE, RESTORE, Resource
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.units import UnitError, decimal, last_decimal, plain_text
from reconciler.state.values import UNMANAGED, Refused, Value, Wanted

#: by fund, what is neither spent nor held by jobs
Effective = Callable[[], Mapping[str, Decimal]]
#: it keeps doubles
LARGEST = 10**13
_SEVERAL = "it has several funds ({}), so nobody can say which one is meant: no money is moved; merge them by hand"


def limit(offering: Offering, resource: Resource) -> tuple[object, str]:
    """The amount of a resource as the portal or the configuration has it, and where; None where there is none."""
    component = offering.backend_components.get(kinds.DEPOSIT)
    if component is None:
        return None, ""
    return component.bought(kinds.DEPOSIT, resource.limits), component.place(kinds.DEPOSIT)


def sold(amount: object) -> Decimal:
    """An amount of the portal as money. Raises :class:`UnitError`."""
    number = decimal(amount)
    if number < 0:
        raise UnitError(f"negative amount: {amount!r}")
    if number >= LARGEST:
        raise UnitError(f"more than MAM can keep to the cent: {amount!r}")
    return number


def conversions(offering: Offering, resource: Resource) -> list[Conversion]:
    """How the amount becomes money: as it is."""
    amount, place = limit(offering, resource)
    try:
        number = sold(amount)
    except UnitError:
        return []
    unit = offering.backend_components[kinds.DEPOSIT].waldur_unit
    return [Conversion(kinds.DEPOSIT, plain_text(number), unit, kinds.DEPOSIT, "1", number, unit or "credits", place)]


def window(period: str, today: date) -> str:
    """The calendar's month or year of a day, as first day / day after the last one; empty without a period."""
    if period == "total":
        return ""
    first = today.replace(day=1) if period == "month" else today.replace(month=1, day=1)
    month = first.month % 12 + 1 if period == "month" else 1
    after = date(first.year + (period == "year" or month == 1), month, 1)
    return f"{first}/{after}"


@dataclass
class Purses:
    """Wants the funds of allocations, in place; ``effective`` is asked once, where something would be taken out."""

    desired: Desired
    actual: State
    today: date
    effective: Effective
    _free: Mapping[str, Decimal] | None = None

    def want(self, allocations: Sequence[Allocation]) -> None:
        """The fund of each account that is made and kept here."""
        for one in allocations:
            account, settings = kinds.ACCOUNT.at(one.account), one.offering.backend_settings.moab
            wanted = self.desired.objects.get(account)
            if wanted is None or account in self.desired.held or settings.funds == "unmanaged":
                continue
            address = kinds.FUND.at(one.account)
            values = self._values(address, self._sold(one), one)
            reason = f"{wanted.reason}{self._movement(address, values)}"
            self.desired.objects[address] = replace(wanted, values=values, reason=reason)

    def _sold(self, one: Allocation) -> Decimal | Refused | None:
        """The amount, why it is none, or None where it is not ours to say."""
        if not one.limited or one.resource.limits_unsure:
            return None
        amount, _ = limit(one.offering, one.resource)
        if amount is None:
            return None
        try:
            return sold(amount)
        except UnitError as error:
            return Refused(None, f"limit of {kinds.DEPOSIT!r}: {error}", final=True)

    def _movement(self, address: Address, values: Mapping[str, Wanted]) -> str:
        """What goes in or out, in words."""
        present, amount = self.actual.get(address), values.get("allocated")
        if not isinstance(amount, str):
            return ""
        have = decimal(values_of(present)["allocated"]) if present is not None else Decimal(0)
        moves = decimal(amount) - have
        if not moves or (present is not None and AMOUNT.same(amount, values_of(present)["allocated"])):
            return ""
        return f", {'deposits' if moves > 0 else 'withdraws'} {money(abs(moves))}"

    # ------------------------------------------------------------------ what ends

    def emptied(self, settings: Mapping[str, MoabSettings]) -> None:
        """Funds of accounts that end and stay: what can be taken out of them is; ``settings`` by offering."""
        nothing = {"allocated": kinds.FUND.field("allocated").fresh}
        for address, wanted in list(self.desired.objects.items()):
            if address.kind != kinds.FUND.name or wanted.values != nothing:
                continue
            name, present = min(wanted.offerings, default=""), self.actual.get(address)
            if present is None or _unmanaged(settings, name):
                values: dict[str, Wanted] = {}
            elif problem := _unclear(values_of(present), present):
                values = {"allocated": Refused("0", problem)}
            else:
                values = self._lowered(address, values_of(present), Decimal(0), name)
            reason = f"{wanted.reason}{self._movement(address, values)}"
            self.desired.objects[address] = replace(wanted, values=values, reason=reason)

    def ended(self, settings: Mapping[str, MoabSettings]) -> None:
        """Funds that go along with their accounts, with what is lost, and those that keep theirs."""
        for account in [a for a in self.desired.absent if a.kind == kinds.ACCOUNT.name and a in self.actual]:
            self._others(account)
            address, gone = kinds.FUND.at(account.key[0]), self.desired.absent[account]
            present = self.actual.get(address)
            if present is None or address in self.desired.objects:
                continue
            have = values_of(present)
            balance = have["balance"]
            name = min(gone.offerings, default="")
            going = self.desired.absent.pop(address, None)
            why = ""
            if kinds.MANY in str(have["id"]):
                why = _SEVERAL.format(have["id"])
            elif _unmanaged(settings, name):
                why = (
                    f"fund {have['id']} is not looked after here (funds: unmanaged): see to it, then its account can go"
                )
            elif going is None and (decimal(have["allocated"]) or decimal(balance)):
                why = f"fund {have['id']} was not made for a resource and holds {balance}: see to it by hand"
            if why:
                self.desired.held[address] = why
                self.desired.refused.append(Note(address, why, name))
                continue
            base = going or Obj({}, f"its account goes: {gone.reason}", gone.offerings, needs=gone.needs)
            left = f"{balance} of {have['allocated']} are left in it and go along"
            self.desired.absent[address] = replace(base, reason=f"{base.reason}; {left}")

    def _others(self, account: Address) -> None:
        """Funds that name an account besides, and are found by it no more once it has gone."""
        beside = self.actual[account].beside or {}
        left = beside.get("funds")
        if isinstance(left, tuple) and left:
            text = f"funds that name it besides stay, and are found by it no more: {', '.join(left)}"
            offering = min(self.desired.absent[account].offerings, default="")
            self.desired.warnings.append(Note(account, text, offering))

    # ------------------------------------------------------------------ one fund

    @cached_property
    def _step(self) -> Decimal | None:
        """The last decimal that MAM prints; unknown where it has no fund yet."""
        amounts = (values_of(o)["allocated"] for a, o in self.actual.items() if a.kind == kinds.FUND.name)
        known = next(amounts, None)
        return None if known is None else last_decimal(decimal(known))

    def _values(self, address: Address, amount: Decimal | Refused | None, one: Allocation) -> dict[str, Wanted]:
        settings, offering = one.offering.backend_settings.moab, one.offering.name
        if amount is None:
            return {}
        if isinstance(amount, Refused):
            return {"allocated": amount}
        present, lasting = self.actual.get(address), window(settings.period, self.today)
        amount = amount.quantize(self._step, ROUND_DOWN) if self._step is not None else amount
        wanted: dict[str, Wanted] = {"allocated": plain_text(amount), **({"window": lasting} if lasting else {})}
        if present is None:
            return wanted
        have = values_of(present)
        if have["window"] != lasting:
            return {"allocated": Refused(plain_text(amount), "its window ended while it was read: plan anew")}
        order = one.resource.order
        if problem := _unclear(have, present):
            if order is not None or not AMOUNT.same(plain_text(amount), have["allocated"]):
                return {"allocated": Refused(plain_text(amount), problem)}
            self.desired.warnings.append(Note(address, problem, offering))
            return {}
        begins = order is not None and order.type in (CREATE, RESTORE)
        if settings.funds == "on_create" and (present.beside or {}).get("ever") and not begins:
            self._differs(address, have, amount, "on_create", offering)
            return {}
        if AMOUNT.same(plain_text(amount), have["allocated"]) or amount > decimal(have["allocated"]):
            return wanted
        if settings.funds == "raise_only":
            self._differs(address, have, amount, "raise_only", offering)
            return {}
        return self._lowered(address, have, amount, offering)

    def _differs(
        self, address: Address, have: Mapping[str, Value], amount: Decimal, policy: str, offering: str
    ) -> None:
        if not AMOUNT.same(plain_text(amount), have["allocated"]):
            text = f"{have['allocated']} are allocated, and the limit is {plain_text(amount)}: {policy} leaves it"
            self.desired.warnings.append(Note(address, text, offering))

    def _lowered(
        self, address: Address, have: Mapping[str, Value], amount: Decimal, offering: str
    ) -> dict[str, Wanted]:
        """As much less as is neither spent nor held; what cannot be taken back is said."""
        text, allocated = plain_text(amount), decimal(have["allocated"])
        try:
            if self._free is None:
                self._free = self.effective()
        except ReadError as error:  # of this one alone: others go on
            return {"allocated": Refused(text, f"what is spent of it cannot be found out: {error.message}")}
        free = self._free.get(str(have["id"]))
        if free is None:
            return {"allocated": Refused(text, f"mam-balance does not show fund {have['id']}")}
        with exact():
            least = allocated - max(free, Decimal(0))
            if amount >= least:
                return {"allocated": text}
            said = (
                f"the limit is {text}, but {money(least)} of {have['allocated']} are spent or held by jobs: "
                f"{money(least - amount)} cannot be taken back"
            )
        self.desired.warnings.append(Note(address, said, offering))
        return {"allocated": money(least)} if least < allocated else {"allocated": UNMANAGED}


def _unmanaged(settings: Mapping[str, MoabSettings], offering: str) -> bool:
    return offering in settings and settings[offering].funds == "unmanaged"


def _unclear(have: Mapping[str, Value], present: Obj) -> str:
    """Why no money of a fund may be moved, or nothing."""
    if kinds.MANY in str(have["id"]):
        return _SEVERAL.format(have["id"])
    if decimal(have["allocated"]) >= LARGEST:
        return f"it holds {have['allocated']}, more than MAM can keep to the cent: no money is moved; see to it by hand"
    if others := (present.beside or {}).get("others"):
        wanted = have["window"] or "any time"
        return (
            f"it has money in {others}, which overlaps with {wanted}: none is moved; see to it by hand, or set "
            "backend_settings.moab.period"
        )
    return ""
