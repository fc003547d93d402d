"""``reconcile doctor`` on a head node with a real SLURM and munge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn


def examined(site: Program, exit_code: int) -> dict[str, dict[str, Any]]:
    """What the doctor found of the cluster, by what was checked."""
    ran = site("doctor", "--json")
    assert ran.code == exit_code, ran.both
    return {f["check"]: f for f in json.loads(ran.out)["findings"] if f["subject"].startswith(("cluster", "offering"))}


def test_a_cluster_that_is_well(site: Program, portal: StandIn, slurm: Slurm) -> None:
    portal.resource("climate-a", backend_id="a_climate-a", limits={"cpu": 1})
    found = examined(site, 0)
    cluster = ("binaries", "slurmdbd", "slurmctld", "munge", "rights", "view", "names")
    assert {check: found[check]["level"] for check in cluster} == dict.fromkeys(cluster, "ok"), found
    assert "SLURM 2" in found["binaries"]["text"]
    assert "makes credentials" in found["munge"]["text"]
    assert "whole: 1 accounts" in found["view"]["text"]


@pytest.mark.parametrize(
    ("daemon", "check", "words"),
    [
        ("slurmdbd", "slurmdbd", "slurmdbd"),
        ("slurmctld", "slurmctld", "slurmctld is down"),
        ("munged", "munge", "systemctl start munge"),
    ],
)
def test_a_daemon_that_is_down(
    site: Program, portal: StandIn, slurm: Slurm, daemon: str, check: str, words: str
) -> None:
    slurm.stop(daemon)
    try:
        found = examined(site, 1)[check]
        assert found["level"] == "error", found
        assert words in found["hint"], found
    finally:
        slurm.up()


def test_names_that_the_cluster_lacks(site: Program, portal: StandIn, slurm: Slurm) -> None:
    site.document["offerings"][0]["backend_settings"]["qos_default"] = "platinum"
    lacking = examined(site, 1)["names"]
    assert "platinum" in lacking["text"] and lacking["hint"]
