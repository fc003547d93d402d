"""What diagnose says is what the plan says, and its commands mend."""

from __future__ import annotations

import json

from tests.live.conftest import Site


def test_diagnose_agrees_with_the_plan_and_its_commands_mend(world: Site) -> None:
    site, portal, slurm = world
    assert site("diagnose", "a_climate-a").code == 0
    portal.edit("climate-a", paused=True, limits={"cpu": 42})
    portal.edit("climate-a", project_name="New Name")
    slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", "GrpTRESMins=node=4", "parent=root")
    slurm.sacctmgr("modify", "account", "where", "name=p_climate", "set", "description=drifted")
    slurm.sacctmgr("remove", "user", "where", "name=tbbob", "account=a_climate-a")
    slurm.sacctmgr("add", "user", "name=tbcarol", "account=a_climate-a")
    report = site("diagnose", "A_Climate-A", "--json")
    assert report.code == 2, report.both
    found = json.loads(report.out)
    assert list(found) == [
        "format_version",
        "account_name",
        "overall_status",
        "slurm_info",
        "waldur_info",
        "policy_info",
        "expected_settings",
        "comparisons",
        "fix_commands",
        "unit_conversions",
        "notes",
    ]
    plan = json.loads(site("plan", "--json").out)
    planned = {
        (c["address"], f)
        for c in plan["resource_changes"]
        if c["change"]["actions"] == ["update"]
        for f in c["change"]["after"]
        if c["change"]["before"][f] != c["change"]["after"][f]
    }
    spelled = {"GrpTRESMins": "grp_tres_mins", "DefaultQOS": "default_qos"}
    differing = {
        (c["address"], spelled.get(c["field"].split(" ")[-1].split("[")[0], c["field"].split(" ")[-1].split("[")[0]))
        for c in found["comparisons"]
        if not c["match"] and c["address"].startswith("slurm.account")
    }
    assert differing == {p for p in planned if p[0].startswith("slurm.account")}
    members = {c["address"] for c in found["comparisons"] if not c["match"] and "association" in c["address"]}
    assert members == {
        c["address"] for c in plan["resource_changes"] if c["address"].startswith('slurm.association["a_climate-a"')
    }
    for command in found["fix_commands"]:
        slurm.run("sh", "-c", command)
    text = site("diagnose", "a_climate-a", "-v")
    assert text.code == 0, text.out
    for section in ("SLURM CLUSTER", "WALDUR MASTERMIND", "SLURM POLICY", "EXPECTED vs ACTUAL", "UNIT CONVERSIONS"):
        assert section in text.out
    assert "Waldur: 42 k-Hours -> SLURM: 2520000 TRES-minutes (factor: 60000)" in text.out
    assert "OVERALL: OK" in text.out


def test_diagnose_of_a_missing_and_an_unknown_account(world: Site) -> None:
    site, _, slurm = world
    assert site("diagnose", "nosuch").code == 3
    for user in ("tbalice", "tbbob"):
        slurm.sacctmgr("modify", "user", "where", f"name={user}", "set", "DefaultAccount=a_climate-a")
    slurm.sacctmgr("remove", "account", "where", "name=a_climate-b")
    missing = site("diagnose", "a_climate-b", "--json")
    assert missing.code == 2
    found = json.loads(missing.out)
    assert found["overall_status"] == "missing"
    for command in found["fix_commands"]:
        slurm.run("sh", "-c", command)
    assert site("diagnose", "a_climate-b").code == 0
