"""A portal that fails, has lost rows, or is an older one."""

from __future__ import annotations

from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.live.cycle.conftest import refused, settled
from tests.standin.portal import StandIn


def test_the_portal_fails(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    site.document["reconcile"]["http_retries"] = 0
    portal.faults(
        {"path": "permissions", "status": 502, "body": "<html><title>502 Bad Gateway</title></html>", "times": 9}
    )
    refused(site, slurm, "HTTP 502: 502 Bad Gateway")
    assert slurm.state() == before


def test_an_empty_portal_removes_nothing(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    portal.reset()
    done = site("apply", "--auto-approve")
    assert done.code == 3, done.both
    assert "reconcile.guards.allow_empty_portal" in done.both
    assert "--allow allow_empty_portal" in done.both
    assert slurm.state() == before


def test_a_shrunken_portal_is_refused_by_name(world: Site) -> None:
    site, portal, slurm = world
    portal.world["resources"].pop()
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 3
    assert "min_resources_share" in done.both
    allowed = ("--allow", "min_resources_share", "--accept-shrink")
    assert site("apply", "--auto-approve", *allowed[:2]).code == 3
    done = site("apply", "--auto-approve", *allowed)
    assert done.code == 0, done.both
    assert "a_climate-b" in slurm.accounts(), "an orphan is not deleted for all that"
    portal.edit("climate-a", limits={"cpu": 55})
    done = site("apply", "--auto-approve")
    assert done.code == 0, "once is enough: the orphan is known"
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=3300000"


def test_a_manager_without_the_bulk_list_asks_once_per_project(world: Site) -> None:
    site, portal, _ = world
    portal.world["role"] = "manager"
    portal.push()
    portal.forget()
    settled(site)
    teams = [r for r in portal.log() if r["path"].endswith("/team/")]
    assert len(teams) == 1


def test_an_older_server_tells_slugs_on_orders(site: Program, portal: StandIn, slurm: Slurm) -> None:
    portal.reset(version="7.0.7")
    portal.resource("climate-a")
    portal.order("climate-a", "Create", "done", project_slug="climate", customer_slug="nordic")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("p_climate", "ParentName") == "c_nordic"
    settled(site)
