"""Limits and QoS: amounts, pauses, and what SLURM lacks."""

from __future__ import annotations

import pytest

from tests.live.conftest import Site
from tests.live.cycle.conftest import healed, settled


def test_pause_downscale_restore(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "user", "where", "name=tbalice", "account=a_climate-a", "set", "qos=normal")
    portal.edit("climate-a", paused=True, downscaled=True)
    healed(site, "paused", '+ "paused"')
    assert slurm.shown("a_climate-a", "QOS") == "paused"
    # a QoS of the user's own would have escaped the account's
    assert slurm.shown("a_climate-a", "QOS", "tbalice") == ""
    portal.edit("climate-a", paused=False)
    healed(site, "downscaled", '+ "slowdown"')
    assert slurm.shown("a_climate-a", "QOS") == "slowdown"
    portal.edit("climate-a", downscaled=False)
    healed(site, '+ "normal"')
    assert slurm.shown("a_climate-a", "QOS") == "normal"


def test_a_missing_qos_blocks_loudly(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["backend_settings"]["qos_paused"] = "nosuchqos"
    portal.edit("climate-a", paused=True, limits={"cpu": 5})
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "the cluster has no QoS 'nosuchqos'" in done.out
    # everything else of the resource went on
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=300000"
    assert site("plan", "--detailed-exitcode").code == 2


def test_a_missing_tres_is_an_error_of_that_resource(world: Site) -> None:
    site, portal, slurm = world
    components = site.document["offerings"][0]["backend_components"]
    components["gpu"] = {"measured_unit": "GPU-Hours", "unit_factor": 60, "accounting_type": "limit", "label": "GPU"}
    portal.edit("climate-a", limits={"cpu": 1, "gpu": 1})
    portal.edit("Climate-B", limits={"cpu": 8})
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "the cluster has no TRES 'gpu'" in done.out
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=6000000"
    assert slurm.shown("a_climate-b", "GrpTRESMins") == "cpu=480000"


def test_extra_qos_of_the_operator_stays(world: Site) -> None:
    site, _, slurm = world
    slurm.sacctmgr("add", "qos", "high", check=False)
    slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", "qos=high,normal")
    shown = site("plan")
    assert "slurm.account" not in shown.out  # only Waldur is told of it
    healed(site, "waldur.resource")
    assert slurm.shown("a_climate-a", "QOS") == "high,normal"


def test_memory_is_exact(world: Site) -> None:
    """slurmdbd prints 7864320 MB-minutes as 7.50T."""
    site, portal, slurm = world
    components = site.document["offerings"][0]["backend_components"]
    components["mem"] = {"measured_unit": "gb-Hours", "unit_factor": 61440, "accounting_type": "limit", "label": "RAM"}
    for amount, printed in ((128, "mem=7.50T"), (256, "mem=15T"), (1, "mem=60G"), (0, "mem=0")):
        portal.edit("climate-a", limits={"cpu": 1, "mem": amount})
        portal.edit("Climate-B", limits={"cpu": 1, "mem": 5})
        assert site("apply", "--auto-approve").code == 0
        assert printed in slurm.shown("a_climate-a", "GrpTRESMins")
        settled(site)


def test_limits_of_an_executing_update_win(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", state="Updating")
    portal.order("climate-a", limits={"cpu": 777})
    healed(site, "46620000", "as Update order")
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=46620000"


@pytest.mark.parametrize("where", ["root", "account", "member"])
def test_a_default_qos_does_not_stop_a_pause(world: Site, where: str) -> None:
    """SLURM refuses, with exit code 0, a QoS list that lacks a default in effect below it."""
    site, portal, slurm = world
    if where == "root":
        slurm.sacctmgr("modify", "account", "where", "name=root", "set", "defaultqos=normal")
    elif where == "account":
        slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", "qos=normal", "defaultqos=normal")
    else:
        own = ("name=tbalice", "account=a_climate-a", "set", "qos=normal", "defaultqos=normal")
        slurm.sacctmgr("modify", "user", "where", *own)
    try:
        portal.edit("climate-a", paused=True)
        portal.edit("Climate-B", paused=True)
        healed(site, "paused")
        assert slurm.shown("a_climate-a", "QOS") == slurm.shown("a_climate-b", "QOS") == "paused"
        portal.edit("climate-a", paused=False)
        portal.edit("Climate-B", paused=False)
        healed(site, "normal")
        assert slurm.shown("a_climate-a", "QOS,DefaultQOS") == "normal|normal"
    finally:
        slurm.sacctmgr("modify", "account", "where", "name=root", "set", "defaultqos=-1")


def test_a_partition_association_does_not_escape_a_pause(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", paused=True)
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "user", "name=tbalice", "account=a_climate-a", "partition=main", "qos=normal")
    healed(site, 'slurm.association["a_climate-a","tbalice"]')
    rows = slurm.run(
        "sacctmgr", "-nP", "show", "assoc", "WOPLimits", "where", "account=a_climate-a", "user=tbalice", "format=QOS"
    )
    assert rows.split() == []


def test_memory_beyond_the_last_letter(world: Site) -> None:
    """SLURM prints a question mark after petabytes; one such account must not end the plan."""
    site, _, slurm = world
    slurm.sacctmgr("add", "account", "name=staff", "GrpTRESMins=mem=1649267441664")
    assert "?" in slurm.shown("staff", "GrpTRESMins")
    settled(site)
