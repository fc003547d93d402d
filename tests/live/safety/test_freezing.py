"""While a cluster is frozen there are plans and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.live.conftest import Site


def test_a_freeze_that_cannot_be_read_stops_no_plan(world: Site) -> None:
    site, portal, _slurm = world
    portal.edit("one", limits={"cpu": 7})
    (site.directory / "state" / "frozen.json").write_text("[{")
    path = site.directory / "x.plan"
    planned = site("plan", "--out", str(path))
    assert planned.code == 0 and path.exists()
    assert "it cannot be told whether apply is frozen" in planned.err
    assert site("apply", "--auto-approve").code == 1
    assert site("unfreeze").code == 0
    assert site("apply", "--auto-approve").code == 0


def test_frozen_means_plans_and_nothing_else(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("one", limits={"cpu": 7})
    assert site("freeze", "--until", "2h", "--reason", "slurmdbd upgrade").code == 0
    before = slurm.state()
    assert site("plan").code == 0
    refused = site("apply", "--auto-approve")
    assert refused.code == 3
    assert "slurmdbd upgrade" in refused.both and "reconcile unfreeze" in refused.both
    assert slurm.state() == before
    assert site("unfreeze").code == 0
    assert site("apply", "--auto-approve").code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=420000"
    # maintenance by the clock
    minute = datetime.now(UTC) - timedelta(minutes=1)
    window = {"cron": f"{minute.minute} {minute.hour} * * *", "minutes": 10, "timezone": "UTC"}
    site.document["reconcile"]["maintenance"] = [window]
    portal.edit("one", limits={"cpu": 8})
    assert site("apply", "--auto-approve").code == 3
    site.document["reconcile"]["maintenance"] = [{"cron": "every day", "minutes": 10}]
    assert "is no cron expression" in site("plan").both


@pytest.mark.parametrize("name", ["testbed", "default"])
def test_a_cluster_is_frozen_by_either_name(world: Site, name: str) -> None:
    """Where the configuration leaves the name to SLURM, earlier versions called it default."""
    site, portal, slurm = world
    del site.document["offerings"][0]["backend_settings"]["cluster_name"]
    portal.edit("one", limits={"cpu": 7})
    assert site("freeze", "--cluster", name).code == 0
    assert site("apply", "--auto-approve").code == 3
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    assert site("doctor").code == 2, "it is frozen by whichever name"
    assert site("unfreeze", "--cluster", name).code == 0
    assert site("apply", "--auto-approve").code == 0


def test_a_wrong_name_freezes_and_lifts_nothing(world: Site) -> None:
    site, _portal, _slurm = world
    for command in ("freeze", "unfreeze"):
        assert site(command, "--cluster", "tsetbed").code == 1
    assert site("freeze").code == 0
    still = site("unfreeze", "--cluster", "testbed")
    assert still.code == 3 and "frozen until somebody lifts it" in still.err
    assert site("unfreeze").code == 0
