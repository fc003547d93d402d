"""A whole MAM as a state, by four commands side by side, whatever the number of accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from reconciler.config import MoabSettings
from reconciler.errors import ReadError
from reconciler.providers.base import Reading
from reconciler.providers.moab import kinds
from reconciler.providers.moab.funds import Fund, Windows, funds, overlap, windows
from reconciler.providers.moab.money import window
from reconciler.providers.moab.names import MANY_PEOPLE
from reconciler.providers.moab.rows import Row, exact, listed, money
from reconciler.providers.runner import CommandRunner
from reconciler.state.model import Obj, State
from reconciler.state.names import fold

ACCOUNTS = ("Name", "Active", "Users", "Organization")
USERS = ("Name", "DefaultAccount")
_RIGHTS = "Do the commands run as an administrator of MAM? Others are shown a part of it (reconcile doctor)."


def read(runner: CommandRunner, name: str, settings: MoabSettings, today: date) -> Reading:
    """Everything, checked; funds as far as the present period goes. Raises :class:`ReadError`; never a part."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        asked = (
            pool.submit(listed, runner, "mam-list-accounts", ACCOUNTS),
            pool.submit(listed, runner, "mam-list-users", USERS),
            pool.submit(funds, runner),
            pool.submit(windows, runner),
        )
        accounts, users = asked[0].result(), asked[1].result()
        found, within = asked[2].result(), asked[3].result()
    _whole(accounts, users, found, settings.sentinel)
    state: State = {
        kinds.USER.at(fold(row["Name"])): Obj({"name": row["Name"]}, beside={"default": row["DefaultAccount"]})
        for row in users
    }
    others: dict[str, list[str]] = defaultdict(list)
    for fund in found:
        for account in fund.named if not fund.account else ():
            others[account].append(f"{fund.id} ({fund.constraints})")
    for row in accounts:
        state |= _account(row, others.get(row["Name"], ()))
    with exact():
        state |= _purses(found, within, window(settings.period, today), today)
    return Reading(name, state)


def _whole(accounts: Sequence[Row], users: Sequence[Row], found: Sequence[Fund], sentinel: str) -> None:
    """An answer that lacks what must be in it is none: MAM shows to each caller what its role may see, with exit 0."""
    if not users:
        raise ReadError("mam-list-users shows nobody at all, not even its caller", _RIGHTS)
    names = {row["Name"] for row in accounts}
    if sentinel and sentinel not in names:
        raise ReadError(
            f"mam-list-accounts does not show {sentinel!r}, which backend_settings.moab.sentinel says is there", _RIGHTS
        )
    unseen = next(((f.id, a) for f in found for a in f.named if a not in names), None)
    if unseen:
        raise ReadError(
            f"mam-list-accounts does not show {unseen[1]!r}, of which mam-list-funds has fund {unseen[0]}", _RIGHTS
        )


def _account(row: Row, others: Sequence[str]) -> State:
    name = row["Name"]
    organization = row["Organization"] if row["Organization"] != name else ""
    values = {"organization": organization, "description": None, "active": row["Active"]}
    found: State = {kinds.ACCOUNT.at(name): Obj(values, beside={"funds": tuple(others)})}
    for word in row["Users"].split(","):
        user = word.strip()
        active = kinds.NO if user.startswith("-") else kinds.YES
        user = user.lstrip("^+-")
        if user and user not in MANY_PEOPLE:
            found[kinds.MEMBER.at(name, fold(user))] = Obj({"active": active, "name": user})
    return found


def _purses(found: Sequence[Fund], within: Mapping[str, Windows], lasting: str, today: date) -> State:
    """Accounts' own funds; several of one account are one object of which no amount can be said."""
    purses: dict[str, list[Fund]] = defaultdict(list)
    for fund in found:
        if fund.account:
            purses[fund.account].append(fund)
    state: State = {}
    # what is over is in nobody's way
    span = lasting or f"{today}/"
    for account, several in purses.items():
        put_in = [(f, within.get(f.id, {})) for f in several]
        amounts = [f.within(windows_, lasting) for f, windows_ in put_in]
        others = {w or "any time" for _, ws in put_in for w, a in ws.items() if a and w != lasting and overlap(w, span)}
        values = {
            "allocated": money(sum(amounts[1:], amounts[0])),
            "window": lasting,
            "id": kinds.MANY.join(f.id for f in several),
            "balance": money(sum((f.balance for f in several[1:]), several[0].balance)),
        }
        ever = any(a for _, ws in put_in for a in ws.values())
        beside = {"others": kinds.MANY.join(sorted(others)), "ever": ever}
        state[kinds.FUND.at(account)] = Obj(values, beside=beside)
    return state
