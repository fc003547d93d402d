"""The commands as an operator meets them, on the simulated cluster and a portal over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import ROOT, Program, offering
from tests.emulator import Emulator, emulated
from tests.standin.portal import StandIn


@pytest.fixture
def site(emulator: Emulator, portal: StandIn, tmp_path: Path) -> Program:
    program = emulated(emulator, portal, tmp_path)
    portal.resource("climate-a")
    portal.user("ann", "climate")
    return program


def test_exit_codes_of_plan(site: Program, portal: StandIn) -> None:
    assert site("plan").code == 0
    assert site("plan", "--detailed-exitcode").code == 2
    assert site("apply", "--auto-approve").code == 0
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0
    assert "No changes. Your cluster matches Waldur." in done.out
    portal.world["token"] = "another"
    portal.push()
    assert site("plan", "--detailed-exitcode").code == 1


def test_usage_errors_never_look_like_changes(site: Program) -> None:
    for arguments in (("plan", "--nosuch"), ("nosuch",), ("diagnose",), ("plan", "--allow", "everything")):
        done = site(*arguments)
        assert done.code == 1, arguments
        assert done.err


def test_json_follows_the_documented_format(site: Program) -> None:
    schema = json.loads((ROOT / "docs" / "plan.schema.json").read_text())
    document = json.loads(site("plan", "--json").out)
    jsonschema.validate(document, schema)
    assert document["format_version"] == "1.3"
    first = document["resource_changes"][0]
    assert {"address", "mode", "type", "name", "provider_name", "change", "action_reason"} <= first.keys()
    assert first["change"]["actions"] == ["create"]
    assert document["reconcile"]["config_digest"].startswith("sha256:")
    assert document["reconcile"]["clusters"][0]["offerings"] == ["Cluster A"]
    for kept in (ROOT / "plans").glob("*.json"):
        jsonschema.validate(json.loads(kept.read_text()), schema)


def test_json_of_an_error_is_json(site: Program, portal: StandIn) -> None:
    portal.faults({"path": "orders", "status": 500, "body": "oops", "times": 9})
    done = site("plan", "--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert document["errored"]
    assert "HTTP 500: oops" in document["reconcile"]["errors"][0]
    assert document["resource_changes"] == []


def test_apply_streams_events(site: Program) -> None:
    done = site("apply", "--auto-approve", "--json")
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert all({"@level", "@message", "@module", "@timestamp", "type"} <= line.keys() for line in lines)
    kinds = [line["type"] for line in lines]
    assert kinds[0] == "version"
    # six objects on the cluster, and what Waldur is told of the resource
    assert kinds.count("planned_change") == kinds.count("apply_start") == kinds.count("apply_complete") == 7
    summaries = [line["changes"] for line in lines if line["type"] == "change_summary"]
    assert summaries == [
        {"add": 6, "change": 1, "remove": 0, "operation": "plan"},
        {"add": 6, "change": 1, "remove": 0, "operation": "apply"},
    ]


def test_apply_asks(site: Program) -> None:
    nobody = site.process("apply")
    assert nobody.code == 1
    assert "--auto-approve" in nobody.err
    script = f"{sys.executable} -m reconciler apply"
    for answer, code, text in (("no", 1, "nothing was done"), ("yes", 0, "Apply complete!")):
        # `script` gives the program a terminal to ask on
        done = subprocess.run(
            ["script", "-qec", script, "/dev/null"],
            input=f"{answer}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=ROOT,
            env={**__import__("os").environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)},
        )
        assert "Only 'yes' will be accepted" in done.stdout
        assert text in done.stdout
        assert done.returncode == code


def test_a_freeze_while_the_question_is_open(site: Program) -> None:
    site.write()
    with subprocess.Popen(
        ["script", "-qec", f"{sys.executable} -m reconciler apply", "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)},
    ) as asked:
        assert asked.stdin is not None and asked.stdout is not None
        said = ""
        while "Only 'yes' will be accepted" not in said:
            said += asked.stdout.read(1)
        assert site("freeze", "--reason", "stop everything").code == 0
        asked.stdin.write("yes\n")
        asked.stdin.flush()
        said += asked.stdout.read()
    assert asked.returncode == 3, said
    assert "stop everything" in said and "nothing was done" in said
    assert "stop everything" in site("plan").err  # a plan says so, and is made all the same
    assert site("unfreeze").code == 0
    assert site("apply", "--auto-approve").code == 0


def test_moments_that_are_none(site: Program) -> None:
    for arguments in (
        ("history", "--since", "99999999999d"),
        ("history", "--since", "yesterday"),
        ("freeze", "--until", "99999999999d"),
        ("freeze", "--until", "9999-12-31T23:59:59-12:00"),
        ("freeze", "--until", "²h"),
    ):
        ran = site(*arguments)
        assert ran.code == 1
        assert "no moment" in ran.err and "internal error" not in ran.err


def test_pipes_and_colours(site: Program) -> None:
    plain = site.process("plan")
    assert "\x1b" not in plain.out + plain.err
    forced = site.process("plan", FORCE_COLOR="1")
    assert "\x1b[" in forced.out
    assert "\x1b[3" not in site.process("plan", FORCE_COLOR="1", NO_COLOR="1").out
    head = subprocess.run(
        f"{sys.executable} -m reconciler plan | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**__import__("os").environ, **site.environment, "WALDUR_SITE_AGENT_CONFIG": str(site.path)},
    )
    assert head.stdout.startswith("Cluster default")
    assert "Traceback" not in head.stderr


def test_hostile_texts_do_not_reach_the_terminal(site: Program, portal: StandIn) -> None:
    portal.edit("climate-a", project_name="x\x1b[2Jy\x07", customer_name="evil\x9b31m")
    portal.resource("esc\x1b]0;pwn\x07", slug="b\x1b[31m")
    done = site("plan")
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert site("plan", "--json").code == 0
    assert "\x1b" not in site("plan", "--script").out


def test_offering_selects(site: Program, portal: StandIn) -> None:
    second = {**offering(portal.url), "name": "Second", "waldur_offering_uuid": "6aa5d741cbf64801ad996cb19ed4ea28"}
    second["waldur_api_url"] = "file:second.yaml"
    second["backend_settings"] = {**second["backend_settings"], "allocation_prefix": "b_"}
    site.document["offerings"].append(second)
    (site.directory / "second.yaml").write_text(
        "resources:\n- {name: two, slug: two, project: {slug: fusion}, customer: {slug: baltic}, limits: {cpu: 1}}\n"
    )
    both = json.loads(site("plan", "--json").out)
    names = {c["name"] for c in both["resource_changes"]}
    assert {"a_climate-a", "b_two"} <= names
    only = json.loads(site("plan", "--json", "--offering", "Second").out)
    assert {c["name"] for c in only["resource_changes"]} == {"c_baltic", "p_fusion", "b_two"}
    none = site("plan", "--offering", "nosuch")
    assert none.code == 1
    assert "Cluster A, Second" in none.err


def test_equal_names_of_two_offerings_are_refused(site: Program, portal: StandIn) -> None:
    second = {**offering(portal.url), "name": "Second", "waldur_offering_uuid": "6aa5d741cbf64801ad996cb19ed4ea28"}
    second["waldur_api_url"] = "file:second.yaml"
    site.document["offerings"].append(second)
    (site.directory / "second.yaml").write_text(
        "resources:\n- {name: two, slug: climate-a, project: {slug: x}, customer: {slug: y}, limits: {cpu: 1}}\n"
    )
    done = site("plan")
    assert "account name 'a_climate-a' is claimed by" in done.out
    assert 'a_climate-a"] will be created' not in done.out


def test_require_unix_user(site: Program, portal: StandIn) -> None:
    site.document["reconcile"]["require_unix_user"] = True
    portal.user("daemon", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0
    assert 'slurm.user["ann"]  unknown to the head node' in done.out
    assert 'slurm.association["a_climate-a","daemon"]: Creation complete' in done.out
    assert site("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        (7, {}, 7),
        ("parent", {}, "parent"),
        ({"attribute": "share", "factor": 2}, {"attributes": {"share": "3"}}, 6),
        ({"option": "share"}, {"options": {"share": 4}}, 4),
        ({"limit": "cpu", "factor": 0.1}, {"limits": {"cpu": 100}}, 10),
        ({"attribute": "share"}, {}, None),
    ],
)
def test_fairshare(site: Program, portal: StandIn, rule: Any, facts: dict[str, Any], expected: Any) -> None:
    site.document["reconcile"]["fairshare"] = rule
    portal.edit("climate-a", **facts)
    document = json.loads(site("plan", "--json").out)
    account = next(c for c in document["resource_changes"] if c["name"] == "a_climate-a")
    assert account["change"]["after"].get("fairshare") == expected


@pytest.mark.parametrize(
    ("component", "facts", "expected"),
    [
        ({"accounting_type": "limit", "unit_factor": 60000}, {"limits": {"cpu": 2}}, {"cpu": 120000}),
        ({"accounting_type": "limit", "unit_factor": 0.1}, {"limits": {"cpu": 3}}, {"cpu": 0}),
        ({"accounting_type": "limit", "unit_factor": 1.1}, {"limits": {"cpu": 10}}, {"cpu": 11}),
        ({"accounting_type": "limit", "unit_factor": 60}, {"limits": {"cpu": "2.5"}}, {"cpu": 150}),
        ({"accounting_type": "usage", "unit_factor": 60, "limit": 10}, {"limits": {}}, {"cpu": 600}),
        ({"accounting_type": "usage", "unit_factor": 60}, {"limits": {"cpu": 5}}, {}),
        (
            {"accounting_type": "one", "unit_factor": 10},
            {"limits": {"cpu": 2}, "created": "2026-01-15T00:00:00Z", "end_date": "2026-03-16"},
            {"cpu": 60},
        ),
        (
            {"accounting_type": "limit", "target_components": {"cpu": {"factor": 8}, "gres/gpu": {"factor": 2}}},
            {"limits": {"cpu": 5}},
            {"cpu": 40, "gres/gpu": 10},
        ),
    ],
)
def test_limits(
    site: Program, portal: StandIn, component: dict[str, Any], facts: dict[str, Any], expected: dict[str, int]
) -> None:
    site.document["offerings"][0]["backend_components"] = {"cpu": {"measured_unit": "h", "label": "x", **component}}
    portal.edit("climate-a", **facts)
    document = json.loads(site("plan", "--json").out)
    account = next(c for c in document["resource_changes"] if c["name"] == "a_climate-a")
    assert account["change"]["after"]["grp_tres_mins"] == expected


@pytest.mark.parametrize("amount", [-1, "lots", 1e300, None, True, [1]])
def test_limits_that_are_no_amounts_block_their_resource_alone(site: Program, portal: StandIn, amount: Any) -> None:
    portal.resource("other")
    portal.edit("climate-a", limits={"cpu": amount})
    done = site("apply", "--auto-approve")
    if amount is None:
        assert done.code == 0
        assert "has no limit for 'cpu': cpu left as is" in done.out
    else:
        assert done.code == 4, done.both
        assert 'slurm.account["a_climate-a"] is blocked' in done.out
        assert 'slurm.association["a_climate-a","ann"] is blocked' in done.out
    assert 'slurm.account["a_other"]: Creation complete' in done.out


def test_names_from_the_project(site: Program, portal: StandIn) -> None:
    portal.world["offering"]["plugin_options"] = {"account_name_generation_policy": "project_slug"}
    portal.resource("second", created="2026-11-21T00:00:00Z")
    portal.resource("third", created="2026-11-22T00:00:00Z")
    document = json.loads(site("plan", "--json").out)
    names = [c["name"] for c in document["resource_changes"] if c["name"].startswith("a_") and "/" not in c["name"]]
    assert sorted(names) == ["a_climate", "a_climate-0", "a_climate-1"]


def test_an_existing_backend_id_wins(site: Program, portal: StandIn) -> None:
    portal.edit("climate-a", backend_id="Legacy_Name")
    document = json.loads(site("plan", "--json").out)
    assert "legacy_name" in {c["name"] for c in document["resource_changes"]}


def test_two_people_with_one_username_are_refused(site: Program, portal: StandIn) -> None:
    portal.user("ANN", "climate", who="another")
    done = site("apply", "--auto-approve")
    assert done.code == 4
    assert "2 people have it in Waldur" in done.out
    assert "Creation complete" in done.out
    assert '"a_climate-a","ann"]: Creating' not in done.out


def test_common_default_account(site: Program, portal: StandIn, emulator: Emulator) -> None:
    emulator.sacctmgr("add", "account", "name=everybody", "parent=root")
    emulator.sacctmgr("add", "user", "name=operator", "account=everybody")
    site.document["offerings"][0]["backend_settings"] |= {
        "default_account": "everybody",
        "default_account_policy": "common",
        "root_account": "root",
    }
    assert site("apply", "--auto-approve").code == 0
    assert "ann|everybody" in emulator.run("sacctmgr", "-nP", "show", "user", "format=User,DefaultAccount").stdout
    assert site("plan", "--detailed-exitcode").code == 0
    portal.leave("ann", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    left = emulator.run("sacctmgr", "-nP", "show", "assoc", "format=Account,User").stdout
    assert "everybody|ann" not in left
    assert "everybody|operator" in left
    assert '"operator"' not in done.out, "whom Waldur does not know is no orphan in a shared account"


def test_guards_name_their_key_and_flag(site: Program, portal: StandIn) -> None:
    for number in range(30):
        portal.resource(f"r{number}")
    site("apply", "--auto-approve")
    for number in range(30):
        portal.edit(f"r{number}", limits={"cpu": 3})
    done = site("apply", "--auto-approve")
    assert done.code == 3
    assert "30 updates of slurm.account" in done.err
    assert "--allow max_updates_share" in done.err
    for number in range(8):
        portal.edit(f"r{number}", state="Terminated", backend_id=f"a_r{number}")
    done = site("apply", "--auto-approve", "--allow", "max_updates_share")
    assert done.code == 3
    assert "8 deletions of slurm.account" in done.err
    assert "reconcile.guards.max_deletions" in done.err


def test_a_slow_cluster_lock_and_state_dir(site: Program, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    site.document["reconcile"]["state_dir"] = str(blocker)
    done = site("apply", "--auto-approve")
    assert done.code == 1
    assert "reconcile.state_dir" in done.err


def test_diagnose(site: Program, portal: StandIn) -> None:
    portal.world["policies"].append({})
    portal.push()
    missing = site("diagnose", "a_climate-a")
    assert missing.code == 2
    assert "OVERALL: MISSING" in missing.out
    assert "REMEDIATION COMMANDS" in missing.out
    assert site("apply", "--auto-approve").code == 0
    done = site("diagnose", "A_CLIMATE-A", "-v", "--no-color")
    assert done.code == 0
    for text in ("Policy Found:       Yes", "Period:             20", "Limit Type:         GrpTRESMins"):
        assert text in done.out
    assert site("diagnose", "nosuch").code == 3
    assert site("diagnose", "root").code == 0
    portal.world["token"] = "other"
    portal.push()
    assert site("diagnose", "a_climate-a").code == 1


def test_plan_file_of_another_configuration(site: Program, portal: StandIn, tmp_path: Path) -> None:
    saved = str(tmp_path / "p")
    assert site("plan", "--out", saved).code == 0
    site.document["reconcile"]["prune"] = True
    done = site("apply", saved)
    assert done.code == 1
    assert "another configuration" in done.err
    for text in ("", "{}", "[]", '{"format_version": "9"}', '{"format_version": "1.3", "reconcile": 5}'):
        Path(saved).write_text(text)
        done = site("apply", saved)
        assert done.code == 1, text
        assert "plan" in done.err


def test_help_teaches() -> None:
    for command in ((), ("plan",), ("apply",), ("diagnose",), ("config",)):
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *command, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert "Usage" in done.stdout


def test_diagnose_tells_what_the_plan_refuses(site: Program, portal: StandIn) -> None:
    portal.resource("twin one", slug="twin", project="x1")
    portal.resource("twin two", slug="twin", project="x2")
    portal.user("-rf", "climate", who="mallory")
    assert site("apply", "--auto-approve").code == 4
    twin = site("diagnose", "a_twin")
    assert twin.code == 2
    assert "OVERALL: REFUSED" in twin.out
    assert "is claimed by" in twin.out
    climate = site("diagnose", "a_climate-a", "--json")
    assert climate.code == 2
    refused = [c for c in json.loads(climate.out)["comparisons"] if c["status"] == "blocked"]
    assert [c["field"] for c in refused] == ["user[-rf]"]


def test_diagnose_tells_of_an_ended_resource_and_of_an_order(site: Program, portal: StandIn) -> None:
    assert site("apply", "--auto-approve").code == 0
    portal.edit("climate-a", state="Updating")
    portal.order("climate-a", limits={"cpu": 150})
    shown = site("diagnose", "a_climate-a").out
    assert "Order:              Update" in shown, shown
    portal.resource("other")
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    ended = site("diagnose", "a_climate-a")
    assert ended.code == 2
    assert "is Terminated in Waldur" in ended.out


def test_a_target_that_names_nothing_is_an_error(site: Program) -> None:
    for target in ("slurm.account", "slurm.account[nosuch]", "nonsense"):
        done = site("plan", "--target", target)
        assert done.code == 1, done.both
        assert f"--target {target}: no object of that address" in done.err
    assert site("apply", "--auto-approve").code == 0
    assert "No changes in what was selected." in site("plan", "--target", "slurm.account[a_*]").out


def test_help_shows_addresses_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "plan", "--help"], capture_output=True, text=True, check=False
    )
    assert "slurm.account[hpc_" in done.stdout


def test_a_password_in_the_url_is_never_shown(site: Program) -> None:
    site.document["offerings"][0]["waldur_api_url"] = "http://user:sekretpw@127.0.0.1:1/api/"
    for command in (("plan",), ("apply", "--auto-approve", "--json"), ("plan", "--json"), ("diagnose", "a_x")):
        done = site(*command)
        assert done.code == 1
        assert "sekretpw" not in done.both
        assert "127.0.0.1" in done.both


def test_equal_slugs_in_files_are_refused(site: Program, portal: StandIn) -> None:
    site.document["offerings"][0]["waldur_api_url"] = "file:one.yaml"
    entry = "- {name: %s, slug: x, project: {slug: p}, customer: {slug: c}, limits: {cpu: 1}}\n"
    (site.directory / "one.yaml").write_text("resources:\n" + entry % "first" + entry % "second")
    done = site("plan")
    assert done.out.count("account name 'a_x' is claimed by") == 2
    (site.directory / "one.yaml").write_text("")
    empty = site("plan")
    assert empty.code == 1
    assert "the file is empty" in empty.err


def test_one_cluster_is_not_two(site: Program, portal: StandIn) -> None:
    """Whether two offerings share a tree decides what is theirs, so it may not be left open."""
    second = {**offering(portal.url), "name": "Second", "waldur_offering_uuid": "6aa5d741cbf64801ad996cb19ed4ea28"}
    second["backend_settings"] = {**second["backend_settings"], "cluster_name": "default"}
    site.document["offerings"].append(second)
    done = site("plan")
    assert done.code == 1
    assert "offering 'Cluster A' has no backend_settings.cluster_name" in done.err
    site.document["offerings"][0]["backend_settings"]["cluster_name"] = "DEFAULT"
    assert site("plan").err.startswith(f"Error: cluster default: GET {portal.url}"), "one cluster, whatever its case"


def test_limits_of_an_update_that_was_not_seen_stay(site: Program, portal: StandIn) -> None:
    assert site("apply", "--auto-approve").code == 0
    portal.edit("climate-a", state="Updating", limits={"cpu": 7})
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
    assert "limits left as they are" in done.out
