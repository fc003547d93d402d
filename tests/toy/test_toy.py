"""The acceptance of the design: a kind of cluster of another package goes through every command as SLURM does.

Nothing of ``reconciler/`` knows the toy; the program runs as its own process, with the toy's package beside it.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.config import Runner
from reconciler.providers.base import Backend, Cluster
from reconciler.providers.runner import CommandRunner
from tests.conftest import ROOT, Ran
from tests.standin.portal import StandIn
from tests.toy.site import Toybox

RESOURCE = "climate-a"
ACCOUNT = "a_climate-a"


@pytest.fixture
def site(portal: StandIn, tmp_path: Path) -> Toybox:
    """A resource with two members, of which the box knows nothing yet."""
    toybox = Toybox(tmp_path, portal)
    portal.resource(RESOURCE)
    portal.user("ann", "climate")
    portal.user("bob", "climate")
    return toybox


@pytest.fixture
def applied(site: Toybox) -> Toybox:
    """The same after a first run."""
    fine(site.process("apply", "--auto-approve"))
    return site


def fine(ran: Ran, code: int = 0) -> Ran:
    """A run that ended as it should, with no word of a cluster that this is none of."""
    assert ran.code == code, ran.both
    assert "slurm" not in ran.both.lower(), ran.both
    assert "sacct" not in ran.both, ran.both
    return ran


def settled(site: Toybox) -> None:
    """Nothing is left to do."""
    assert "No changes." in fine(site.process("plan", "--detailed-exitcode")).out


def document(ran: Ran) -> dict[str, Any]:
    """What a run printed as JSON."""
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_the_template_is_what_a_backend_has_to_be() -> None:
    """For mypy: what is missing is an error here."""
    from tests.toy import backend

    made: Backend = backend.Toy()
    opened: Cluster = backend.ToyCluster(CommandRunner(Runner()), "")
    assert (made.name, opened.name) == ("toy", "")


def test_nothing_of_the_core_knows_the_toy() -> None:
    named = [p for p in (ROOT / "reconciler").rglob("*.py") if re.search(r"\btoy", p.read_text(), re.IGNORECASE)]
    assert not named


# ---------------------------------------------------------------------- plan, apply, plan


def test_a_plan_and_an_apply(site: Toybox, portal: StandIn) -> None:
    shown = fine(site.process("plan", "--detailed-exitcode"), 2).out
    assert "Plan: 5 to add, 1 to change, 0 to destroy." in shown
    assert '+ amounts = {"cpu": 6000}' in shown
    done = fine(site.process("apply", "--auto-approve"))
    assert f'toy.member["{ACCOUNT}","ann"]: Creation complete' in done.out
    assert site.here()["accounts"] == {
        "c_nordic": {"above": "", "title": "Nordic", "amounts": {}},
        "p_climate": {"above": "c_nordic", "title": "Climate", "amounts": {}},
        ACCOUNT: {"above": "p_climate", "title": RESOURCE, "amounts": {"cpu": 6000}},
    }
    assert site.members(ACCOUNT) == {"ann", "bob"}
    told = portal.found("resource", RESOURCE)
    assert told["backend_id"] == ACCOUNT
    assert told["backend_metadata"] == {"amounts": {"cpu": 6000}}, "and nothing of what other clusters would tell"
    settled(site)


def test_a_plan_as_json(site: Toybox) -> None:
    ran = site.process("plan", "--json")
    assert ran.code == 0, ran.both
    shown = document(ran)
    jsonschema.validate(shown, json.loads((ROOT / "docs" / "plan.schema.json").read_text()))
    kinds = {c["type"] for c in shown["resource_changes"]}
    assert kinds == {"toy.account", "toy.member", "waldur.resource"}
    account = next(c for c in shown["resource_changes"] if c["name"] == ACCOUNT)
    assert account["change"]["after"] == {"title": RESOURCE, "above": "p_climate", "amounts": {"cpu": 6000}}


def test_targets_are_addresses_of_its_kinds(site: Toybox) -> None:
    missing = site.process("plan", "--target", "toy.account[nosuch]")
    assert missing.code == 1
    assert "Addresses look like toy.account[" in missing.err
    fine(site.process("apply", "--auto-approve", "--target", "toy.account[a_*]"))
    assert site.here()["accounts"].keys() == {"c_nordic", "p_climate", ACCOUNT}
    assert not site.members(ACCOUNT)


def test_drift_heals(applied: Toybox) -> None:
    applied.toyctl("set-account", ACCOUNT, "--above", "", "--title", "mine", "--amounts", "cpu=1,disk=7")
    applied.toyctl("drop-member", ACCOUNT, "ann")
    applied.toyctl("add-account", "lab")
    applied.toyctl("add-member", "lab", "eve")
    fine(applied.process("apply", "--auto-approve"))
    assert applied.here()["accounts"][ACCOUNT] == {"above": "p_climate", "title": RESOURCE, "amounts": {"cpu": 6000}}
    assert applied.members(ACCOUNT) == {"ann", "bob"}
    assert applied.members("lab") == {"eve"}, "what is nobody's stays"
    settled(applied)


# ---------------------------------------------------------------------- saved plans and scripts


def test_a_saved_plan(site: Toybox, tmp_path: Path) -> None:
    file = str(tmp_path / "saved.plan")
    assert "Saved the plan to" in fine(site.process("plan", "--out", file)).out
    fine(site.process("apply", file))
    assert site.members(ACCOUNT) == {"ann", "bob"}
    settled(site)


def test_a_saved_plan_that_is_stale(applied: Toybox, portal: StandIn, tmp_path: Path) -> None:
    file = str(tmp_path / "saved.plan")
    portal.edit(RESOURCE, limits={"cpu": 200})
    fine(applied.process("plan", "--out", file))
    applied.toyctl("set-account", ACCOUNT, "--amounts", "cpu=5")
    late = fine(applied.process("apply", file), 1)
    assert "Saved plan is stale." in late.err
    assert f'toy.account["{ACCOUNT}"]: it has other values by now' in late.err
    assert applied.here()["accounts"][ACCOUNT]["amounts"] == {"cpu": 5}


def test_a_script_does_what_an_apply_does(site: Toybox, tmp_path: Path) -> None:
    text = fine(site.process("plan", "--script")).out
    assert f"toyctl add-account {ACCOUNT} --above=p_climate --title={RESOURCE} --amounts=cpu=6000" in text
    script = tmp_path / "plan.sh"
    script.write_text(text)
    ran = subprocess.run(["/bin/sh", script], env=site.environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    by_script = site.here()
    site.box.unlink()
    fine(site.process("apply", "--auto-approve"))
    assert site.here() == by_script


# ---------------------------------------------------------------------- diagnose, import, history, rollback, freeze


def test_diagnose(site: Toybox, portal: StandIn) -> None:
    missing = fine(site.process("diagnose", ACCOUNT), 2).out
    assert f"Toy Account Diagnostic: {ACCOUNT}" in missing
    assert "OVERALL: MISSING" in missing
    assert f"toyctl add-member {ACCOUNT} ann" in missing
    fine(site.process("apply", "--auto-approve"))
    assert "OVERALL: OK" in fine(site.process("diagnose", ACCOUNT)).out
    site.toyctl("set-account", ACCOUNT, "--amounts", "cpu=5")
    shown = fine(site.process("diagnose", ACCOUNT, "--verbose"), 2).out
    for text in (
        "[MISMATCH] amounts[cpu]: 6000 != 5",
        "100 h (limits.cpu) x 60 = 6000",
        "cpu -> cpu:         Waldur: 100 h -> Toy: 6000 toys (factor: 60)",
        f"toyctl set-account {ACCOUNT} --amounts=cpu=6000",
    ):
        assert text in shown, shown
    told = document(fine(site.process("diagnose", ACCOUNT, "--json"), 2))
    assert told["toy_info"]["users"] == ["ann", "bob"]
    assert told["fix_commands"] == [f"toyctl set-account {ACCOUNT} --amounts=cpu=6000"]
    assert [(c["toy_value"], c["toy_unit"]) for c in told["unit_conversions"]] == [(6000, "toys")]


def test_accounts_that_waldur_does_not_know_are_imported(applied: Toybox, portal: StandIn) -> None:
    applied.toyctl("add-account", "a_old", "--above", "p_climate", "--title", "Old work", "--amounts", "cpu=90")
    applied.toyctl("add-member", "a_old", "ann")
    (found,) = document(fine(applied.process("import", "--json")))["accounts"]
    assert (found["account"], found["project_name"], found["limits"]) == ("a_old", "Climate", {"cpu": "1.5"})
    assert (found["amounts"], found["members"]) == ({"cpu": 90}, ["ann"])
    done = fine(applied.process("import", "--write", "--auto-approve")).out
    assert 'name    = "Old work"' in done
    again = document(fine(applied.process("import", "--json")))["accounts"]
    assert [one["offered"] for one in again] == [True]


def test_history_and_rollback(applied: Toybox, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"cpu": 200})
    portal.leave("bob", "climate")
    fine(applied.process("apply", "--auto-approve"))
    assert applied.here()["accounts"][ACCOUNT]["amounts"] == {"cpu": 12000}
    run = fine(applied.process("history")).out.splitlines()[1].split()[0]
    shown = fine(applied.process("history", "--run", run)).out
    assert f'toy.member["{ACCOUNT}","bob"]' in shown
    undone = fine(applied.process("rollback", run, "--auto-approve")).out
    assert f'toy.member["{ACCOUNT}","bob"]: Creation complete' in undone
    assert applied.here()["accounts"][ACCOUNT]["amounts"] == {"cpu": 6000}
    assert applied.members(ACCOUNT) == {"ann", "bob"}
    fine(applied.process("apply", "--auto-approve"))
    assert applied.members(ACCOUNT) == {"ann"}, "Waldur still wants what the run did"


def test_a_rollback_takes_accounts_away_again(applied: Toybox) -> None:
    first = fine(applied.process("history")).out.splitlines()[1].split()[0]
    fine(applied.process("rollback", first, "--auto-approve"))
    assert applied.here() == {"name": "toybox", "accounts": {}, "members": []}


def test_frozen(site: Toybox) -> None:
    fine(site.process("freeze", "--reason", "toys are counted"))
    frozen = fine(site.process("apply", "--auto-approve"), 3)
    assert "toys are counted" in frozen.both
    assert not site.here()["accounts"]
    fine(site.process("unfreeze"))
    fine(site.process("apply", "--auto-approve"))
    settled(site)


def test_doctor(site: Toybox) -> None:
    shown = site.process("doctor").out
    assert "ok   cluster toybox: cluster: toybox answers" in shown, shown
    site.box.write_text("{")
    assert "the box cannot be opened" in site.process("doctor").both


# ---------------------------------------------------------------------- orders


def test_an_order_from_pending_to_done(site: Toybox, portal: StandIn) -> None:
    portal.resource("fresh", state="Creating", project="climate")
    portal.order("fresh", "Create", "pending-provider", limits={"cpu": 100})
    fine(site.process("apply", "--auto-approve"))
    assert portal.found("order", "fresh", "Create")["state"] == "done"
    assert portal.found("resource", "fresh")["state"] == "OK"
    assert portal.found("resource", "fresh")["backend_id"] == "a_fresh"
    assert site.members("a_fresh") == {"ann", "bob"}
    portal.order("fresh", "Update", "pending-provider", limits={"cpu": 3})
    fine(site.process("apply", "--auto-approve"))
    assert site.here()["accounts"]["a_fresh"]["amounts"] == {"cpu": 180}
    settled(site)


def test_an_order_for_what_is_no_amount(site: Toybox, portal: StandIn) -> None:
    portal.resource("odd", state="Creating", limits={"cpu": "lots"}, project="climate")
    portal.order("odd", "Create", "pending-provider", limits={"cpu": "lots"})
    refused = site.process("apply", "--auto-approve")
    assert refused.code == 4, refused.both
    assert "limit of 'cpu': not a number" in refused.out
    assert portal.found("order", "odd", "Create")["state"] == "erred"
    assert site.members(ACCOUNT) == {"ann", "bob"}, "the others go on"


def test_a_terminate_order_ends_the_account(applied: Toybox, portal: StandIn) -> None:
    portal.order(RESOURCE, "Terminate", "pending-provider")
    done = fine(applied.process("apply", "--auto-approve")).out
    assert f'toy.account["{ACCOUNT}"]: Destruction complete' in done
    assert portal.found("order", RESOURCE, "Terminate")["state"] == "done"
    assert applied.here() == {"name": "toybox", "accounts": {}, "members": []}, "its project and customer go along"


# ---------------------------------------------------------------------- who and what leaves


def test_a_member_who_leaves(applied: Toybox, portal: StandIn) -> None:
    """Nobody is asked for jobs where none can be seen, so that nobody waits for their end."""
    applied.document["reconcile"]["on_member_removal"] = "drain"
    portal.leave("bob", "climate")
    done = fine(applied.process("apply", "--auto-approve")).out
    assert f'toy.member["{ACCOUNT}","bob"]: Destruction complete' in done
    assert "no member of project" in done
    assert "job" not in done
    assert applied.members(ACCOUNT) == {"ann"}
    settled(applied)


def test_a_terminate_order_waits_for_no_jobs_where_none_can_be_seen(applied: Toybox, portal: StandIn) -> None:
    applied.document["reconcile"]["on_terminate"] = "refuse"
    portal.order(RESOURCE, "Terminate", "pending-provider")
    fine(applied.process("apply", "--auto-approve"))
    assert portal.found("order", RESOURCE, "Terminate")["state"] == "done"


def test_too_many_that_end_at_once_are_refused(applied: Toybox, portal: StandIn) -> None:
    """The guard counts objects of a kind, whatever kind that is."""
    for number in range(4):
        portal.resource(f"r{number}")
    fine(applied.process("apply", "--auto-approve"))
    applied.document["reconcile"]["guards"] = {"max_deletions": 3, "max_deletions_share": 0, "min_resources_share": 0}
    for number in range(4):
        portal.edit(f"r{number}", state="Terminated", backend_id=f"a_r{number}")
    refused = fine(applied.process("apply", "--auto-approve"), 3)
    assert "4 deletions of toy.account, of" in refused.err
    assert "--allow max_deletions:toy.account" in refused.err
    assert len(applied.members("a_r0")) == 2
    fine(applied.process("apply", "--auto-approve", "--allow", "max_deletions:toy.account"))
    assert applied.here()["accounts"].keys() == {"c_nordic", "p_climate", ACCOUNT}


def test_a_limit_falls_when_an_order_says_so_or_waldur_was_told_of_it(applied: Toybox, portal: StandIn) -> None:
    portal.edit(RESOURCE, limits={"cpu": 1}, ordered=False)
    held = fine(applied.process("apply", "--auto-approve"), 4)
    assert "limits would fall (cpu from 6000 to 60 toys)" in held.out
    portal.edit(RESOURCE, limits={"cpu": 100}, ordered=False)
    applied.toyctl("set-account", ACCOUNT, "--amounts", "cpu=999999")
    fine(applied.process("apply", "--auto-approve"))
    assert applied.here()["accounts"][ACCOUNT]["amounts"] == {"cpu": 6000}, "as it was told before another hand rose it"


def test_soft_delete_leaves_an_account_with_nothing(applied: Toybox, portal: StandIn) -> None:
    applied.document["offerings"][0]["backend_settings"]["soft_delete"] = True
    portal.order(RESOURCE, "Terminate", "pending-provider")
    fine(applied.process("apply", "--auto-approve"))
    assert applied.here()["accounts"][ACCOUNT]["amounts"] == {}
    assert not applied.members(ACCOUNT)
    settled(applied)


# ---------------------------------------------------------------------- what goes wrong


def test_a_box_that_cannot_be_read_is_no_empty_one(applied: Toybox) -> None:
    before = applied.box.read_text()
    for broken in ("", "{", '{"name": "toybox"}', '{"name": "other", "accounts": {"x": {}}, "members": []}'):
        applied.box.write_text(broken)
        done = applied.process("apply", "--auto-approve")
        assert done.code == 1, done.both
        assert "toyctl" in done.err
    applied.box.write_text(before)
    settled(applied)


def test_another_box_is_another_cluster(applied: Toybox) -> None:
    applied.document["offerings"][0]["backend_settings"]["cluster_name"] = "elsewhere"
    done = applied.process("plan")
    assert done.code == 1
    assert "this is 'toybox' and not 'elsewhere'" in done.err


def test_who_is_refused_spoils_nobody_else(site: Toybox, portal: StandIn) -> None:
    portal.user("-rf", "climate", who="mallory")
    refused = fine(site.process("apply", "--auto-approve"), 4)
    assert "would be read as an option" in refused.out
    assert site.members(ACCOUNT) == {"ann", "bob"}


def test_two_kinds_of_clusters_in_one_configuration(site: Toybox) -> None:
    """Each has a name of its own, since a name is what is locked, remembered and frozen."""
    (one,) = site.document["offerings"]
    other = {**one, "name": "B", "waldur_offering_uuid": "b" * 32}
    other |= {"order_processing_backend": "slurm", "membership_sync_backend": "slurm", "backend_type": "slurm"}
    site.document["offerings"] = [one, other]
    for each in site.document["offerings"]:
        each["backend_settings"] = {**each["backend_settings"], "cluster_name": "toybox"}
    ran = site.process("plan")
    assert ran.code == 1
    assert "the offerings on cluster 'toybox' are of several kinds: slurm, toy" in ran.err
    other["backend_settings"]["cluster_name"] = "elsewhere"
    ran = site.process("plan")
    # the other cluster cannot be read here, which is no concern of this one
    assert ran.code == 1
    assert "cluster elsewhere" in ran.err
    assert f'toy.account["{ACCOUNT}"]' in ran.out


def test_one_offering_is_on_one_cluster(site: Toybox) -> None:
    site.document["offerings"][0]["membership_sync_backend"] = "slurm"
    ran = site.process("plan")
    assert ran.code == 1
    assert "an offering is on one cluster, but its backends are slurm, toy" in ran.err


def test_a_backend_that_is_not_whole_is_named(site: Toybox, tmp_path: Path) -> None:
    module = tmp_path / "packages/reconcile_toy.py"
    module.write_text(module.read_text().replace("    def account(self", "    def other(self"))
    ran = site.process("plan")
    assert ran.code == 1
    assert "backend 'toy' of reconcile_toy:Toy lacks account" in ran.err
