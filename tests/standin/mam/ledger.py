"""The books of the stand-in: accounts, funds, allocations and usage records, and what may be done to them.

Money is kept in whole millionths. A response code of the server divided by ten is what a client exits with.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

Ledger = dict[str, Any]
MICRO = 1_000_000
NEVER = ("-infinity", "infinity")
#: what nobody outside can be certain of, with what is likelier
SWITCHES: dict[str, Any] = {
    "precision": 2,
    "autogen_fund": False,
    "autogen_user": True,
    "strict_organization": False,
    "discrete": False,
    "role": "admin",  # user: may not write; filtered: is shown its own account alone
    "remark": False,  # every success is one with a remark: exit code 8
    "exact_filters": False,
    "allocated_falls_on_withdrawal": True,
    "t_times": "midnight",  # exact: understood; reject: exit code 31
    "missing": "nothing",  # error: to change or remove what is not there is exit code 74
    "undelete": True,  # a name that was deleted comes back; else it is taken for ever
    "constraints_dropped": True,  # a fund is tied to an account no more that was deleted; else it still names it
    "inactive_mark": True,  # a member who may not charge has a -; else they are not shown at all
    "merges_windows": True,  # a deposit into a window that is there; else each is an allocation of its own
    "takes_earliest": True,  # a withdrawal, from what ends first; else from what ends last
    "open_hidden": True,  # records without an end are not shown where a query has one
}


class ServerError(Exception):
    """A response that is no success."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def empty(**switches: Any) -> Ledger:
    """A fresh server, as its installation leaves it."""
    return {
        "settings": {**SWITCHES, **switches},
        "clock": "2026-11-27 12:00:00",
        "organizations": [],
        "users": {"root": {"active": True}},
        "accounts": {},
        "funds": {},
        "allocations": {},
        "usage": [],
        "liens": [],
        "transactions": [],
        "next": {"fund": 1, "allocation": 1},
    }


def number(ledger: Ledger, what: str) -> str:
    """The next number of its kind."""
    ledger["next"][what] += 1
    return str(ledger["next"][what] - 1)


def micro(text: str) -> int:
    """A sum as the client takes it."""
    try:
        amount = Decimal(text)
    except ArithmeticError:
        raise ServerError(2, f"Value {text} invalid for option z (number expected)") from None
    if not amount.is_finite() or amount < 0:
        raise ServerError(74, "The amount may not be negative")
    return int(amount * MICRO)


def moment(ledger: Ledger, text: str) -> str:
    """A time as the server takes it: its reader is not anchored, so that a T ends the date."""
    if text in NEVER:
        return text
    if text == "now":
        return str(ledger["clock"])
    kind = ledger["settings"]["t_times"]
    if "T" in text and kind == "reject":
        raise ServerError(31, f"{text} is not a valid time")
    plain = text.replace("T", " ") if kind == "exact" else text.partition("T")[0]
    try:
        return str(datetime.fromisoformat(plain))
    except ValueError:
        raise ServerError(31, f"{text} is not a valid time") from None


# ---------------------------------------------------------------------- accounts and people


def account(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """An account that is there."""
    found = ledger["accounts"].get(name)
    return found if found and not found["deleted"] else None


def create_account(ledger: Ledger, name: str, organization: str, description: str, users: str, active: bool) -> str:
    """Make one; a deleted name comes back, without its members."""
    gone = name in ledger["accounts"] and not ledger["settings"]["undelete"]
    if account(ledger, name) or gone:
        raise ServerError(74, "Account already exists")
    if organization and organization not in ledger["organizations"]:
        if ledger["settings"]["strict_organization"]:
            raise ServerError(74, f"{organization} is not a valid value for Organization")
        ledger["organizations"].append(organization)
    ledger["accounts"].pop(name, None)
    ledger["accounts"][name] = {
        "active": active, "organization": organization, "description": description, "users": {}, "deleted": False,
    }  # fmt: skip
    if users:
        add_users(ledger, name, users)
    if ledger["settings"]["autogen_fund"]:
        create_fund(ledger, [f"Account={name}"])
    return "Successfully created 1 Account"


def modify_account(ledger: Ledger, name: str, values: dict[str, Any]) -> str:
    """Set what is given; a missing one is no failure."""
    found = account(ledger, name)
    if found is None:
        return _missing(ledger, "modified", "Account")
    found.update(values)
    return "Successfully modified 1 Account"


def delete_account(ledger: Ledger, name: str) -> str:
    """Its funds stay, and nothing ties them to it any more."""
    found = account(ledger, name)
    if found is None:
        return _missing(ledger, "deleted", "Account")
    found |= {"deleted": True, "users": {}}
    for fund in ledger["funds"].values() if ledger["settings"]["constraints_dropped"] else ():
        fund["constraints"] = [c for c in fund["constraints"] if c != f"Account={name}"]
    return "Successfully deleted 1 Account"


def create_user(ledger: Ledger, name: str) -> str:
    """Make somebody known."""
    if name in ledger["users"]:
        raise ServerError(74, "User already exists")
    ledger["users"][name] = {"active": True}
    return "Successfully created 1 User"


def add_users(ledger: Ledger, name: str, users: str) -> str:
    """Members with their signs; each is a request of its own, and the answer is the last one's."""
    found = account(ledger, name)
    if found is None:
        return "Successfully modified 0 Accounts"
    error: ServerError | None = None
    for word in users.split(","):
        user = word.lstrip("+-^")
        error = None
        if user not in ledger["users"]:
            if not ledger["settings"]["autogen_user"]:
                error = ServerError(74, f"{user} is not a valid value for User")
                continue
            ledger["users"][user] = {"active": True}
        if user in found["users"]:
            error = ServerError(74, f"Account User {user} already exists")
            continue
        found["users"][user] = {"active": not word.startswith("-"), "admin": word.startswith("^")}
    if error:
        raise error
    return "Successfully created 1 AccountUser"


def member(ledger: Ledger, name: str, user: str, **values: Any) -> str:
    """Set something of a member, or take it away where nothing is given; who is none is no failure."""
    found = account(ledger, name)
    if found is None or user not in found["users"]:
        return _missing(ledger, "modified", "AccountUser")
    if values:
        found["users"][user] |= values
        return "Successfully modified 1 AccountUser"
    del found["users"][user]
    return "Successfully deleted 1 AccountUser"


def _missing(ledger: Ledger, done: str, what: str) -> str:
    if ledger["settings"]["missing"] == "error":
        raise ServerError(74, f"{what} does not exist")
    return f"Successfully {done} 0 {what}s"


# ---------------------------------------------------------------------- money


def create_fund(ledger: Ledger, constraints: Iterable[str]) -> str:
    """Always another one."""
    key = number(ledger, "fund")
    ledger["funds"][key] = {"constraints": list(constraints)}
    return f"Successfully created 1 Fund with id {key}"


def delete_fund(ledger: Ledger, key: str) -> str:
    """With its allocations."""
    if ledger["funds"].pop(key, None) is None:
        return _missing(ledger, "deleted", "Fund")
    ledger["allocations"] = {n: a for n, a in ledger["allocations"].items() if a["fund"] != key}
    ledger["liens"] = [lien for lien in ledger["liens"] if lien["fund"] != key]
    return "Successfully deleted 1 Fund"


def usable(ledger: Ledger, name: str) -> list[str]:
    """Funds that an account may use: its own, further constrained ones, and pools."""
    return [
        key
        for key, fund in ledger["funds"].items()
        if all(not c.startswith("Account=") or c == f"Account={name}" for c in fund["constraints"])
    ]


def chosen(ledger: Ledger, fund: str, name: str) -> str:
    """The fund that a deposit goes to."""
    if fund:
        if fund not in ledger["funds"]:
            raise ServerError(74, f"Fund {fund} does not exist")
        return fund
    found = usable(ledger, name)
    if len(found) != 1:
        raise ServerError(74, f"The fund is ambiguous: {', '.join(found) or 'none'}")
    return found[0]


def active(ledger: Ledger, fund: str) -> list[dict[str, Any]]:
    """Allocations whose window is open by the clock, the earliest end first."""
    now = ledger["clock"]
    found = [
        a
        for a in ledger["allocations"].values()
        if a["fund"] == fund
        and (a["start"] == NEVER[0] or a["start"] <= now)
        and (a["end"] == NEVER[1] or now < a["end"])
    ]
    return sorted(found, key=lambda a: (a["end"] == NEVER[1], a["end"]))


def _begun(one: dict[str, Any], now: str) -> bool:
    return bool(one["start"] == NEVER[0] or one["start"] <= now)


def allocated(ledger: Ledger, fund: str) -> int:
    """All that was put in and can be spent, whatever of it is spent."""
    return sum(a["allocated"] for a in active(ledger, fund))


def balance(ledger: Ledger, fund: str) -> int:
    """What is left."""
    return sum(a["amount"] for a in active(ledger, fund))


def reserved(ledger: Ledger, fund: str) -> int:
    """What running jobs hold."""
    return sum(lien["amount"] for lien in ledger["liens"] if lien["fund"] == fund)


def deposit(ledger: Ledger, fund: str, amount: int, start: str, end: str, description: str) -> str:
    """Adds, into the allocation of the same window or a new one."""
    window = {"start": start, "end": end}
    same = [a for a in ledger["allocations"].values() if a["fund"] == fund and {k: a[k] for k in window} == window]
    if not same or not ledger["settings"]["merges_windows"]:
        if ledger["settings"]["discrete"] and _overlaps(ledger, fund, start, end):
            raise ServerError(74, "The allocation would overlap with another one")
        same = [{"fund": fund, **window, "allocated": 0, "amount": 0, "initial": amount}]
        ledger["allocations"][number(ledger, "allocation")] = same[0]
    same[0]["allocated"] += amount
    same[0]["amount"] += amount
    _book(ledger, "Deposit", fund, amount, description)
    return f"Successfully deposited {amount / MICRO:.2f} credits into fund {fund}"


def _overlaps(ledger: Ledger, fund: str, start: str, end: str) -> bool:
    mine = [a for a in ledger["allocations"].values() if a["fund"] == fund]
    return any(
        (a["end"] == NEVER[1] or start == NEVER[0] or start < a["end"])
        and (end == NEVER[1] or a["start"] == NEVER[0] or a["start"] < end)
        for a in mine
    )


def withdraw(ledger: Ledger, fund: str, amount: int, description: str) -> str:
    """Takes from what can be spent, the earliest end first."""
    if not amount:
        raise ServerError(74, "The amount must be positive")
    if amount > balance(ledger, fund) - reserved(ledger, fund):
        raise ServerError(78, "Insufficient balance to perform requested withdrawal")
    left = amount
    found = active(ledger, fund)
    for one in found if ledger["settings"]["takes_earliest"] else reversed(found):
        part = min(left, one["amount"])
        one["amount"] -= part
        if ledger["settings"]["allocated_falls_on_withdrawal"]:
            one["allocated"] -= part
        left -= part
    _book(ledger, "Withdraw", fund, amount, description)
    return f"Successfully withdrew {amount / MICRO:.2f} credits from fund {fund}"


def _book(ledger: Ledger, action: str, fund: str, amount: int, description: str) -> None:
    entry = {"time": ledger["clock"], "action": action, "fund": fund, "amount": amount, "description": description}
    ledger["transactions"].append(entry)


# ---------------------------------------------------------------------- what the scheduler does


def charge(ledger: Ledger, name: str, user: str, amount: str, end: str, hours: float = 1.0) -> None:
    """A job that ended, paid from the account's first fund with money."""
    start = str(datetime.fromisoformat(end) - timedelta(hours=hours))
    cost = micro(amount)
    ledger["usage"].append({"account": name, "user": user, "charge": cost, "start": start, "end": str(end)})
    for fund in usable(ledger, name):
        for one in active(ledger, fund):
            part = min(cost, one["amount"])
            one["amount"] -= part
            cost -= part


def lien(ledger: Ledger, fund: str, amount: str) -> None:
    """A job that runs holds money."""
    ledger["liens"].append({"fund": fund, "amount": micro(amount)})


def refund(ledger: Ledger, index: int, amount: str) -> None:
    """Part of a job's charge is given back: the record itself changes."""
    record = ledger["usage"][index]
    record["charge"] -= micro(amount)
    for fund in usable(ledger, record["account"])[:1]:
        for one in active(ledger, fund)[:1]:
            one["amount"] += micro(amount)
