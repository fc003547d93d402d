"""What MAM prints, as it prints it, and answers that are not believed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ReadError
from reconciler.providers.moab import names, queue, rows, said
from reconciler.providers.moab.funds import COLUMNS, Fund, window
from reconciler.providers.moab.read import ACCOUNTS
from reconciler.providers.moab.usage import COLUMNS as USAGE
from reconciler.providers.runner import Result
from tests.moab.conftest import ACCOUNT
from tests.standin.mam import ledger as books
from tests.standin.mam.client import answer
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn


def result(text: str, code: int = 0) -> Result:
    """An answer of this text."""
    return Result(("mam-list-accounts",), code, text, "")


# the samples of docs/moab.md, byte for byte
ACCOUNT_LIST = "Name|Active|Users|Organization\na_one|True|^pia,amy,-bob|p_x\na_two|False||p_x\n"
FUND_LIST = "Id|Constraints|Allocated|Balance\n17|Account=a_one|500.00|420.50\n"
USAGE_LIST = "Account|User|Charge|StartTime|EndTime\na_one|centos|0.03|2026-11-03 10:00:00|2026-11-03 10:05:00\n"


def test_samples() -> None:
    one, two = rows.rows(result(ACCOUNT_LIST), ACCOUNTS)
    assert (one["Users"], two["Active"]) == ("^pia,amy,-bob", "False")
    (fund,) = rows.rows(result(FUND_LIST), COLUMNS)
    assert fund == {"Id": "17", "Constraints": "Account=a_one", "Allocated": "500.00", "Balance": "420.50"}
    (charge,) = rows.rows(result(USAGE_LIST), USAGE)
    assert charge["Charge"] == "0.03"
    assert rows.rows(result(""), ACCOUNTS) == [], "a list without rows has no header either"
    assert len(rows.rows(result(ACCOUNT_LIST, code=8), ACCOUNTS)) == 2, "a success with a remark is one"


def test_the_stand_in_prints_the_samples() -> None:
    ledger = books.empty()
    ledger["next"]["fund"] = 17
    books.create_account(ledger, "a_one", "p_x", "", "^pia,amy,-bob", active=True)
    books.create_account(ledger, "a_two", "p_x", "", "", active=False)
    books.create_fund(ledger, ["Account=a_one"])
    books.deposit(ledger, "17", 500 * books.MICRO, *books.NEVER, "")
    books.charge(ledger, "a_one", "centos", "79.5", "2026-10-03 10:05:00", hours=1 / 12)
    ledger["usage"][0] |= {"charge": 30_000, "start": "2026-11-03 10:00:00", "end": "2026-11-03 10:05:00"}
    for program, columns, sample in (
        ("mam-list-accounts", ACCOUNTS, ACCOUNT_LIST),
        ("mam-list-funds", COLUMNS, FUND_LIST),
        ("mam-list-usagerecords", USAGE, USAGE_LIST),
    ):
        assert answer(ledger, program, ("--raw", "--show", ",".join(columns))).out == sample


@pytest.mark.parametrize(
    ("program", "words", "code", "text"),
    [
        ("mam-create-account", ("-a", "a_one"), 74, "Account already exists"),
        ("mam-modify-account", ("-a", "nobody", "-A"), 0, "Successfully modified 0 Accounts"),
        ("mam-delete-account", ("-a", "nobody"), 0, "Successfully deleted 0 Accounts"),
        ("mam-delete-fund", ("-f", "99"), 0, "Successfully deleted 0 Funds"),
        ("mam-withdraw", ("-f", "1", "-z", "5"), 78, "Insufficient balance to perform requested withdrawal"),
        ("mam-withdraw", ("-f", "1", "-z", "0"), 74, "The amount must be positive"),
        ("mam-deposit", ("-a", "a_one", "-z", "5", "-s", "someday"), 31, "someday is not a valid time"),
        ("mam-list-accounts", ("--show", "Bogus"), 31, "Bogus is not a valid attribute for the object"),
        ("mam-list-accounts", ("--shwo", "Name"), 2, ""),
        ("mam-create-account", ("-a", "é"), 29, ""),
        ("mam-create-account", ("-a", "a_x", "-d", "it's"), 72, "DBD::SQLite::db do failed: syntax error"),
    ],
)
def test_exit_codes_and_words_of_the_stand_in(program: str, words: tuple[str, ...], code: int, text: str) -> None:
    ledger = books.empty()
    books.create_account(ledger, "a_one", "p_x", "", "", active=True)
    books.create_fund(ledger, ["Account=a_one"])
    made = answer(ledger, program, words)
    assert (made.code, made.out.strip()) == (code, text)
    assert bool(made.err) == (code in (2, 29))


def test_habits_of_the_stand_in() -> None:
    ledger = books.empty()
    for name in ("a_one", "aXone"):
        books.create_account(ledger, name, "p", "", "amy", active=True)
    assert answer(ledger, "mam-list-accounts", ("-a", "a_one", "--show", "Name", "--raw")).out == "Name\na_one\naXone\n"
    ledger["settings"]["exact_filters"] = True
    assert answer(ledger, "mam-list-accounts", ("-a", "a_one", "--show", "Name", "--raw")).out == "Name\na_one\n"
    books.create_fund(ledger, ["Account=a_one"])
    books.create_fund(ledger, [])
    assert answer(ledger, "mam-deposit", ("-a", "a_one", "-z", "5")).code == 74, "the pool fits as well"
    books.delete_account(ledger, "a_one")
    assert ledger["funds"]["1"]["constraints"] == [], "its fund stays, and is found by it no more"
    books.create_account(ledger, "a_one", "p", "", "", active=True)
    assert ledger["accounts"]["a_one"]["users"] == {}, "a deleted name comes back without its members"
    csv = answer(ledger, "mam-list-accounts", ("--format", "csv", "--show", "Name,Active"))
    assert csv.out == "Name,Active\naXone,True\na_one,True\n"
    assert "----" in answer(ledger, "mam-list-accounts", ("--show", "Name")).out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a_one|True||p_x\n", "expected the header"),
        ("Name|Active|Users\n", "expected the header"),
        (f"{ACCOUNT_LIST}a_three|Tr", "ends within a line"),
        (ACCOUNT_LIST[:-1], "ends within a line"),
        (f"{ACCOUNT_LIST}a_three|True|\n", "a row of 3 cells instead of 4"),
        (f"{ACCOUNT_LIST}a|three|True||p_x\n", "a row of 5 cells"),
        (f"{ACCOUNT_LIST}a_th\nree|True||p_x\n", "a row of 1 cells"),
        ("perl: warning: Setting locale failed.\n", "expected the header"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(text: str, why: str) -> None:
    with pytest.raises(ReadError, match=why):
        rows.rows(result(text), ACCOUNTS)


@given(st.integers(0, len(ACCOUNT_LIST) - 1))
def test_an_answer_that_is_cut_anywhere_but_after_a_line_is_none(length: int) -> None:
    text = ACCOUNT_LIST[:length]
    if text.endswith("\n") or not text:
        return
    with pytest.raises(ReadError):
        rows.rows(result(text), ACCOUNTS)


@pytest.mark.parametrize(
    ("constraints", "account"),
    [
        ("Account=a_one", "a_one"), ("", ""), ("Account=", ""), ("Account=a_one,User=amy", ""), ("User=amy", ""),
        ("!Account=a_one", ""), ("Account=!a_one", ""), ("Account=a_one,Account=a_two", ""),
    ],
)  # fmt: skip
def test_whose_own_a_fund_is(constraints: str, account: str) -> None:
    assert Fund("1", constraints, Decimal(0), Decimal(0)).account == account


def test_windows_have_one_spelling() -> None:
    assert window("-infinity", "infinity") == ""
    assert window("2026-11-01 00:00:00", "2026-12-01") == "2026-11-01/2026-12-01"
    assert window("2026-11-01 08:00:00", "infinity") == "2026-11-01 08:00:00/"


def test_verdicts() -> None:
    assert not said.verdict(result("Account already exists", 74)).problem
    assert not said.verdict(result("Successfully deleted 0 Accounts")).problem
    assert said.verdict(result("Successfully modified 0 Accounts")).problem
    assert said.verdict(result("amy is not a valid value for User", 74)).problem
    assert said.verdict(result("Failed sending message: (Connection refused).", 22)).outage
    assert not said.verdict(result("anything", 8)).problem


@given(st.text())
def test_texts_are_what_mam_can_keep(text: str) -> None:
    kept = names.clean_text(text)
    assert kept.isascii() and not set(kept) & set("'\"|\\\n\t") and not kept.startswith("-")
    assert names.clean_text(kept) == kept


# ---------------------------------------------------------------------- a site on which something is wrong


@pytest.mark.parametrize("program", ["mam-list-accounts", "mam-list-users", "mam-list-funds", "mam-list-allocations"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("exit", {"code": 22, "text": "Failed sending message: (Unable to connect to socket)."}),
        ("exit", {"code": 44, "text": "root is not authorized to perform this function"}),
        ("cut", {"bytes": 20, "code": 0}),
        ("cut", {"bytes": 20, "code": 141}),
    ],
)
def test_what_cannot_be_read_changes_nothing(
    applied: MoabSite, portal: StandIn, program: str, kind: str, more: dict[str, object]
) -> None:
    portal.edit("climate-a", state="Terminated")
    before = applied.ledger()
    applied.fault(program, 0, kind, **more)
    ran = applied("apply", "--auto-approve")
    assert ran.code == 1, ran.both
    assert program in ran.err
    assert applied.ledger() == before


def test_noise_on_standard_error_is_none_of_ours(applied: MoabSite) -> None:
    applied.fault("mam-list-funds", 0, "noise")
    assert "No changes." in applied("plan").out


def test_a_caller_who_is_shown_a_part_is_recognised(applied: MoabSite) -> None:
    """Its own accounts would be missing then, and be made again, with new money in them."""
    applied.do(lambda ledger: ledger["settings"].update(role="filtered"))
    applied.settings["sentinel"] = "p_climate"
    ran = applied("plan")
    assert ran.code == 1
    assert "does not show 'p_climate'" in ran.err and "administrator" in ran.err
    applied.settings.clear()
    applied.do(lambda ledger: ledger["settings"].update(role="admin"))
    applied.do(lambda ledger: ledger["accounts"].pop(ACCOUNT))
    ran = applied("plan")
    assert ran.code == 1, "a fund of an account that is not shown tells as well"
    assert f"does not show '{ACCOUNT}', of which mam-list-funds has fund 1" in ran.err


def test_a_server_without_anybody_is_not_believed(applied: MoabSite) -> None:
    applied.do(lambda ledger: ledger.update(users={}))
    assert "shows nobody at all" in applied("plan").err


def test_a_pool_and_a_fund_of_several_are_left_alone(applied: MoabSite) -> None:
    applied.mam("create-fund")
    applied.mam("deposit -f 2 -z 5")
    applied.mam(f"create-fund -a {ACCOUNT} -u amy")
    assert "No changes." in applied("plan").out


# ---------------------------------------------------------------------- jobs

SHOWQ = """<Data><Object>queue</Object>
<queue count="1" option="active"><job Account="a_one" JobID="Moab.12" User="Amy" State="Running"/></queue>
<queue count="1" option="eligible"><job JobID="13" User="bob" State="Idle"/></queue></Data>"""
QSTAT = """<Data><Job><Job_Id>12.head</Job_Id><Job_Owner>amy@head</Job_Owner><job_state>R</job_state>
<Account_Name>a_one</Account_Name></Job><Job><Job_Id>9.head</Job_Id><Job_Owner>bob@head</Job_Owner>
<job_state>C</job_state></Job></Data>"""


def test_jobs_of_either_queue() -> None:
    assert list(queue.parsed(result(SHOWQ))) == [("Moab.12", "a_one", "Amy"), ("13", "", "bob")]
    assert list(queue.parsed(result(QSTAT))) == [("12.head", "a_one", "amy")]
    assert list(queue.parsed(result(""))) == []
    for bad in ("no XML", "<Data><job/></Data>"):
        with pytest.raises(ReadError):
            list(queue.parsed(result(bad)))
