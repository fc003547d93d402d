"""Guards that look back: offerings that shrink, budgets, usage, orphans."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tests.live.conftest import Site

MONTH = f"{datetime.now(UTC):%Y-%m}"


def test_an_offering_that_shrank_since_the_last_run(world: Site) -> None:
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    site.document["reconcile"]["guards"] = {"min_resources_share": 0}
    everything = list(portal.world["resources"])
    portal.world["resources"] = everything[:5]
    portal.push()
    before = slurm.state()
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both
    assert "below 0.7 of the 10 that it had at the last good read and that have not ended since" in refused.both
    assert site("apply", "--auto-approve").code == 3  # a refused read is no good one
    assert slurm.state() == before
    assert site("apply", "--auto-approve", "--accept-shrink").code in (0, 4)
    assert site("apply", "--auto-approve").code in (0, 4)  # accepted once, known from then on


def test_an_accepted_shrink_is_accepted_once(world: Site) -> None:
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    everything = list(portal.world["resources"])

    def answers(number: int) -> None:
        portal.world["resources"] = everything[:number]
        portal.push()

    answers(5)
    assert site("apply", "--auto-approve", "--accept-shrink").code == 0
    assert site("apply", "--auto-approve").code == 0
    answers(10)
    assert site("apply", "--auto-approve").code == 0
    answers(7)
    assert site("apply", "--auto-approve").code == 0
    answers(5)
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both  # step by step is no way around it
    assert len(slurm.accounts()) == 13


def test_accounts_of_what_ended_long_ago_hide_no_shrinking(world: Site) -> None:
    """They stay while a guard keeps them, and are missed no more only once."""
    site, portal, slurm = world
    for n in range(8):
        portal.resource(f"r{n}", backend_id=f"a_r{n}", limits={"cpu": 1})
    site.document["reconcile"]["guards"] = {"min_resources_share": 0, "delete_with_jobs": False}
    assert site("apply", "--auto-approve").code == 0
    slurm.submit("a_r0", "tbalice", 120)
    for name in ("r0", "r1", "r2"):
        portal.edit(name, state="Terminated")
        slurm.ran(f"a_{name}", "tbalice", f"{MONTH}-01T01:00:00", f"{MONTH}-01T02:00:00", "cpu=1")
    assert site("apply", "--auto-approve").code == 4  # 7 of 10, of which 3 have ended; they stay for their usage
    assert site("apply", "--auto-approve").code == 4
    left = [r for r in portal.world["resources"] if r["name"] not in ("r3", "r4", "r5")]
    portal.world["resources"] = left
    portal.push()
    refused = site("apply", "--auto-approve")
    assert refused.code == 3, refused.both
    assert "Waldur has 4 resources" in refused.both and "of the 7 that" in refused.both


def test_a_budget_below_what_was_used(world: Site) -> None:
    site, portal, slurm = world
    slurm.submit("a_one", "tbalice", 3, "-n64")
    slurm.wait()
    for _ in range(90):  # slurmctld adds up once a minute
        if int(slurm.run("sshare", "-nP", "-A", "a_one", "-o", "GrpTRESRaw").split("cpu=")[1].split(",")[0]) >= 2:
            break
        time.sleep(1)
    site.document["offerings"][0]["backend_components"]["cpu"]["unit_factor"] = 1
    portal.edit("one", limits={"cpu": 1})
    planned = site("plan")
    assert "its budget falls below what was used (cpu to 1, " in planned.out
    site.document["reconcile"]["guards"] = {"prevent_downgrade": True}
    blocked = site("apply", "--auto-approve", "--target", "slurm.account[a_one]")
    assert blocked.code == 4
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    slurm.stop("slurmctld")
    try:  # who cannot know does not cut
        unknown = site("apply", "--auto-approve", "--target", "slurm.account[a_one]")
        assert unknown.code == 4, unknown.both
        assert "what was used cannot be found out" in unknown.out
        assert slurm.shown("a_one", "GrpTRESMins") == "cpu=60000"
    finally:
        slurm.up()
    allowed = ("--allow", "prevent_downgrade", "--target", "slurm.account[a_one]")
    assert site("apply", "--auto-approve", *allowed).code == 0
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=1"


def test_usage_that_cannot_be_known_holds_what_ended(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["guards"] = {"min_resources_share": 0}
    portal.edit("one", state="Terminated")
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        held = site("apply", "--auto-approve")
        assert held.code == 4, held.both
        assert "whether it was used cannot be found out" in held.out and "--allow delete_with_usage" in held.out
        assert "a_one" in slurm.accounts()
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    assert site("apply", "--auto-approve").code == 0
    assert "a_one" not in slurm.accounts()


def test_a_project_that_goes_with_its_orphan_is_held_as_it_is(world: Site) -> None:
    site, portal, slurm = world
    portal.user("tbcarol", "fusion")
    portal.resource("other", backend_id="a_other", project="fusion", limits={"cpu": 1})
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "user", "tbcarol", "account=p_fusion")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    slurm.ran("p_fusion", "tbcarol", f"{yesterday:%Y-%m-%dT01:00:00}", f"{yesterday:%Y-%m-%dT02:00:00}", "cpu=1")
    slurm.sacctmgr("remove", "user", "where", "name=tbcarol", "account=p_fusion")
    portal.world["resources"] = [r for r in portal.world["resources"] if r["name"] != "other"]
    portal.push()
    site.document["reconcile"].update(prune=True, guards={"min_resources_share": 0, "min_read_share": 0})
    site("apply", "--auto-approve", "--allow", "delete_with_usage")
    assert "p_fusion" in slurm.accounts()


def test_an_orphan_in_use_is_never_pruned(world: Site) -> None:
    site, _portal, slurm = world
    slurm.sacctmgr("add", "account", "a_stray", "parent=p_climate")
    slurm.sacctmgr("add", "user", "tbcarol", "account=a_stray")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    slurm.ran("a_stray", "tbcarol", f"{yesterday:%Y-%m-%dT01:00:00}", f"{yesterday:%Y-%m-%dT02:00:00}", "cpu=1")
    site.document["reconcile"].update(prune=True, guards={"min_resources_share": 0})
    ran = site("apply", "--auto-approve", "--allow", "delete_with_usage", "--allow", "delete_with_jobs")
    assert ran.code == 4, ran.both
    assert "an orphan that is in use is never removed" in ran.both
    assert slurm.users_of("a_stray") == {"tbcarol"}
    assert "--allow prune_grace" in ran.both
    # a query that fails (exit code 0, no rows) is no proof that it was not used
    slurm.sql("rename table testbed_job_table to testbed_job_gone;")
    try:
        failed = site("apply", "--auto-approve")
        assert failed.code == 4, failed.both
        assert "sacct knows no job of anybody" in failed.out
        assert slurm.users_of("a_stray") == {"tbcarol"}
    finally:
        slurm.sql("rename table testbed_job_gone to testbed_job_table;")
    job = slurm.submit("a_stray", "tbcarol", 60)
    busy = site("apply", "--auto-approve", "--allow", "prune_grace", "--allow", "delete_with_jobs")
    assert busy.code == 4, busy.both
    assert "never removed: 1 jobs are running or waiting" in busy.both
    assert slurm.users_of("a_stray") == {"tbcarol"}
    slurm.run("scancel", job)
    slurm.wait()
    assert site("apply", "--auto-approve", "--allow", "prune_grace").code == 0
    assert "a_stray" not in slurm.accounts()
