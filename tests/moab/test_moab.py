"""A site with MOAB through every command, on the stand-in."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reconciler.config import MoabSettings, Runner
from reconciler.providers.base import Backend, Cluster
from reconciler.providers.moab.backend import Moab
from reconciler.providers.moab.cluster import MoabCluster
from reconciler.providers.runner import CommandRunner
from tests.conftest import ROOT
from tests.emulator import BIN, Emulator
from tests.fakes import program
from tests.moab.conftest import ACCOUNT, FUND, RESOURCE, fine, settled, state_of
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn, uid


def test_it_is_what_a_backend_has_to_be() -> None:
    """For mypy: what is missing is an error here."""
    made: Backend = Moab()
    opened: Cluster = MoabCluster(CommandRunner(Runner()), "moab", MoabSettings(), "UTC")
    assert (made.name, opened.name) == ("moab", "moab")


# ---------------------------------------------------------------------- plan, apply, plan


def test_a_first_apply_and_a_second_plan(site: MoabSite, portal: StandIn) -> None:
    shown = fine(site("plan", "--detailed-exitcode"), 2).out
    assert "deposits 500" in shown, "money is shown before it moves"
    fine(site("apply", "--auto-approve"))
    ledger = site.ledger()
    assert {n: a["organization"] for n, a in ledger["accounts"].items()} == {
        ACCOUNT: "p_climate",
        "p_climate": "p_climate",
    }
    assert ledger["accounts"][ACCOUNT]["description"] == RESOURCE
    assert site.members(ACCOUNT) == {"amy", "bob"}
    assert site.money(ACCOUNT) == (500, 500)
    assert [f["constraints"] for f in ledger["funds"].values()] == [[f"Account={ACCOUNT}"]], "none of the project"
    told = portal.found("resource", RESOURCE)
    assert (told["backend_id"], told["backend_metadata"]) == (ACCOUNT, {"allocated": "500"})
    settled(site)


def test_json_fits_the_schema(site: MoabSite) -> None:
    shown = json.loads(site("plan", "--json").out)
    jsonschema.validate(shown, json.loads((ROOT / "docs" / "plan.schema.json").read_text()))
    fund = next(c for c in shown["resource_changes"] if c["type"] == "moab.fund")
    assert fund["change"]["after"] == {"allocated": "500"}


def test_a_cycle_costs_the_same_whatever_there_is(applied: MoabSite, portal: StandIn) -> None:
    applied.forget()
    settled(applied)
    few = applied.calls()
    for number in range(12):
        portal.resource(f"more{number}", project="fusion", limits={"deposit": 10 + number})
    fine(applied("apply", "--auto-approve"))
    applied.forget()
    settled(applied)
    assert len(applied.calls()) == len(few) == 4
    assert "mam-charge" not in {call[0] for call in applied.calls()}, "which is the scheduler's"
    assert all(call[1:3] == ["--raw", "--show"] and "Description" not in call[3] for call in few)


def test_a_project_and_a_customer_where_they_are_wanted(site: MoabSite) -> None:
    site.settings.update(customer_accounts=True, project_funds=True)
    fine(site("apply", "--auto-approve"))
    ledger = site.ledger()
    assert {n: a["organization"] for n, a in ledger["accounts"].items()} == {
        "c_nordic": "c_nordic", "p_climate": "c_nordic", ACCOUNT: "p_climate",
    }  # fmt: skip
    assert {f["constraints"][0] for f in ledger["funds"].values()} == {"Account=p_climate", f"Account={ACCOUNT}"}
    assert site.money("p_climate") == (0, 0)
    settled(site)


def test_a_fund_that_comes_with_its_account_is_taken(portal: StandIn, tmp_path: Path) -> None:
    """Whether a server makes one is not known before, and every mam-create-fund makes another."""
    site = MoabSite(tmp_path, portal, autogen_fund=True)
    portal.resource(RESOURCE, limits={"deposit": 500})
    fine(site("apply", "--auto-approve"))
    assert [f["constraints"] for f in site.ledger()["funds"].values()].count([f"Account={ACCOUNT}"]) == 1
    assert "mam-create-fund" not in {call[0] for call in site.calls()}
    assert site.money(ACCOUNT) == (500, 500)


def test_drift_heals_and_what_is_nobodys_stays(applied: MoabSite) -> None:
    applied.mam(f"modify-account -a {ACCOUNT} -o elsewhere -I")
    applied.mam(f"modify-account -a {ACCOUNT} --del-user amy")
    applied.mam(f"modify-account -a {ACCOUNT} --deact-user bob")
    applied.mam("create-account -a lab -o lab -u eve")
    applied.mam("create-fund")
    applied.mam("deposit -f 2 -z 1000000")
    applied.mam("deposit -f 1 -z 70")
    said = fine(applied("apply", "--auto-approve", "--allow", "limit_cuts"))
    assert "withdraws 70.00" in said.out
    ledger = applied.ledger()
    assert ledger["accounts"][ACCOUNT] | {"users": None} == {
        "active": True, "organization": "p_climate", "description": RESOURCE, "users": None, "deleted": False,
    }  # fmt: skip
    assert {n: u["active"] for n, u in ledger["accounts"][ACCOUNT]["users"].items()} == {"bob": True, "amy": True}
    assert applied.members("lab") == {"eve"}
    assert books.balance(ledger, "2") == 1_000_000 * books.MICRO, "a pool is nobody's"
    assert applied.money(ACCOUNT) == (500, 500)
    settled(applied)


def test_marks_of_members_are_left_alone(applied: MoabSite) -> None:
    applied.do(lambda books_: books_["accounts"][ACCOUNT]["users"]["amy"].update(admin=True))
    settled(applied)
    assert applied.ledger()["accounts"][ACCOUNT]["users"]["amy"]["admin"]


def test_names_with_capitals(site: MoabSite, portal: StandIn) -> None:
    portal.user("Dora", "climate")
    fine(site("apply", "--auto-approve"))
    assert site.members(ACCOUNT) == {"amy", "bob", "Dora"}
    settled(site)
    portal.leave("Dora", "climate")
    fine(site("apply", "--auto-approve"))
    assert site.members(ACCOUNT) == {"amy", "bob"}


def test_texts_that_would_spoil_mam(site: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, name="Prix 'é' | -o other -I\nnew")
    fine(site("apply", "--auto-approve"))
    account = site.ledger()["accounts"][ACCOUNT]
    assert (account["description"], account["active"]) == ("Prix -o other -I new", True)
    settled(site)


# ---------------------------------------------------------------------- flags


def test_a_pause_closes_the_account_and_moves_no_money(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, paused=True)
    fine(applied("apply", "--auto-approve"))
    assert applied.ledger()["accounts"][ACCOUNT]["active"] is False
    assert applied.money(ACCOUNT) == (500, 500)
    settled(applied)
    portal.edit(RESOURCE, paused=False)
    fine(applied("apply", "--auto-approve"))
    assert applied.ledger()["accounts"][ACCOUNT]["active"] is True


def test_what_it_cannot_do_is_said_once(applied: MoabSite, portal: StandIn) -> None:
    portal.resource("other", limits={"deposit": 5}, downscaled=True)
    portal.edit(RESOURCE, downscaled=True)
    components = applied.document["offerings"][0]["backend_components"]
    components["cpu"] = {"measured_unit": "h", "unit_factor": 60, "accounting_type": "limit"}
    said = fine(applied("plan")).out
    assert said.count("downscaled, which MOAB cannot do") == 1
    assert said.count("knows no component but deposit: cpu") == 1


def test_restricted_access_takes_the_members(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, restrict_member_access=True)
    fine(applied("apply", "--auto-approve"))
    assert applied.members(ACCOUNT) == set()
    assert applied.money(ACCOUNT) == (500, 500)


# ---------------------------------------------------------------------- orders


def test_an_order_is_done_once_the_money_is_there(site: MoabSite, portal: StandIn) -> None:
    portal.resource("new", limits={"deposit": 120.5}, state="Creating")
    order = portal.order("new", "Create", "pending-provider", limits={"deposit": 120.5})
    fine(site("apply", "--auto-approve"))
    assert site.money("a_new") == (120.5, 120.5)
    assert state_of(portal, order) == "done"


def test_an_order_waits_while_its_money_cannot_be_moved(site: MoabSite, portal: StandIn) -> None:
    portal.resource("new", limits={"deposit": 120}, state="Creating")
    order = portal.order("new", "Create", "pending-provider", limits={"deposit": 120})
    site.fault("mam-deposit", 0, "exit", code=74, text="The fund is closed")
    ran = site("apply", "--auto-approve")
    assert ran.code != 0, ran.both
    assert "The fund is closed" in ran.both
    assert state_of(portal, order) == "executing"
    assert site.money("a_new") == (0, 0)
    site.well()
    fine(site("apply", "--auto-approve"))
    assert state_of(portal, order) == "done"
    assert site.money("a_new") == (120, 120)


def test_an_order_whose_amount_is_none_ends_as_erred(site: MoabSite, portal: StandIn) -> None:
    portal.resource("new", limits={"deposit": -4}, state="Creating")
    order = portal.order("new", "Create", "pending-provider", limits={"deposit": -4})
    site("apply", "--auto-approve")
    assert state_of(portal, order) == "erred"


def test_an_order_that_lowers_and_one_that_raises(applied: MoabSite, portal: StandIn) -> None:
    for amount in (200, 450.25):
        ordered = {"limits": {"deposit": amount}, "uuid": uid("order", str(amount))}
        order = portal.order(RESOURCE, "Update", "pending-provider", **ordered)
        fine(applied("apply", "--auto-approve"))
        assert applied.money(ACCOUNT) == (amount, amount)
        assert state_of(portal, order) == "done"


# ---------------------------------------------------------------------- saved plans, script, diagnose, import, rollback


def test_a_saved_plan_that_is_stale_moves_no_money(applied: MoabSite, portal: StandIn, tmp_path: Path) -> None:
    file = str(tmp_path / "plan")
    portal.edit(RESOURCE, limits={"deposit": 700})
    fine(applied("plan", "--out", file))
    applied.mam("deposit -f 1 -z 50")
    late = fine(applied("apply", file), 1)
    assert f"{FUND}: it has other values by now" in late.err
    assert applied.money(ACCOUNT) == (550, 550)


def test_a_script_does_what_an_apply_does(site: MoabSite, tmp_path: Path) -> None:
    site.mam("create-fund")  # a pool, which a deposit by account would not be told from
    text = fine(site("plan", "--script")).out
    script = tmp_path / "plan.sh"
    script.write_text(text)
    done = subprocess.run(["/bin/sh", script], env=site.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert site.money(ACCOUNT) == (500, 500)
    left = json.loads(site("plan", "--json").out)["resource_changes"]
    assert {c["type"] for c in left} == {"waldur.resource"}


WAYS = {
    "docker": ({"container": "head"}, 'shift 3; exec "$@"'),
    "ssh": ({"ssh_host": "head"}, 'shift 4; exec sh -c "$1"'),
    "sudo": ({"sudo": True}, 'shift; exec "$@"'),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_the_commands(site: MoabSite, tmp_path: Path, way: str) -> None:
    """An apply, and what is printed to be pasted, which has a word in it that is only known then."""
    site.document["reconcile"]["runner"], steps = WAYS[way]
    program(site.directory / "bin", way, f"echo {way} >> {tmp_path / 'ways'}", steps)
    script = tmp_path / "plan.sh"
    script.write_text(fine(site("plan", "--script")).out)
    done = subprocess.run(["/bin/sh", script], env=site.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done, script.read_text())
    assert site.money(ACCOUNT) == (500, 500)
    site.mam("deposit -f 1 -z 20")
    assert site("apply", "--auto-approve", "--allow", "limit_cuts").code == 0
    assert site.money(ACCOUNT) == (500, 500)
    assert set((tmp_path / "ways").read_text().split()) == {way}


def test_a_script_stops_where_a_fund_is_not_found(site: MoabSite, tmp_path: Path) -> None:
    script = tmp_path / "plan.sh"
    script.write_text(fine(site("plan", "--script")).out)
    site.fault("mam-list-funds", 0, "exit", code=22, text="Failed sending message")
    done = subprocess.run(["/bin/sh", script], env=site.environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "mam-deposit" not in {call[0] for call in site.calls()}


def test_diagnose_heals_when_pasted(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"deposit": 650.5})
    applied.mam(f"modify-account -a {ACCOUNT} --del-user amy")
    shown = fine(applied("diagnose", ACCOUNT), 2).out
    for text in (f"[MISMATCH] {FUND} allocated: 650.5 != 500.00", "Waldur: 650.5 EUR -> MOAB: 650.5 EUR"):
        assert text in shown, shown
    told = json.loads(fine(applied("diagnose", ACCOUNT, "--json"), 2).out)
    for command in told["fix_commands"]:
        subprocess.run(command.split(), env=applied.environment, check=True, capture_output=True)
    assert "OVERALL: OK" in fine(applied("diagnose", ACCOUNT)).out


def test_accounts_that_waldur_does_not_know_are_imported(applied: MoabSite) -> None:
    applied.mam("create-account -a a_old -o p_climate -u amy")
    applied.mam("create-fund -a a_old")
    applied.mam("deposit -f 2 -z 90.5")
    (found,) = json.loads(fine(applied("import", "--json")).out)["accounts"]
    assert (found["account"], found["project_name"], found["limits"]) == ("a_old", "Climate", {"deposit": "90.5"})


def test_money_is_rolled_back_with_its_own_consent_alone(applied: MoabSite, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"deposit": 900})
    portal.leave("bob", "climate")
    fine(applied("apply", "--auto-approve"))
    run = fine(applied("history")).out.splitlines()[1].split()[0]
    said = fine(applied("rollback", run, "--auto-approve"), 4).out
    assert "is not taken back, as that moves money (reconcile.guards.rollback_money, or --allow rollback_money)" in said
    assert applied.members(ACCOUNT) == {"amy", "bob"}
    assert applied.money(ACCOUNT) == (900, 900)
    again = fine(applied("rollback", run, "--auto-approve", "--allow", "rollback_money"), 4).out
    assert "was removed by that run and made again since: left alone" in again
    assert applied.money(ACCOUNT) == (500, 500)


def test_frozen(site: MoabSite) -> None:
    fine(site("freeze", "--reason", "the books are audited"))
    fine(site("apply", "--auto-approve"), 3)
    assert not site.ledger()["accounts"]


def test_the_cluster_may_own_the_limits(applied: MoabSite, portal: StandIn) -> None:
    applied.document["reconcile"]["limits_owner"] = "cluster"
    applied.mam("deposit -f 1 -z 40.25")
    fine(applied("apply", "--auto-approve"))
    assert applied.money(ACCOUNT)[0] == 540.25
    assert portal.found("resource", RESOURCE)["limits"] == {"deposit": 540.25}
    settled(applied)


def test_a_name_in_capitals_is_not_made_twice(applied: MoabSite, portal: StandIn) -> None:
    applied.mam("create-account -a A_Big -o p_climate")
    applied.mam("create-fund -a A_Big")
    applied.mam("deposit -f 2 -z 450")
    portal.resource("big", backend_id="A_Big", limits={"deposit": 450})
    said = applied("apply", "--auto-approve")
    assert "MAM has 'A_Big', which differs from 'a_big' in capitals alone" in said.both
    assert "a_big" not in applied.ledger()["accounts"]


def test_a_job_without_an_account_is_its_users_everywhere(applied: MoabSite, portal: StandIn) -> None:
    applied.document["reconcile"]["on_terminate"] = "wait"
    applied.queue(("9", "", "bob"))
    portal.order(RESOURCE, "Terminate", "pending-provider")
    fine(applied("apply", "--auto-approve"))
    assert applied.money(ACCOUNT) == (500, 500)
    assert "bob" in applied.members(ACCOUNT)


def test_settings_of_one_accounting_manager_agree(applied: MoabSite) -> None:
    other = json.loads(json.dumps(applied.document["offerings"][0]))
    other |= {"name": "Other", "waldur_offering_uuid": "1" * 32}
    other["backend_settings"]["moab"] = {"sentinel": "operations"}
    applied.document["offerings"].append(other)
    said = applied("plan")
    assert (said.code, "differ in backend_settings.moab.sentinel" in said.err) == (1, True), said.both
    applied.document["offerings"].pop()
    applied.settings["period"] = "month"
    applied.document["reconcile"]["limits_owner"] = "cluster"
    assert "cannot go with backend_settings.moab.period" in " ".join(applied("plan").err.split())


# ---------------------------------------------------------------------- other servers


@pytest.mark.parametrize(
    ("switches", "settings"),
    [
        ({"remark": True}, {}),
        ({"autogen_fund": True}, {}),
        ({"autogen_user": False}, {}),
        ({"autogen_user": True}, {"create_users": False}),
        ({"strict_organization": True}, {"create_organizations": True}),
        ({"exact_filters": True}, {}),
        ({"precision": 0}, {}),
        ({"precision": 3}, {}),
        ({"discrete": True}, {}),
        ({"t_times": "reject"}, {}),
        ({"missing": "error"}, {}),
        ({"undelete": False}, {}),
        ({"constraints_dropped": False}, {}),
        ({"inactive_mark": False}, {}),
        ({"merges_windows": False}, {}),
        ({"takes_earliest": False}, {}),
        ({"open_hidden": False}, {}),
    ],
    ids=str,
)
def test_servers_differ(portal: StandIn, tmp_path: Path, switches: dict[str, Any], settings: dict[str, Any]) -> None:
    site = MoabSite(tmp_path, portal, **switches)
    site.settings.update(settings)
    portal.resource(RESOURCE, limits={"deposit": 500})
    portal.user("amy", "climate")
    fine(site("apply", "--auto-approve"))
    assert (site.money(ACCOUNT), site.members(ACCOUNT)) == ((500, 500), {"amy"})
    settled(site)
    portal.edit(RESOURCE, limits={"deposit": 200})
    portal.leave("amy", "climate")
    fine(site("apply", "--auto-approve"))
    assert (site.money(ACCOUNT), site.members(ACCOUNT)) == ((200, 200), set())
    settled(site)
    portal.edit(RESOURCE, limits={"deposit": 350})
    fine(site("apply", "--auto-approve"))
    assert site.money(ACCOUNT) == (350, 350)
    portal.order(RESOURCE, "Terminate", "pending-provider")
    site.do(lambda ledger: books.charge(ledger, "lab", "eve", "1", "2026-01-10 10:00:00"))
    fine(site("apply", "--auto-approve"))
    ledger = site.ledger()
    assert not ledger["funds"] and all(a["deleted"] for a in ledger["accounts"].values())


@pytest.mark.parametrize(("precision", "amount"), [(0, 100.0), (2, 100.55), (3, 100.555)])
def test_amounts_are_exact_to_what_the_site_prints(
    portal: StandIn, tmp_path: Path, precision: int, amount: float
) -> None:
    site = MoabSite(tmp_path, portal, precision=precision)
    portal.resource(RESOURCE, limits={"deposit": 100.555})
    fine(site("apply", "--auto-approve"))
    assert site.money(ACCOUNT) == (amount, amount)
    fine(site("apply", "--auto-approve"))  # a MAM without any fund does not show how many decimals it has
    settled(site)
    portal.resource("more", limits={"deposit": 7.7777})
    fine(site("apply", "--auto-approve"))
    settled(site)


@pytest.mark.parametrize("odd", ["0.75", "0.01"])
def test_cents_are_drift(applied: MoabSite, portal: StandIn, odd: str) -> None:
    applied.mam(f"deposit -f 1 -z {odd}")
    assert f"withdraws {odd}" in fine(applied("plan")).out
    order = portal.order(RESOURCE, "Update", "pending-provider", limits={"deposit": 500})
    fine(applied("apply", "--auto-approve"))
    assert applied.money(ACCOUNT) == (500, 500)
    assert state_of(portal, order) == "done"
    settled(applied)


def test_home_directories(applied: MoabSite, portal: StandIn, tmp_path: Path) -> None:
    """Made where the commands run; people whom the host does not know have none, and that is said."""
    mine = os.geteuid()
    somebody = next(u.pw_name for u in pwd.getpwall() if (u.pw_uid == mine if mine else 0 < u.pw_uid < 100))
    portal.user(somebody, "climate")
    settings = applied.document["offerings"][0]["backend_settings"]
    settings |= {"enable_user_homedir_account_creation": True, "homedir_base_path": str(tmp_path)}
    said = fine(applied("apply", "--auto-approve")).out
    assert (tmp_path / somebody).owner() == somebody
    assert "so without homes: amy, bob" in said
    settled(applied)


def test_one_file_for_slurm_and_moab(site: MoabSite, tmp_path: Path) -> None:
    """As waldur-site-agent's own example has it: neither names its cluster."""
    emulator = Emulator(tmp_path)
    site.environment |= emulator.environment
    example = ROOT / "examples" / "quickstart"
    (tmp_path / "desired.yaml").write_text((example / "desired.yaml").read_text())
    (slurm,) = yaml.safe_load((example / "config.yaml").read_text())["offerings"]
    site.document["offerings"].insert(0, slurm)
    site.document["reconcile"] |= {"runner": {"emulator": True, "slurm_bin_path": str(BIN)}}
    site.document["reconcile"]["qos"] = {"slowdown": {}, "paused": {}}
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert "Cluster moab, offerings: Money" in done.out and f"offerings: {slurm['name']}" in done.out
    moab = done.out[done.out.index("Cluster moab") :]
    assert "QoS" not in moab
    assert site.money(ACCOUNT) == (500, 500)
    assert "a_climate-model" in emulator.sacctmgr("show", "account", "format=account", "-nP")
    again = site("plan", "--detailed-exitcode")
    assert (again.code, again.out.count("No changes.")) == (0, 2), again.both


def test_doctor(applied: MoabSite) -> None:
    said = applied("doctor").out
    assert "2 accounts, 1 with a fund of their own" in said
    assert "sentinel is not set" in said
