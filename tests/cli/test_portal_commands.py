"""``reconcile components`` and ``reconcile import`` as an operator meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program
from tests.emulator import Emulator, emulated
from tests.standin.portal import OFFERING, TOKEN, StandIn, uid


@pytest.fixture
def site(emulator: Emulator, portal: StandIn, tmp_path: Path) -> Program:
    program = emulated(emulator, portal, tmp_path)
    return program


def components(portal: StandIn) -> list[dict[str, Any]]:
    url = f"{portal.url}marketplace-provider-offerings/{OFFERING}/"
    answer = portal.session.get(url, headers={"Authorization": f"Token {TOKEN}"}).json()
    return list(answer["components"])


def component(portal: StandIn, name: str) -> dict[str, Any]:
    return next(c for c in components(portal) if c["type"] == name)


# ---------------------------------------------------------------------- components


def test_components_become_what_the_configuration_says(site: Program, portal: StandIn) -> None:
    site.document["offerings"][0]["backend_components"] = {
        "cpu": {
            "measured_unit": "k-Hours", "unit_factor": 60000, "accounting_type": "limit", "label": "CPU hours",
            "description": "Core hours", "limit_period": "annual", "max_value": 1000,
        },
        "storage": {
            "measured_unit": "TB", "accounting_type": "usage", "limit": 12.5, "label": "Storage", "is_boolean": False,
        },
    }  # fmt: skip
    shown = site("components", "plan")
    assert shown.code == 0, shown.both
    assert f'waldur.component["{OFFERING}","cpu"] will be updated in-place' in shown.out
    assert '~ name         = "CPU" -> "CPU hours"' in shown.out
    assert f'waldur.component["{OFFERING}","storage"] will be created' in shown.out
    assert "gpu" in shown.out  # Waldur's own: shown, and left
    assert portal.writes() == []
    assert site("components", "plan", "--detailed-exitcode").code == 2
    done = site("components", "push", "--auto-approve")
    assert done.code == 0, done.both
    assert sorted(portal.writes()) == ["offering/create_offering_component", "offering/update_offering_component"]
    cpu = component(portal, "cpu")
    assert (cpu["name"], cpu["description"], cpu["limit_period"], cpu["max_value"]) == (
        "CPU hours", "Core hours", "annual", 1000,
    )  # fmt: skip
    assert cpu["article_code"] == "CPU"  # the configuration says nothing about it
    storage = component(portal, "storage")
    assert (storage["billing_type"], storage["limit_amount"]) == ("usage", 12.5)
    again = site("components", "plan", "--detailed-exitcode")
    assert again.code == 0, again.both
    assert "No changes. Waldur has the components as configured." in again.out


def test_components_are_removed_only_when_asked_and_unused(site: Program, portal: StandIn) -> None:
    site.document["offerings"][0]["backend_components"]["cpu"]["label"] = "CPU"
    portal.world["used_components"] = ["mem"]
    portal.push()
    assert site("components", "push", "--auto-approve").code == 0
    assert {c["type"] for c in components(portal)} == {"cpu", "gpu", "mem"}
    done = site("components", "push", "--auto-approve", "--delete")
    assert done.code == 1, done.both
    assert "cannot be removed because it is already used" in done.both
    assert {c["type"] for c in components(portal)} == {"cpu", "mem"}


def test_pushing_components_asks_first(site: Program) -> None:
    done = site("components", "push")
    assert done.code == 1
    assert "nobody can answer here" in done.err


def test_components_of_an_unknown_offering(site: Program) -> None:
    done = site("components", "plan", "--offering", "nosuch")
    assert done.code == 1
    assert "Cluster A" in done.err


def test_components_that_cannot_be_pushed_are_named(site: Program, portal: StandIn) -> None:
    components_ = site.document["offerings"][0]["backend_components"]
    components_["cpu"] |= {"description": "Core hours\n", "unit_factor": 0.5}
    done = site("components", "push", "--auto-approve")
    assert done.code == 0, done.both
    assert "Waldur's is left as it is" in done.out
    assert component(portal, "cpu")["description"] == "Core hours"
    components_["GPU"] = components_.pop("cpu")
    twin = site("components", "push", "--auto-approve")
    assert twin.code == 1
    assert "'GPU' is 'gpu' in Waldur" in twin.both
    site.document["offerings"][0]["backend_components"] = {}
    assert site("components", "push", "--auto-approve", "--delete").code == 1
    assert len(components(portal)) == 3


# ---------------------------------------------------------------------- import


@pytest.fixture
def strangers(site: Program, portal: StandIn, emulator: Emulator) -> Program:
    """One account of ours, and some that Waldur does not know."""
    portal.resource("known")
    portal.user("ann", "climate")
    assert site("apply", "--auto-approve").code == 0
    emulator.sacctmgr("add", "account", "a_old", "parent=p_climate", "description=old days")
    emulator.sacctmgr("modify", "account", "a_old", "set", "GrpTRESMins=cpu=90000")
    emulator.sacctmgr("add", "user", "ann", "account=a_old")
    emulator.sacctmgr("add", "user", "stranger", "account=a_old")
    emulator.sacctmgr("add", "account", "staff", "parent=root")
    portal.forget()
    return site


def test_unknown_accounts_are_listed_with_limits_and_members(strangers: Program, portal: StandIn) -> None:
    document = json.loads(strangers("import", "--json").out)
    assert document["format_version"] == "1.0"
    found = {row["account"]: row for row in document["accounts"]}
    assert found.keys() == {"a_old", "staff"}
    old = found["a_old"]
    assert old["project"] == uid("project", "climate")
    assert (old["limits"], old["grp_tres_mins"]) == ({"cpu": "1.5"}, {"cpu": 90000})
    assert (old["members"], old["known_members"]) == (["ann", "stranger"], ["ann"])
    assert (old["offering"], found["staff"]["offering"]) == ("Cluster A", "")
    table = strangers("import").out
    assert "a_old" in table
    assert "2 (1 unknown to Waldur)" in table
    assert portal.writes() == []


def test_unknown_accounts_of_known_projects_are_offered_once(strangers: Program, portal: StandIn) -> None:
    done = strangers("import", "--write", "--auto-approve")
    assert done.code == 0, done.both
    assert portal.writes() == ["backend-resources/post"]
    (row,) = portal.world["backend_resources"]
    assert (row["backend_id"], row["project"], row["name"]) == ("a_old", uid("project", "climate"), "old days")
    assert row["backend_metadata"] == {"limits": {"cpu": 1.5}}
    again = strangers("import", "--write", "--auto-approve")
    assert again.code == 0, again.both
    assert "Nothing to offer" in again.out
    assert len(portal.world["backend_resources"]) == 1
    assert next(r for r in json.loads(strangers("import", "--json").out)["accounts"] if r["account"] == "a_old")[
        "offered"
    ]


def test_an_account_that_only_looks_like_a_projects_is_offered_to_none(
    strangers: Program, portal: StandIn, emulator: Emulator
) -> None:
    """The account above has a project's name and stands elsewhere in the tree."""
    emulator.sacctmgr("add", "account", "p_fusion", "parent=root")
    emulator.sacctmgr("add", "account", "a_lost", "parent=p_fusion")
    portal.resource("hot", project="fusion", customer="south", backend_id="a_hot", state="Terminated")
    found = {r["account"]: r for r in json.loads(strangers("import", "--json").out)["accounts"]}
    assert found["a_lost"]["project"] == ""
    assert strangers("import", "--json", "--write").code == 1


def test_amounts_are_never_less_than_the_cluster_gives(strangers: Program, emulator: Emulator) -> None:
    emulator.sacctmgr("modify", "account", "a_old", "set", "GrpTRESMins=cpu=200")
    found = {r["account"]: r for r in json.loads(strangers("import", "--json").out)["accounts"]}
    assert found["a_old"]["limits"] == {"cpu": "0.01"}


def test_an_imported_account_is_looked_after(strangers: Program, portal: StandIn) -> None:
    """The owner made a resource of it in Waldur."""
    portal.resource("old days", slug="od", backend_id="a_old", limits={"cpu": 2})
    done = strangers("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert "a_old" not in [r["account"] for r in json.loads(strangers("import", "--json").out)["accounts"]]


def test_a_server_that_takes_no_imports(strangers: Program, portal: StandIn) -> None:
    portal.world["version"] = "7.0.7"
    for resource in portal.world["resources"]:
        portal.order(resource["name"], "Create", "done", project_slug="climate", customer_slug="nordic")
    portal.push()
    done = strangers("import", "--write", "--auto-approve")
    assert done.code == 0, done.both
    assert "takes no accounts for import" in done.out
    assert portal.writes() == []


# ---------------------------------------------------------------------- names of waldur-slurm-agent


def test_accounts_that_the_oldest_agent_named_by_uuid_stay(site: Program, portal: StandIn, emulator: Emulator) -> None:
    site.document["offerings"][0]["backend_settings"]["legacy_account_names"] = True
    row = portal.resource("Übung Klima, long name of an allocation", slug="ukl")
    customer, project = f"c_{row['customer_uuid']}", f"p_{row['project_uuid']}"
    # as the agent made it: prefix, five digits of the allocation's uuid, the name without what it dropped, cut at 34
    name = f"a_{row['uuid'][:5]}_bungKlimalongnameofanallocation"[:34].lower()
    emulator.sacctmgr("add", "account", customer, "parent=root")
    emulator.sacctmgr("add", "account", project, f"parent={customer}")
    emulator.sacctmgr("add", "account", name, f"parent={project}")
    assert site("apply", "--auto-approve").code == 4, "the first run gives no limit to an account that had none"
    done = site("apply", "--auto-approve", "--allow", "limit_cuts")
    assert done.code == 0, done.both
    assert portal.found("resource", row["name"])["backend_id"] == name
    accounts = emulator.run("sacctmgr", "-nP", "show", "assoc", "format=Account").stdout.split()
    assert set(accounts) == {"root", customer, project, name}
    assert site("plan", "--detailed-exitcode").code == 0


# ---------------------------------------------------------------------- what must not be silent


def test_no_components_leave_limits_as_they_are(site: Program, portal: StandIn, emulator: Emulator) -> None:
    portal.resource("one")
    assert site("apply", "--auto-approve").code == 0
    site.document["offerings"][0]["backend_components"] = {}
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
    assert "no backend_components: limits left as they are" in done.out


def test_service_accounts_with_impossible_names_are_refused_by_name(site: Program, portal: StandIn) -> None:
    portal.resource("one")
    portal.world["service_accounts"] = [
        {"uuid": uid(n), "project_uuid": uid("project", "climate"), "username": n, "state": "OK"}
        for n in ("root", "-rf", "we ird")
    ]
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    for name in ("root", "-rf", "we ird"):
        assert f"service or course account '{name}'" in done.out


def test_orphans_are_asked_about_once_a_day(strangers: Program, portal: StandIn) -> None:
    strangers.document["reconcile"]["guards"] = {"min_resources_share": 0}
    assert strangers("apply", "--auto-approve").code == 0
    portal.forget()
    assert "no Waldur resource names this account" in strangers("plan").out
    assert not any("backend_id=" in e["query"] for e in portal.log())
    # where orphans are removed, the portal has the word each time
    strangers.document["reconcile"]["prune"] = True
    strangers("plan")
    assert any("backend_id=a_old" in e["query"] for e in portal.log())


def test_a_broken_memory_is_a_warning(site: Program, portal: StandIn) -> None:
    portal.resource("one")
    memory = site.directory / "state" / "reconcile.sqlite3"
    memory.parent.mkdir(mode=0o700)
    memory.write_text("this is no database" * 100)
    portal.user("ann", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert "was no database any more: put aside" in done.err
    assert list(memory.parent.glob("*.broken-*"))
