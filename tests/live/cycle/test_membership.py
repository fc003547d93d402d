"""Who is on an account, and what becomes of the jobs of who leaves."""

from __future__ import annotations

import pytest

from tests.live.conftest import Site
from tests.live.cycle.conftest import healed


def test_membership_changes(world: Site) -> None:
    site, portal, slurm = world
    portal.leave("tbbob", "climate")
    portal.member("tbcarol", "climate")
    healed(
        site, 'slurm.association["a_climate-a","tbbob"] will be destroyed', '"a_climate-b","tbcarol"] will be created'
    )
    assert slurm.users_of("a_climate-a") == {"tbalice", "tbcarol"}
    # a user without any association left is gone
    assert slurm.default_of("tbbob") == ""


def test_restricted_users_and_resources(world: Site) -> None:
    site, portal, slurm = world
    portal.world["offering_users"][0]["is_restricted"] = True
    portal.edit("Climate-B", restrict_member_access=True)
    healed(site, '"a_climate-a","tbalice"] will be destroyed', '"a_climate-b","tbbob"] will be destroyed')
    assert slurm.users_of("a_climate-a") == {"tbbob"}
    assert slurm.users_of("a_climate-b") == set()


def test_expired_and_leaving_members(world: Site) -> None:
    site, portal, slurm = world
    portal.leave("tbalice", "climate")
    portal.member("tbalice", "climate", expiration_time="2020-01-01T00:00:00Z")
    portal.world["offering_users"][1]["state"] = "Requested deletion"
    portal.push()
    healed(site, "tbalice", "tbbob")
    assert slurm.users_of("a_climate-a") == set()


def test_capital_letters_do_not_flap(world: Site) -> None:
    site, portal, slurm = world
    portal.user("TbDave", "climate")
    healed(site, "tbdave")
    assert "tbdave" in slurm.users_of("a_climate-a")


@pytest.mark.parametrize("username", ["-rf", "root", "a b", "x,y", "é"])
def test_weird_usernames_are_refused_by_name(world: Site, username: str) -> None:
    site, portal, slurm = world
    portal.user(username, "climate", who="mallory")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert f"username {username!r}" in done.out
    assert slurm.state() == before


def test_a_leaving_member_loses_the_jobs(world: Site) -> None:
    site, portal, slurm = world
    slurm.knows("a_climate-a")
    slurm.submit("a_climate-a", "tbbob", 300)
    slurm.submit("a_climate-a", "tbalice", 300)
    portal.leave("tbbob", "climate")
    healed(site, "cancels 1 job")
    assert slurm.run("squeue", "-h", "-o", "%u").split() == ["tbalice"]


def test_a_leaving_member_is_drained(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["on_member_removal"] = "drain"
    slurm.knows("a_climate-a")
    slurm.submit("a_climate-a", "tbbob", 300)
    portal.leave("tbbob", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("a_climate-a", "MaxSubmit", "tbbob") == "0"
    assert "tbbob" not in slurm.users_of("a_climate-b"), "no job there, so removed at once"
    waiting = site("plan", "--detailed-exitcode")
    assert waiting.code == 0
    assert "draining, 1 job left" in waiting.out
    slurm.run("scancel", "-u", "tbbob")
    slurm.eventually(lambda: not slurm.run("squeue", "-h").strip(), "no job is left")
    healed(site, '"a_climate-a","tbbob"] will be destroyed')
    # and one who comes back may submit again
    portal.member("tbbob", "climate")
    healed(site, "tbbob")
    assert slurm.shown("a_climate-a", "MaxSubmit", "tbbob") == ""
