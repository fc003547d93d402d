"""Money moves once, and only as planned: policies, windows, what stops it, and a process that dies anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.moab.conftest import ACCOUNT, FUND, RESOURCE, moves, spent
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn

# ---------------------------------------------------------------------- spent money, and what is left over


def test_money_that_is_spent_is_no_drift(applied: MoabSite) -> None:
    spent(applied, "437.5")
    assert "No changes." in applied("plan").out
    assert applied.money(ACCOUNT) == (500, 62.5)


def test_a_lowering_below_what_is_spent_leaves_the_rest_and_does_not_loop(applied: MoabSite, portal: StandIn) -> None:
    spent(applied, "300")
    applied.do(lambda ledger: books.lien(ledger, "1", "50"))
    portal.edit(RESOURCE, limits={"deposit": 100})
    said = applied("apply", "--auto-approve")
    assert said.code == 0, said.both
    assert "350.00 of 500.00 are spent or held by jobs: 250.00 cannot be taken back" in said.out
    assert applied.money(ACCOUNT) == (350, 50)
    applied.forget()
    again = applied("apply", "--auto-approve")
    assert "250.00 cannot be taken back" in again.out
    assert not moves(applied)
    applied.do(lambda ledger: ledger.update(liens=[]))
    applied("apply", "--auto-approve")
    assert applied.money(ACCOUNT) == (300, 0), "what a job no longer holds is taken as well"
    portal.edit(RESOURCE, limits={"deposit": 400})
    applied("apply", "--auto-approve")
    assert applied.money(ACCOUNT) == (400, 100)


def test_a_lowering_asks_for_balances_once(applied: MoabSite, portal: StandIn) -> None:
    for number in range(5):
        portal.resource(f"r{number}", project="fusion", limits={"deposit": 100})
    assert applied("apply", "--auto-approve").code == 0
    applied.forget()
    for number in range(5):
        portal.edit(f"r{number}", limits={"deposit": 40})
    applied("plan")
    assert len(applied.calls()) == 5


# ---------------------------------------------------------------------- policies


@pytest.mark.parametrize(
    ("policy", "raised", "lowered", "by_hand"),
    [
        ("exact", 700, 200, 500),
        ("raise_only", 700, 500, 570),
        ("on_create", 500, 500, 570),
        ("unmanaged", 500, 500, 570),
    ],
)
def test_policies(applied: MoabSite, portal: StandIn, policy: str, raised: int, lowered: int, by_hand: int) -> None:
    applied.settings["funds"] = policy
    applied.mam("deposit -f 1 -z 70")
    assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT)[0] == by_hand
    applied.mam("withdraw -f 1 -z 70") if by_hand == 570 else None
    for limit, expected in ((200, lowered), (700, raised)):
        portal.edit(RESOURCE, limits={"deposit": limit})
        assert applied("apply", "--auto-approve").code == 0
        assert applied.money(ACCOUNT)[0] == expected


def test_what_is_deposited_once_is_deposited_after_all_where_that_failed(site: MoabSite) -> None:
    site.settings["funds"] = "on_create"
    site.fault("mam-deposit", 1, "before")
    assert site.process("apply", "--auto-approve").code == -9
    assert site.money(ACCOUNT) == (0, 0)
    site.well()
    assert site("apply", "--auto-approve").code == 0
    assert site.money(ACCOUNT) == (500, 500)


def test_what_was_deposited_once_is_not_when_that_is_over(applied: MoabSite, portal: StandIn) -> None:
    applied.settings["funds"] = "on_create"
    over = {"start": "2020-01-01 00:00:00", "end": "2020-02-01 00:00:00"}
    applied.do(lambda ledger: ledger["allocations"]["1"].update(over))
    portal.edit(RESOURCE, limits={"deposit": 900})
    said = applied("apply", "--auto-approve")
    assert (said.code, "the limit is 900: on_create leaves it" in said.out) == (0, True), said.both
    assert len(applied.ledger()["allocations"]) == 1


@pytest.mark.parametrize(("policy", "left"), [("exact", 0), ("raise_only", 0), ("on_create", 0), ("unmanaged", 500)])
def test_a_soft_end_and_its_way_back(applied: MoabSite, portal: StandIn, policy: str, left: int) -> None:
    applied.settings["funds"] = policy
    applied.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    portal.order(RESOURCE, "Terminate", "pending-provider")
    assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT)[0] == left
    portal.world["orders"] = []
    portal.edit(RESOURCE, state="Terminated")
    portal.order(RESOURCE, "Restore", "pending-provider", limits={"deposit": 500})
    ran = applied("apply", "--auto-approve")
    assert ran.code == 0, ran.both
    assert applied.money(ACCOUNT) == (500, 500)


def test_a_fund_that_is_not_looked_after_keeps_its_account(applied: MoabSite, portal: StandIn) -> None:
    applied.settings["funds"] = "unmanaged"
    portal.order(RESOURCE, "Terminate", "pending-provider")
    held = applied("apply", "--auto-approve")
    assert (held.code, "fund 1 is not looked after here (funds: unmanaged)" in held.out) == (4, True), held.both
    assert applied.money(ACCOUNT) == (500, 500)


def test_unmanaged_makes_no_fund(site: MoabSite) -> None:
    site.settings["funds"] = "unmanaged"
    assert site("apply", "--auto-approve").code == 0
    assert not site.ledger()["funds"]
    assert "No changes." in site("plan").out


def test_an_unknown_policy_is_refused_with_its_line(site: MoabSite) -> None:
    site.settings["funds"] = "sometimes"
    said = site("plan")
    assert said.code == 1
    assert "funds" in said.err and "exact" in said.err


# ---------------------------------------------------------------------- what stops it


def test_several_funds_of_one_account(applied: MoabSite, portal: StandIn) -> None:
    applied.mam(f"create-fund -a {ACCOUNT}")
    applied.mam("deposit -f 2 -z 1")
    portal.edit(RESOURCE, limits={"deposit": 600})
    order = portal.order(RESOURCE, "Update", "pending-provider", limits={"deposit": 600})
    applied.forget()
    said = applied("apply", "--auto-approve")
    assert said.code == 4, said.both
    assert "it has several funds (1, 2)" in said.out
    assert not moves(applied)
    portal.world["orders"] = [o for o in portal.world["orders"] if o["uuid"] != order["uuid"]]
    portal.order(RESOURCE, "Terminate", "pending-provider")
    ended = applied("apply", "--auto-approve")
    assert ended.code == 4, ended.both
    assert not applied.ledger()["accounts"][ACCOUNT]["deleted"]
    assert set(applied.ledger()["funds"]) == {"1", "2"}


def test_a_deposit_beside_ours_is_seen_before_and_after(applied: MoabSite, portal: StandIn) -> None:
    """An operator deposits between the read and the call, or in the moment of the call."""
    portal.edit(RESOURCE, limits={"deposit": 700})
    for program, nth, expected in (("mam-list-funds", 2, 520), ("mam-deposit", 1, 720)):
        applied.fault(program, nth, "meanwhile", argv=["mam-deposit", "-f", "1", "-z", "20"])
        ran = applied("apply", "--auto-approve")
        assert ran.code != 0, ran.both
        assert applied.money(ACCOUNT)[0] == expected, ran.both
        applied.well()
        if expected == 520:
            assert "has 520.00 allocated by now instead of 500.00" in ran.both
    assert "has 720.00 allocated after the mam-deposit instead of 700.00" in ran.both
    held = applied("apply", "--auto-approve", "--allow", "limit_cuts")
    assert held.code == 4, held.both
    assert "its last movement went wrong" in held.out
    assert applied.money(ACCOUNT)[0] == 720, "nobody moves it before a person has looked"
    assert applied("apply", "--auto-approve", "--allow", "limit_cuts", "--allow", "retry_money").code == 0
    assert applied.money(ACCOUNT)[0] == 700
    portal.edit(RESOURCE, limits={"deposit": 750})
    assert applied("apply", "--auto-approve").code == 0, "what went well lifts the doubt"


def test_a_server_that_does_not_count_withdrawals_is_not_drained(portal: StandIn, tmp_path: Path) -> None:
    site = MoabSite(tmp_path, portal, allocated_falls_on_withdrawal=False)
    portal.resource(RESOURCE, limits={"deposit": 500})
    assert site("apply", "--auto-approve").code == 0
    portal.edit(RESOURCE, limits={"deposit": 400})
    first = site("apply", "--auto-approve")
    assert first.code == 1, first.both
    assert "has 500.00 allocated after the mam-withdraw instead of 400.00" in first.both
    for _ in range(3):
        later = site("apply", "--auto-approve")
        assert later.code == 4, later.both
    assert site.money(ACCOUNT) == (500, 400)


def test_an_unclear_end_is_not_tried_again_in_the_cycle(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"deposit": 700})
    applied.document["reconcile"]["runner"] = {"timeout": 3}
    applied.fault("mam-deposit", 1, "slow", seconds=60)
    ran = applied("apply", "--auto-approve")
    assert len(moves(applied)) == 1
    assert applied.money(ACCOUNT) == (700, 700), ran.both
    applied.well()
    assert "No changes." in applied("plan").out


def test_money_that_came_after_the_plan_is_not_destroyed(applied: MoabSite, portal: StandIn) -> None:
    portal.order(RESOURCE, "Terminate", "pending-provider")
    applied.fault("mam-modify-account", 1, "meanwhile", argv=["mam-deposit", "-f", "1", "-z", "100000"])
    ran = applied("apply", "--auto-approve")
    assert ran.code == 1, ran.both
    assert "fund 1 has 100500.00 allocated by now instead of 500.00" in ran.both
    assert applied.money(ACCOUNT)[0] == 100500


def test_an_end_is_not_rolled_back_with_money(applied: MoabSite, portal: StandIn) -> None:
    """What was spent would be given once more."""
    spent(applied, "437.5")
    portal.order(RESOURCE, "Terminate", "pending-provider")
    assert applied("apply", "--auto-approve").code == 0
    run = applied("history").out.splitlines()[1].split()[0]
    undone = applied("rollback", run, "--auto-approve", "--allow", "rollback_money")
    assert f"{FUND}  is not made again" in undone.out, undone.both
    assert not applied.ledger()["funds"]


def test_balances_that_cannot_be_read_hold_one_fund_alone(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"deposit": 400})
    portal.resource("new", limits={"deposit": 60})
    applied.fault("mam-balance", 0, "exit", code=72, text="DBD::Pg::db failed")
    ran = applied("apply", "--auto-approve")
    assert (ran.code, "what is spent of it cannot be found out" in ran.out) == (4, True), ran.both
    assert (applied.money(ACCOUNT)[0], applied.money("a_new")[0]) == (500, 60)


def test_a_fund_without_bounds_is_no_crash(applied: MoabSite, portal: StandIn) -> None:
    applied.mam("create-fund")
    applied.mam(f"deposit -f 2 -z {10**27}")
    applied.mam(f"deposit -f 1 -z {10**20}")
    portal.edit(RESOURCE, limits={"deposit": 600})
    ran = applied("apply", "--auto-approve", "--allow", "limit_cuts")
    assert (ran.code, "more than MAM can keep to the cent" in ran.out) == (4, True), ran.both


@pytest.mark.parametrize("code", [22, 44, 72, 74, 78, 124])
def test_a_refusal_has_the_servers_words(applied: MoabSite, portal: StandIn, code: int) -> None:
    portal.edit(RESOURCE, limits={"deposit": 700})
    applied.fault("mam-deposit", 1, "exit", code=code, text="it is said so")
    ran = applied("apply", "--auto-approve")
    assert ran.code == 1
    assert f"exit code {code}: it is said so" in ran.both and FUND in ran.both
    assert len(moves(applied)) == 1
    assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT) == (700, 700)


# ---------------------------------------------------------------------- guards


def test_much_money_in_one_run_needs_consent(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"deposit": 600})
    portal.resource("new", limits={"deposit": 60})
    for guards in ({"max_deposit": 150}, {"max_deposit_share": 0.3}):
        applied.document["reconcile"]["guards"] = guards
        ran = applied("apply", "--auto-approve")
        assert ran.code == 3 and "deposits of 160" in ran.both and "--allow max_deposit" in ran.both, ran.both
    applied.document["reconcile"]["guards"] = {"max_deposit": 160}
    assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT) == (600, 600)


def test_a_share_of_nothing_needs_consent(site: MoabSite) -> None:
    site.document["reconcile"]["guards"] = {"max_deposit_share": 0.5}
    assert site("apply", "--auto-approve").code == 3
    assert site("apply", "--auto-approve", "--allow", "max_deposit").code == 0


def test_money_that_we_never_told_of_is_not_taken_unordered(applied: MoabSite, portal: StandIn) -> None:
    """A second allocation that the agent looked after until now."""
    for line in ("create-account -a a_old -o p_climate", "create-fund -a a_old", "deposit -f 2 -z 1650"):
        applied.mam(line)
    portal.resource("old", backend_id="a_old", limits={"deposit": 450})
    assert applied("apply", "--auto-approve").code == 4
    assert applied.money("a_old")[0] == 1650


def test_an_unusual_deposit_is_said(applied: MoabSite, portal: StandIn) -> None:
    portal.resource("small", limits={"deposit": 400})
    assert applied("apply", "--auto-approve").code == 0
    portal.edit(RESOURCE, limits={"deposit": 50000})
    said = applied("plan").out
    assert f"{FUND}  a deposit of 49500.00, more than 10 times the usual 450.00" in said, said


def test_a_first_run_takes_no_money_that_the_agent_left(portal: StandIn, tmp_path: Path) -> None:
    """waldur-site-agent deposits each new limit on top, so its funds hold the sum of all limits ever set."""
    site = MoabSite(tmp_path, portal)
    portal.resource(RESOURCE, backend_id=ACCOUNT, limits={"deposit": 450})
    for line in (f"create-account -a {ACCOUNT} -o p_climate", f"create-fund -a {ACCOUNT}", "deposit -f 1 -z 1650"):
        site.mam(line)
    held = site("apply", "--auto-approve")
    assert "the first run against a cluster cuts no limit" in held.out
    assert site.money(ACCOUNT) == (1650, 1650)
    assert site("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    assert site.money(ACCOUNT) == (450, 450)
