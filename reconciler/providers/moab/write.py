"""The calls that change a MAM: one object each, since of a list only the last one's answer counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

from reconciler.config import MoabSettings
from reconciler.providers.command import Asked, Command
from reconciler.providers.moab import kinds
from reconciler.providers.moab.names import clean_text
from reconciler.providers.moab.once import UNKNOWN, GoneFund, Moved, Movement, NewFund, gone_fund, new_fund
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Action, Change
from reconciler.state.units import decimal

_MODIFY = "mam-modify-account"


class Writer:
    """Makes commands of changes; those that move money look at their fund by the same ``runner``."""

    def __init__(self, runner: CommandRunner, settings: MoabSettings, today: Callable[[], date]) -> None:
        self._runner, self._settings, self._today = runner, settings, today
        self._words: Mapping[tuple[str, Action], Callable[[Change], Iterator[Command]]] = {
            (kinds.USER.name, Action.CREATE): _new_user,
            (kinds.ACCOUNT.name, Action.CREATE): self._new_account,
            (kinds.ACCOUNT.name, Action.UPDATE): _account,
            (kinds.ACCOUNT.name, Action.DELETE): _gone_account,
            (kinds.MEMBER.name, Action.CREATE): _new_member,
            (kinds.MEMBER.name, Action.UPDATE): _member,
            (kinds.MEMBER.name, Action.DELETE): _gone_member,
            (kinds.FUND.name, Action.CREATE): self._new_fund,
            (kinds.FUND.name, Action.UPDATE): self._moved,
            (kinds.FUND.name, Action.DELETE): self._gone_fund,
        }

    def commands(self, step: Sequence[Change]) -> list[Command]:
        """The calls for one step of a plan, in order."""
        return [command for change in step for command in self._words[change.address.kind, change.action](change)]

    def _new_account(self, change: Change) -> Iterator[Command]:
        values, name = change.after or {}, change.address.key[0]
        organization = str(values.get("organization") or name)
        if self._settings.create_organizations:
            yield Command("mam-create-organization", ("-o", organization), (change.address,))
        described = clean_text(str(values.get("description") or ""))
        about = ("-d", described) if described else ()
        rest = ("-I",) if values.get("active") == kinds.NO else ()
        yield Command("mam-create-account", ("-a", name, "-o", organization, *about, *rest), (change.address,))

    def _new_fund(self, change: Change) -> Iterator[Command]:
        account, values = change.address.key[0], change.after or {}
        yield Command("mam-create-fund", new_fund(account), (change.address,), once=NewFund(self._runner, account))
        movement = Movement(account, Decimal(0), _amount(values), str(values.get("window") or ""))
        if movement.wanted:
            yield self._move(change, movement, "")

    def _moved(self, change: Change) -> Iterator[Command]:
        before, after = change.before or {}, change.after or {}
        movement = Movement(change.address.key[0], _amount(before), _amount(after), str(after.get("window") or ""))
        if movement.wanted != movement.before:
            yield self._move(change, movement, str(before.get("id") or ""))

    def _move(self, change: Change, movement: Movement, fund: str) -> Command:
        shown = movement.arguments(fund, abs(movement.wanted - movement.before))
        once, asked = Moved(self._runner, movement, self._today), None if fund else _number_of(movement.account)
        return Command(movement.program, shown, (change.address,), once=once, asked=asked)

    def _gone_fund(self, change: Change) -> Iterator[Command]:
        before, account = change.before or {}, change.address.key[0]
        fund = str(before.get("id") or "")
        once = GoneFund(self._runner, account, fund, str(before.get("window") or ""), _amount(before))
        yield Command("mam-delete-fund", gone_fund(fund), (change.address,), once=once)


def _number_of(account: str) -> Asked:
    """How one would find the fund that is an account's own."""
    select = f"s/|Account={account.replace('.', '[.]')}$//p"
    return Asked(UNKNOWN, "mam-list-funds", ("--raw", "--quiet", "--show", "Id,Constraints", "-a", account), select)


def _amount(values: Mapping[str, object]) -> Decimal:
    return decimal(values.get("allocated") or 0)


def _named(change: Change) -> str:
    """A person's name as MAM has it, or is to have it."""
    values = {**(change.after or {}), **(change.before or {})}
    return str(values.get("name") or change.address.key[-1])


def _new_user(change: Change) -> Iterator[Command]:
    yield Command("mam-create-user", ("-u", _named(change)), (change.address,))


def _account(change: Change) -> Iterator[Command]:
    name, after = change.address.key[0], change.after or {}
    words: list[str] = []
    for field in change.changed():
        if field == "organization":
            words += ("-o", str(after[field] or name))
        elif field == "active":
            words.append("-I" if after[field] == kinds.NO else "-A")
    if words:
        yield Command(_MODIFY, ("-a", name, *words), (change.address,))


def _gone_account(change: Change) -> Iterator[Command]:
    yield Command("mam-delete-account", ("-a", change.address.key[0]), (change.address,))


def _new_member(change: Change) -> Iterator[Command]:
    sign = "-" if (change.after or {}).get("active") == kinds.NO else "+"
    words = ("-a", change.address.key[0], "--add-user", f"{sign}{_named(change)}")
    yield Command(_MODIFY, words, (change.address,))


def _member(change: Change) -> Iterator[Command]:
    if "active" in change.changed():
        word = "--deact-user" if (change.after or {})["active"] == kinds.NO else "--act-user"
        yield Command(_MODIFY, ("-a", change.address.key[0], word, _named(change)), (change.address,))


def _gone_member(change: Change) -> Iterator[Command]:
    yield Command(_MODIFY, ("-a", change.address.key[0], "--del-user", _named(change)), (change.address,))
