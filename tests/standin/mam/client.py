"""The client of the stand-in: options, lists in raw, csv and cooked form, and exit codes. One call is one answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.standin.mam import ledger as books
from tests.standin.mam.ledger import MICRO, NEVER, Ledger, ServerError

_COMMON = {"--raw": 0, "--quiet": 0, "--show": 1, "--format": 1, "--full": 0, "-A": 0, "-I": 0, "-V": 0}
_OPTIONS: dict[str, dict[str, int]] = {
    "mam-list-accounts": {"-a": 1, "-u": 1},
    "mam-list-users": {"-u": 1, "-a": 1},
    "mam-list-organizations": {"-o": 1},
    "mam-list-funds": {"-f": 1, "-a": 1, "-u": 1},
    "mam-list-allocations": {"-f": 1},
    "mam-balance": {"-f": 1, "-a": 1, "-u": 1},
    "mam-list-usagerecords": {"-a": 1, "-u": 1, "-s": 1, "-e": 1},
    "mam-list-transactions": {"-f": 1},
    "mam-create-account": {"-a": 1, "-o": 1, "-d": 1, "-u": 1},
    "mam-modify-account": {"-a": 1, "-o": 1, "-d": 1}
    | dict.fromkeys(("--add-user", "--del-user", "--act-user", "--deact-user"), 1),
    "mam-delete-account": {"-a": 1},
    "mam-create-user": {"-u": 1, "-n": 1, "-E": 1},
    "mam-create-organization": {"-o": 1, "-d": 1},
    "mam-create-fund": {"-a": 1, "-u": 1, "-n": 1, "-d": 1},
    "mam-delete-fund": {"-f": 1},
    "mam-deposit": {"-f": 1, "-a": 1, "-z": 1, "-s": 1, "-e": 1, "-d": 1},
    "mam-withdraw": {"-f": 1, "-a": 1, "-z": 1, "-d": 1},
    "mam-charge": {"-a": 1, "-u": 1, "-z": 1, "-e": 1},  # the scheduler's: nobody else may call it
}
PROGRAMS = tuple(_OPTIONS)
_DEFAULTS = {
    "mam-list-accounts": "Name,Active,Users,Organization,Description",
    "mam-list-users": "Name,Active,CommonName,PhoneNumber,EmailAddress,DefaultAccount,Description",
    "mam-list-organizations": "Name,Description",
    "mam-list-funds": "Id,Name,Constraints,Allocated,Balance,DefaultDeposit,Description",
    "mam-list-allocations": "Id,Fund,StartTime,EndTime,InitialDeposit,Allocated,CreditLimit,Remaining,PercentUsed",
    "mam-balance": "Id,Name,Balance,Reserved,Effective,CreditLimit,Available",
    "mam-list-usagerecords": "Id,Account,User,Charge,StartTime,EndTime",
    "mam-list-transactions": "Id,Action,Fund,Amount,Description,CreationTime",
}
Given = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a call. What the server says, errors too, is on standard output."""

    code: int
    out: str = ""
    err: str = ""


def answer(ledger: Ledger, program: str, words: Sequence[str]) -> Answer:
    """Make one call; the ledger is changed in place."""
    try:
        given = _given(program, words)
    except ValueError as error:
        return Answer(2, "", f"{error}\nUsage: {program} …\n")
    if "-V" in given:
        return Answer(0, "MOAB Accounting Manager version 9.1.3 (a stand-in)\n")
    if any(not w.isascii() for w in words):
        return Answer(29, "", "Wide character in subroutine entry\n")
    try:
        out = _listed(ledger, program, given) if program in _DEFAULTS else _changed(ledger, program, given)
    except ServerError as error:
        return Answer(error.code, f"{error}\n")
    return Answer(8 if ledger["settings"]["remark"] else 0, out)


def _given(program: str, words: Sequence[str]) -> Given:
    """Options with their values; left-over words are ignored without a word."""
    known = {**_COMMON, **_OPTIONS[program]}
    given: Given = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            continue
        if word not in known:
            raise ValueError(f"Unknown option: {word.lstrip('-')}")
        if known[word] and not rest:
            raise ValueError(f"Option {word.lstrip('-')} requires an argument")
        given[word] = rest.pop(0) if known[word] else True
    return given


# ---------------------------------------------------------------------- lists


def _listed(ledger: Ledger, program: str, given: Given) -> str:
    columns = str(given.get("--show", _DEFAULTS[program])).split(",")
    rows = []
    for row in _ROWS[program](ledger, given):
        for column in columns:
            if column not in row and column not in _DEFAULTS[program].split(","):
                raise ServerError(31, f"{column} is not a valid attribute for the object")
        rows.append([str(row.get(c, "")) for c in columns])
    if not rows:
        return ""
    lines = rows if "--quiet" in given else [columns, *rows]
    if given.get("--format") == "csv":
        return "".join(",".join(f'"{c}"' if "," in c else c for c in line) + "\n" for line in lines)
    if "--raw" in given:
        return "".join("|".join(line) + "\n" for line in lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    padded = [" ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    if "--quiet" not in given:
        padded.insert(1, " ".join("-" * w for w in widths))
    return "".join(line + "\n" for line in padded)


def _fits(ledger: Ledger, pattern: str | None, name: str) -> bool:
    """``*`` and ``?`` stand for anything, and so do ``%`` and ``_``, which nobody escapes."""
    if pattern is None:
        return True
    if ledger["settings"]["exact_filters"]:
        return pattern == name
    parts = {"*": ".*", "%": ".*", "?": ".", "_": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), name) is not None


def _printed(ledger: Ledger, amount: int) -> str:
    return f"{amount / MICRO:.{ledger['settings']['precision']}f}"


def _accounts(ledger: Ledger, given: Given) -> list[Given]:
    rows = []
    for name, one in ledger["accounts"].items():
        if one["deleted"] or not _fits(ledger, given.get("-a"), name):
            continue
        if ledger["settings"]["role"] == "filtered" and "root" not in one["users"]:
            continue
        if ("-A" in given and not one["active"]) or ("-I" in given and one["active"]):
            continue
        shown = {n: u for n, u in one["users"].items() if u["active"] or ledger["settings"]["inactive_mark"]}
        users = [("^" if u["admin"] else "-" if not u["active"] else "") + n for n, u in shown.items()]
        rows.append({
            "Name": name, "Active": one["active"], "Users": ",".join(users),
            "Organization": one["organization"], "Description": one["description"],
        })  # fmt: skip
    return rows


def _users(ledger: Ledger, given: Given) -> list[Given]:
    mine = {"root"} if ledger["settings"]["role"] == "filtered" else ledger["users"].keys()
    return [
        {"Name": n, "Active": u["active"]}
        for n, u in ledger["users"].items()
        if n in mine and _fits(ledger, given.get("-u"), n)
    ]


def _organizations(ledger: Ledger, given: Given) -> list[Given]:
    return [{"Name": n} for n in ledger["organizations"] if _fits(ledger, given.get("-o"), n)]


def _fund_ids(ledger: Ledger, given: Given) -> list[str]:
    names = [n for n in ledger["accounts"] if _fits(ledger, given.get("-a"), n)]
    found = [k for k in ledger["funds"] if "-f" not in given or k == given["-f"]]
    if "-a" in given:
        found = [k for k in found if any(k in books.usable(ledger, n) for n in names)]
    if ledger["settings"]["role"] == "filtered":
        found = [k for k in found if not ledger["funds"][k]["constraints"]]
    return found


def _funds(ledger: Ledger, given: Given) -> list[Given]:
    return [
        {
            "Id": key,
            "Constraints": ",".join(ledger["funds"][key]["constraints"]),
            "Allocated": _printed(ledger, books.allocated(ledger, key)),
            "Balance": _printed(ledger, books.balance(ledger, key)),
        }
        for key in _fund_ids(ledger, given)
    ]


def _balances(ledger: Ledger, given: Given) -> list[Given]:
    rows = []
    for key in _fund_ids(ledger, given):
        left, held = books.balance(ledger, key), books.reserved(ledger, key)
        sums = {"Balance": left, "Reserved": held, "Effective": left - held, "CreditLimit": 0, "Available": left - held}
        rows.append({"Id": key, **{n: _printed(ledger, a) for n, a in sums.items()}})
    return rows


def _allocations(ledger: Ledger, given: Given) -> list[Given]:
    rows = []
    for key, one in ledger["allocations"].items():
        if "-A" in given and one not in books.active(ledger, one["fund"]):
            continue
        if one["fund"] in _fund_ids(ledger, given):
            sums = {"InitialDeposit": one["initial"], "Allocated": one["allocated"], "Remaining": one["amount"]}
            about = {"Id": key, "Fund": one["fund"], "StartTime": one["start"], "EndTime": one["end"]}
            rows.append({**about, **{n: _printed(ledger, a) for n, a in sums.items()}})
    return rows


def _usage(ledger: Ledger, given: Given) -> list[Given]:
    first = books.moment(ledger, given.get("-s", NEVER[0]))
    last = books.moment(ledger, given.get("-e", NEVER[1]))
    rows = []
    for key, one in enumerate(ledger["usage"]):
        after = first == NEVER[0] or one["start"] >= first
        shown = not ledger["settings"]["open_hidden"] if not one["end"] else one["end"] <= last
        before = last == NEVER[1] or shown
        if after and before and _fits(ledger, given.get("-a"), one["account"]):
            charge = "" if one["charge"] is None else _printed(ledger, one["charge"])
            rows.append({
                "Id": key, "Account": one["account"], "User": one["user"], "Charge": charge,
                "StartTime": one["start"], "EndTime": one["end"],
            })  # fmt: skip
    return [] if ledger["settings"]["role"] == "filtered" else rows


def _transactions(ledger: Ledger, given: Given) -> list[Given]:
    return [
        {
            "Id": n, "Action": t["action"], "Fund": t["fund"], "Amount": _printed(ledger, t["amount"]),
            "Description": t["description"], "CreationTime": t["time"],
        }
        for n, t in enumerate(ledger["transactions"])
        if given.get("-f") in (None, t["fund"])
    ]  # fmt: skip


_ROWS: dict[str, Callable[[Ledger, Given], list[Given]]] = {
    "mam-list-accounts": _accounts,
    "mam-list-users": _users,
    "mam-list-organizations": _organizations,
    "mam-list-funds": _funds,
    "mam-list-allocations": _allocations,
    "mam-balance": _balances,
    "mam-list-usagerecords": _usage,
    "mam-list-transactions": _transactions,
}


# ---------------------------------------------------------------------- changes


def _changed(ledger: Ledger, program: str, given: Given) -> str:
    if ledger["settings"]["role"] != "admin":
        raise ServerError(44, f"root is not authorized to perform this function ({program})")
    said = _CHANGES[program](ledger, given)
    return "" if "--quiet" in given else f"{said}\n"


def _create_account(ledger: Ledger, given: Given) -> str:
    if "'" in given.get("-d", ""):
        raise ServerError(72, "DBD::SQLite::db do failed: syntax error")
    texts = (given.get("-o", ""), given.get("-d", ""), given.get("-u", ""))
    return books.create_account(ledger, given["-a"], *texts, active="-I" not in given)


def _modify_account(ledger: Ledger, given: Given) -> str:
    name, said = given["-a"], "Successfully modified 0 Accounts"
    values = {field: given[word] for word, field in (("-o", "organization"), ("-d", "description")) if word in given}
    if "-A" in given or "-I" in given:
        values["active"] = "-A" in given
    if values:
        said = books.modify_account(ledger, name, values)
    if "--add-user" in given:
        said = books.add_users(ledger, name, given["--add-user"])
    for word, changes in (("--del-user", {}), ("--act-user", {"active": True}), ("--deact-user", {"active": False})):
        for user in given.get(word, "").split(",") if word in given else ():
            said = books.member(ledger, name, user, **changes)
    return said


def _create_organization(ledger: Ledger, given: Given) -> str:
    if given["-o"] in ledger["organizations"]:
        raise ServerError(74, "Organization already exists")
    ledger["organizations"].append(given["-o"])
    return "Successfully created 1 Organization"


def _create_fund(ledger: Ledger, given: Given) -> str:
    names = [n for n in given.get("-a", "").split(",") if n]
    for name in names:
        if books.account(ledger, name) is None:
            raise ServerError(74, f"{name} is not a valid value for Account")
    users = [u for u in given.get("-u", "").split(",") if u]
    return books.create_fund(ledger, [*(f"Account={n}" for n in names), *(f"User={u}" for u in users)])


def _deposit(ledger: Ledger, given: Given) -> str:
    fund = books.chosen(ledger, given.get("-f", ""), given.get("-a", ""))
    start, end = (books.moment(ledger, given.get(w, n)) for w, n in (("-s", NEVER[0]), ("-e", NEVER[1])))
    return books.deposit(ledger, fund, books.micro(given["-z"]), start, end, given.get("-d", ""))


def _withdraw(ledger: Ledger, given: Given) -> str:
    fund = books.chosen(ledger, given.get("-f", ""), given.get("-a", ""))
    return books.withdraw(ledger, fund, books.micro(given["-z"]), given.get("-d", ""))


def _charge(ledger: Ledger, given: Given) -> str:
    books.charge(ledger, given["-a"], given["-u"], given["-z"], books.moment(ledger, given["-e"]))
    return f"Successfully charged {given['-z']} credits"


_CHANGES: dict[str, Callable[[Ledger, Given], str]] = {
    "mam-create-account": _create_account,
    "mam-modify-account": _modify_account,
    "mam-delete-account": lambda ledger, given: books.delete_account(ledger, given["-a"]),
    "mam-create-user": lambda ledger, given: books.create_user(ledger, given["-u"]),
    "mam-create-organization": _create_organization,
    "mam-create-fund": _create_fund,
    "mam-delete-fund": lambda ledger, given: books.delete_fund(ledger, given["-f"]),
    "mam-deposit": _deposit,
    "mam-withdraw": _withdraw,
    "mam-charge": _charge,
}
