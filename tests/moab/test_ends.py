"""What ends: members, then money, then the account; and jobs that are waited for."""

from __future__ import annotations

import pytest

from tests.moab.conftest import ACCOUNT, FUND, RESOURCE, fine, state_of
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn
from tests.usage import THIS


def test_a_termination_takes_the_fund_before_the_account(applied: MoabSite, portal: StandIn) -> None:
    applied.do(lambda ledger: books.charge(ledger, ACCOUNT, "amy", "120", "2026-10-03 10:00:00"))
    applied.mam(f"create-fund -a {ACCOUNT} -u amy")
    order = portal.order(RESOURCE, "Terminate", "pending-provider")
    said = fine(applied("apply", "--auto-approve")).out
    assert "380.00 of 500.00 are left in it and go along" in said
    assert "funds that name it besides stay" in said
    ledger = applied.ledger()
    assert ledger["accounts"][ACCOUNT]["deleted"]
    assert list(ledger["funds"]) == ["2"], "somebody else's stays"
    assert state_of(portal, order) == "done"
    names = [c[0] for c in applied.calls() if "delete" in c[0]]
    assert names == ["mam-delete-fund", "mam-delete-account", "mam-delete-account"]


def test_a_soft_end_takes_the_money_that_is_left(applied: MoabSite, portal: StandIn) -> None:
    applied.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    applied.do(lambda ledger: books.charge(ledger, ACCOUNT, "amy", "120", "2026-11-03 10:00:00"))
    order = portal.order(RESOURCE, "Terminate", "pending-provider")
    applied.fault("mam-withdraw", 1, "exit", code=74, text="not now")
    first = applied("apply", "--auto-approve")
    assert first.code != 0, first.both
    assert applied.ledger()["accounts"][ACCOUNT]["active"] is True, "an account with money is looked at again"
    applied.well()
    said = fine(applied("apply", "--auto-approve")).out
    assert "120.00 of 500.00 are spent or held by jobs" in said
    assert applied.money(ACCOUNT) == (120, 0)
    ledger = applied.ledger()
    assert (ledger["accounts"][ACCOUNT]["active"], ledger["accounts"][ACCOUNT]["deleted"]) == (False, False)
    assert applied.members(ACCOUNT) == set()
    assert state_of(portal, order) == "done"


def test_the_money_stays_where_the_account_stays(applied: MoabSite, portal: StandIn) -> None:
    """It was used in this month, and nobody ordered its end."""
    applied.do(lambda ledger: books.charge(ledger, ACCOUNT, "amy", "120", f"{THIS}-01 10:00:00"))
    portal.edit(RESOURCE, state="Terminated")
    applied.document["reconcile"]["guards"] = {
        "min_resources_share": 0,
        "min_read_share": 0,
        "allow_empty_portal": True,
    }
    held = applied("apply", "--auto-approve")
    assert held.code == 4, held.both
    assert f"{FUND} is blocked" in held.out
    assert applied.money(ACCOUNT) == (500, 380)
    applied.queue(("9", ACCOUNT, "amy"))
    applied.document["reconcile"]["on_terminate"] = "wait"
    portal.order(RESOURCE, "Terminate", "pending-provider")
    portal.edit(RESOURCE, state="Terminating")
    assert applied("apply", "--auto-approve").code == 0
    assert applied.money(ACCOUNT) == (500, 380), "its jobs are waited for"


def test_the_money_stays_with_a_member_who_is_kept(applied: MoabSite, portal: StandIn) -> None:
    applied.document["reconcile"]["guards"] = {"protected": ["bob"]}
    portal.order(RESOURCE, "Terminate", "pending-provider")
    held = applied("apply", "--auto-approve")
    assert held.code == 4, held.both
    assert f"blocked: its account {ACCOUNT} stays" in held.out, held.out
    assert applied.money(ACCOUNT) == (500, 500)


def test_the_money_stays_while_a_member_cannot_leave(applied: MoabSite, portal: StandIn) -> None:
    applied.do(lambda ledger: books.charge(ledger, "lab", "eve", "1", "2026-01-10 10:00:00"))
    order = portal.order(RESOURCE, "Terminate", "pending-provider")
    applied.fault("mam-modify-account", 0, "exit", code=74, text="not now")
    failed = applied("apply", "--auto-approve")
    assert failed.code == 1, failed.both
    assert f'{FUND}: failed after 0.0s: not tried: moab.member["{ACCOUNT}","amy"] is still there' in failed.both
    assert applied.money(ACCOUNT) == (500, 500)
    applied.well()
    again = applied("apply", "--auto-approve")
    assert again.code == 0, again.both
    assert state_of(portal, order) == "done"
    assert not applied.ledger()["funds"]


# ---------------------------------------------------------------------- jobs


def test_who_has_jobs_loses_them_or_is_drained(applied: MoabSite, portal: StandIn) -> None:
    applied.queue(("77", ACCOUNT, "bob"))
    portal.leave("bob", "climate")
    applied.document["reconcile"]["on_member_removal"] = "drain"
    fine(applied("apply", "--auto-approve"))
    assert applied.ledger()["accounts"][ACCOUNT]["users"]["bob"]["active"] is False
    applied.document["reconcile"]["on_member_removal"] = "cancel_jobs"
    assert "mjobctl -c 77" in fine(applied("plan", "--script")).out
    fine(applied("apply", "--auto-approve"))
    assert applied.members(ACCOUNT) == {"amy"}
    assert not (applied.books / "queue").exists(), "its job was ended"


@pytest.mark.parametrize("word", ["none", "auto", "qstat"])
def test_without_a_queue_nothing_is_removed_unless_nobody_is_to_look(
    applied: MoabSite, portal: StandIn, word: str
) -> None:
    (applied.directory / "bin" / "showq").unlink()
    applied.settings["queue"] = word
    portal.leave("bob", "climate")
    ran = applied("apply", "--auto-approve")
    if word == "none":
        assert (ran.code, applied.members(ACCOUNT)) == (0, {"amy"})
    else:
        assert ran.code == 4, ran.both
        assert applied.members(ACCOUNT) == {"amy", "bob"}
        assert ("neither showq nor qstat" if word == "auto" else "qstat: cannot be started") in ran.both


def test_a_project_goes_with_the_empty_fund_that_the_agent_made(applied: MoabSite, portal: StandIn) -> None:
    applied.do(lambda ledger: books.charge(ledger, "lab", "eve", "1", "2026-01-10 10:00:00"))
    applied.mam("create-fund -a p_climate")
    portal.order(RESOURCE, "Terminate", "pending-provider")
    fine(applied("apply", "--auto-approve"))
    ledger = applied.ledger()
    assert not ledger["funds"] and all(a["deleted"] for a in ledger["accounts"].values())


def test_a_project_with_money_of_its_own_stays(applied: MoabSite, portal: StandIn) -> None:
    applied.do(lambda ledger: books.charge(ledger, "lab", "eve", "1", "2026-01-10 10:00:00"))
    applied.mam("create-fund -a p_climate")
    applied.mam("deposit -f 2 -z 12")
    portal.order(RESOURCE, "Terminate", "pending-provider")
    said = fine(applied("apply", "--auto-approve"), 4).out
    assert "fund 2 was not made for a resource and holds 12.00" in said
    assert applied.money("p_climate") == (12, 12)
