"""Members, their names, limits and homes on a real SLURM: what the agents do, and what they got wrong."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import unix
from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn, uid


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    portal.resource("one", limits={"cpu": 100})
    portal.resource("two", limits={"cpu": 7})
    portal.user("tbalice", "climate")
    portal.user("tbbob", "climate")
    applied(site)
    portal.forget()
    return site, portal, slurm


def applied(site: Program) -> str:
    """Apply, and nothing is left to do."""
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    settled = site("plan", "--detailed-exitcode")
    assert settled.code == 0, settled.both
    return done.out


def user(portal: StandIn, name: str) -> dict[str, object]:
    found: dict[str, object] = next(
        u for u in portal.world["offering_users"] if u["uuid"] == uid("offering_user", name)
    )
    return found


# ---------------------------------------------------------------------- names that change


def test_a_renamed_user_moves_in_one_plan(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("add", "user", "name=operator", "account=a_one")  # somebody whom Waldur never knew
    user(portal, "tbbob")["username"] = "tbcarol"
    portal.push()
    shown = site("plan").out
    assert 'slurm.association["a_one","tbbob"] will be destroyed' in shown
    assert 'slurm.association["a_one","tbcarol"] will be created' in shown
    assert "the person is 'tbcarol' in Waldur now" in shown
    applied(site)
    assert slurm.users_of("a_one") == {"tbalice", "tbcarol", "operator"}
    assert slurm.users_of("a_two") == {"tbalice", "tbcarol"}
    assert slurm.default_of("tbbob") == ""


def test_without_the_memory_of_earlier_runs_the_old_name_is_shown_and_left(world: Site) -> None:
    site, portal, slurm = world
    shutil.rmtree(site.directory / "state")
    user(portal, "tbbob")["username"] = "tbcarol"
    portal.push()
    assert "Waldur does not know the user tbbob" in site("plan").out
    applied(site)
    assert "tbbob" in slurm.users_of("a_one")


def test_a_memory_that_cannot_be_read_is_said_and_harms_nothing(world: Site) -> None:
    site, _portal, slurm = world
    (site.directory / "state" / "reconcile.sqlite3").write_text("this is no database" * 100)
    before = slurm.state()
    shown = site("plan")
    assert shown.code == 0, shown.both
    assert "the memory of earlier runs cannot be read" in shown.out
    assert slurm.state() == before


def test_a_user_who_left_waldur_leaves_every_account(world: Site) -> None:
    site, portal, slurm = world
    portal.world["offering_users"] = [u for u in portal.world["offering_users"] if u["username"] != "tbbob"]
    portal.push()
    portal.leave("tbbob", "climate")
    assert "no such offering user any more" in site("plan").out
    applied(site)
    assert slurm.users_of("a_one") == {"tbalice"}
    assert slurm.default_of("tbbob") == ""


def test_a_list_that_lost_most_people_is_not_believed(world: Site) -> None:
    """A token that lost a role sees fewer people, or none, with 200."""
    site, portal, slurm = world
    for number in range(8):
        portal.user(f"u{number}", "climate")
    applied(site)
    before = slurm.state()
    portal.world["offering_users"] = [u for u in portal.world["offering_users"] if u["username"] == "tbalice"]
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert "Orphans, left alone" in done.out
    assert slurm.state() == before


def test_a_blank_username_or_a_missing_row_of_a_member_takes_nobody_away(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    user(portal, "tbbob")["username"] = ""
    portal.push()
    assert "Waldur does not know the user tbbob" in site("apply", "--auto-approve").out
    assert slurm.state() == before
    portal.world["offering_users"] = [u for u in portal.world["offering_users"] if u["username"] == "tbalice"]
    portal.push()
    assert "Waldur does not know the user tbbob" in site("apply", "--auto-approve").out
    assert slurm.state() == before


@pytest.mark.parametrize("name", ["tbalice", "-rf", "root"])
def test_a_new_name_that_cannot_be_costs_nobody_the_old_one(world: Site, name: str) -> None:
    site, portal, slurm = world
    user(portal, "tbbob")["username"] = name
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "tbbob" in slurm.users_of("a_one")


def test_a_person_and_a_service_account_of_one_name_are_refused(world: Site) -> None:
    site, portal, slurm = world
    portal.world["service_accounts"] = [
        {"uuid": uid("s1"), "project_uuid": uid("project", "secret"), "username": "tbcarol", "state": "OK"}
    ]
    portal.push()
    portal.resource("theirs", project="secret")
    portal.user("tbcarol", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert slurm.users_of("a_theirs") == set()
    assert "tbcarol" not in slurm.users_of("a_one")


def test_service_accounts_that_may_not_be_read_are_not_pruned(world: Site) -> None:
    site, portal, slurm = world
    portal.world["service_accounts"] = [
        {"uuid": uid("s1"), "project_uuid": uid("project", "climate"), "username": "svc", "state": "OK"}
    ]
    portal.push()
    applied(site)
    site.document["reconcile"]["prune"] = True
    portal.faults({"path": "service-accounts", "status": 403, "times": 9})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert "this token may not read it" in done.out
    assert "svc" in slurm.users_of("a_one")


def test_a_username_with_capitals_does_not_flap(world: Site) -> None:
    site, portal, _slurm = world
    user(portal, "tbbob")["username"] = "TbBob"
    portal.push()
    settled = site("plan", "--detailed-exitcode")
    assert settled.code == 0, settled.both


# ---------------------------------------------------------------------- service and course accounts


def test_service_and_course_accounts_are_kept_and_do_not_flap(world: Site) -> None:
    site, portal, slurm = world
    project = uid("project", "climate")
    portal.world["service_accounts"] = [
        {"uuid": uid("s1"), "project_uuid": project, "username": "Svc-Robot", "state": "OK", "token": "s3cret-token"},
        {"uuid": uid("s2"), "project_uuid": uid("project", "other"), "username": "svc-other", "state": "OK"},
    ]
    portal.world["course_accounts"] = [
        {"uuid": uid("c1"), "project_uuid": project, "username": "course1", "state": "OK"}
    ]
    portal.push()
    out = applied(site)
    assert "s3cret" not in out
    assert "token" not in "".join(e["query"] for e in portal.log() if "service-accounts" in e["path"])
    assert slurm.users_of("a_one") == {"tbalice", "tbbob", "svc-robot", "course1"}
    # restricted: nobody stays, and nobody is added back
    portal.edit("one", restrict_member_access=True)
    applied(site)
    assert slurm.users_of("a_one") == set()
    portal.edit("one", restrict_member_access=False)
    portal.world["service_accounts"][0]["state"] = "Closed"
    portal.world["course_accounts"].clear()
    portal.push()
    applied(site)
    # closed ones go; a name that vanished altogether is nobody's: shown, and left
    assert slurm.users_of("a_one") == {"tbalice", "tbbob"}


# ---------------------------------------------------------------------- limits of single members


def limit(portal: StandIn, resource: str, who: str, component: str, amount: str) -> None:
    portal.world.setdefault("user_limits", []).append(
        {
            "uuid": uid("limit", resource, who),
            "resource": f"http://waldur/api/marketplace-resources/{uid('resource', resource)}/",
            "user": f"http://waldur/api/marketplace-offering-users/{uid('offering_user', who)}/",
            "component_type": component,
            "limit": amount,
        }
    )
    portal.push()


def test_limits_of_members_are_set_and_cleared(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "user", "where", "name=tbbob", "account=a_one", "set", "MaxTRESMins=node=5")
    limit(portal, "one", "tbalice", "cpu", "2.50")
    applied(site)
    assert slurm.shown("a_one", "MaxTRESMins", "tbalice") == "cpu=150000"
    assert slurm.shown("a_two", "MaxTRESMins", "tbalice") == ""
    assert slurm.shown("a_one", "MaxTRESMins", "tbbob") == "node=5"  # not of a component: the operator's
    portal.world["user_limits"].clear()
    portal.push()
    applied(site)
    assert slurm.shown("a_one", "MaxTRESMins", "tbalice") == ""


def test_an_older_server_knows_nothing_of_all_this(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "user", "where", "name=tbbob", "account=a_one", "set", "MaxTRESMins=cpu=5")
    portal.world["version"] = "7.0.7"
    for resource in portal.world["resources"]:
        portal.order(resource["name"], "Create", "done", project_slug="climate", customer_slug="nordic")
    portal.push()
    portal.edit("one", limits={"cpu": 8})
    assert applied(site).count("before version 8") == 1
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=480000"
    assert slurm.shown("a_one", "MaxTRESMins", "tbbob") == "cpu=5"
    asked = [e["path"] for e in portal.log()]
    assert not any("refresh_last_sync" in p or "set_state_ok" in p or "usage-limits" in p for p in asked)


# ---------------------------------------------------------------------- what Waldur is told


def test_what_is_equal_is_not_told_again(world: Site) -> None:
    site, portal, _ = world
    applied(site)
    assert portal.writes() == []


def test_a_hand_made_limit_never_reaches_waldur(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=9999999")
    applied(site)
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=6000000"
    assert portal.found("resource", "one")["limits"] == {"cpu": 100}
    assert "resource/set_limits" not in portal.writes()


def test_the_cluster_may_own_limits_where_the_site_says_so(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["limits_owner"] = "cluster"
    slurm.sacctmgr("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=cpu=90000")
    shown = site("plan").out
    assert '"cpu=100" -> "cpu=1.5"' in shown
    applied(site)
    assert slurm.shown("a_one", "GrpTRESMins") == "cpu=90000"
    assert portal.found("resource", "one")["limits"] == {"cpu": 1.5}


def test_an_erred_resource_whose_account_is_fine_is_ok_again(world: Site) -> None:
    site, portal, _ = world
    portal.edit("one", state="Erred", error_message="sacctmgr: old trouble")
    applied(site)
    assert portal.writes() == ["resource/set_state_ok"]
    assert portal.found("resource", "one")["state"] == "OK"
    assert portal.found("resource", "one")["error_message"] == ""


def test_a_resource_whose_account_cannot_be_made_is_erred_until_it_can(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("three", backend_id="a_three", limits={"cpu": "lots"})
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    resource = portal.found("resource", "three")
    assert resource["state"] == "Erred"
    assert "provider can see why" in resource["error_message"]
    portal.forget()
    assert site("apply", "--auto-approve").code == 4
    assert portal.writes() == []  # said once
    portal.edit("three", limits={"cpu": 3})
    applied(site)
    assert portal.found("resource", "three")["state"] == "OK"
    assert slurm.shown("a_three", "GrpTRESMins") == "cpu=180000"


def test_the_last_sync_is_told_once_a_day(world: Site) -> None:
    site, portal, _ = world
    portal.edit("one", last_sync="2026-01-01T00:00:00.123456Z")
    portal.edit("two", last_sync=None)
    applied(site)
    assert portal.writes() == ["resource/refresh_last_sync"] * 2
    portal.edit("one", last_sync="2026-01-01T00:00:00Z")
    site.document["reconcile"]["last_sync_hours"] = 0
    assert site("plan", "--detailed-exitcode").code == 0


def test_metadata_of_others_stays(world: Site) -> None:
    site, portal, _ = world
    portal.edit("one", backend_metadata={"theirs": {"x": 1}, "qos": "wrong"})
    applied(site)
    assert portal.found("resource", "one")["backend_metadata"] == {
        "theirs": {"x": 1}, "qos": "normal", "fairshare": 1, "limits": {"cpu": 6000000},
    }  # fmt: skip


# ---------------------------------------------------------------------- modes


def test_modes_select_parts_of_the_plan(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("new", state="Creating", limits={"cpu": 1})
    portal.order("new", "Create", "pending-provider")
    portal.user("tbcarol", "climate")
    portal.edit("two", limits={"cpu": 9})
    assert site("apply", "--auto-approve", "--mode", "membership_sync").code == 0
    assert "a_new" not in slurm.accounts()
    assert slurm.users_of("a_one") == {"tbalice", "tbbob", "tbcarol"}
    assert slurm.shown("a_two", "GrpTRESMins") == "cpu=540000"
    assert portal.found("order", "new", "Create")["state"] == "pending-provider"
    portal.leave("tbcarol", "climate")
    assert site("apply", "--auto-approve", "--mode", "order_process").code == 0
    assert portal.found("order", "new", "Create")["state"] == "done"
    assert slurm.users_of("a_new") == {"tbalice", "tbbob"}
    assert "tbcarol" in slurm.users_of("a_one")
    applied(site)
    assert "tbcarol" not in slurm.users_of("a_one")


# ---------------------------------------------------------------------- usernames


def requested(portal: StandIn, who: str, first: str, last: str, **more: object) -> None:
    portal.user("", "climate", who=who, state="Requested", user_first_name=first, user_last_name=last, **more)


def test_people_get_a_name_and_their_access_in_one_apply(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["username_management_backend"] = "generator"
    requested(portal, "w1", "Õie", "Groß")
    requested(portal, "w2", "Otto", "Gross")
    shown = site("plan").out
    assert '~ username = (none) -> "ogross' in shown
    assert portal.writes() == []
    applied(site)
    names = {user(portal, w)["username"] for w in ("w1", "w2")}
    assert names == {"ogross", "ogross2"}
    assert {user(portal, w)["state"] for w in ("w1", "w2")} == {"OK"}
    assert slurm.users_of("a_one") == {"tbalice", "tbbob", "ogross", "ogross2"}
    assert sorted(portal.writes()) == ["offering_user/begin_creating"] * 2 + ["offering_user/patch"] * 2


def test_a_name_of_the_head_node_belongs_to_somebody(world: Site) -> None:
    site, portal, _slurm = world
    site.document["offerings"][0]["username_management_backend"] = "generator"
    site.document["reconcile"]["usernames"] = {"pattern": "{last_name}"}
    requested(portal, "w1", "Eve", "Tbcarol")  # tbcarol is in passwd, and nobody's in Waldur
    applied(site)
    assert user(portal, "w1")["username"] == "tbcarol2"


def test_somebody_without_a_usable_name_is_told(world: Site) -> None:
    site, portal, _ = world
    site.document["offerings"][0]["username_management_backend"] = "generator"
    requested(portal, "w1", "", "", user_full_name="", user_email="", user_username="")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert user(portal, "w1")["state"] == "Error creating"


def test_a_name_that_could_not_be_written_gives_no_access(world: Site) -> None:
    site, portal, slurm = world
    site.document["offerings"][0]["username_management_backend"] = "generator"
    requested(portal, "w1", "Otto", "Gross")
    portal.faults({"path": "/api/marketplace-offering-users/[0-9a-f]+/\\\\?", "status": 500})
    assert site("apply", "--auto-approve").code == 1
    assert slurm.users_of("a_one") == {"tbalice", "tbbob"}
    portal.faults()
    applied(site)
    assert slurm.users_of("a_one") == {"tbalice", "tbbob", "ogross"}


# ---------------------------------------------------------------------- home directories


@pytest.fixture
def people() -> Iterator[tuple[str, ...]]:
    """Two real users of this host without homes, of names that no other test has."""
    names = (f"rc{secrets.token_hex(4)}", f"rc{secrets.token_hex(4)}")
    for name in names:
        unix.add(name, "-N", "-d", f"/home/{name}")
    yield names
    for name in names:
        unix.remove(name)
        shutil.rmtree(f"/home/{name}", ignore_errors=True)


def test_members_get_homes_and_only_their_own(world: Site, people: tuple[str, ...], tmp_path: Path) -> None:
    site, portal, _slurm = world
    settings = site.document["offerings"][0]["backend_settings"]
    settings |= {"enable_user_homedir_account_creation": True, "homedir_umask": "0700"}
    for name in ("tbalice", "tbbob"):  # the testbed's users share /tmp as their home
        portal.leave(name, "climate")
    for name in people:
        portal.user(name, "climate")
    portal.user("nobody-here", "climate")
    Path(f"/home/{people[1]}").mkdir(mode=0o711)
    os.chown(f"/home/{people[1]}", 0, 0)  # somebody else's
    shown = site("plan")
    assert f'host.homedir["{people[0]}"] will be created' in shown.out
    assert "unknown to this host" in shown.out
    assert "nobody-here" in shown.out
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "belongs to uid 0" in done.out
    home = Path(f"/home/{people[0]}").stat()
    assert (home.st_uid, home.st_mode & 0o7777) == (pwd.getpwnam(people[0]).pw_uid, 0o700)
    assert Path(f"/home/{people[1]}").stat().st_uid == 0
    # a mode that the agents' umask made is mended, the owner's own choice is not touched
    Path(f"/home/{people[0]}").chmod(0o077)
    os.chown(f"/home/{people[1]}", pwd.getpwnam(people[1]).pw_uid, -1)
    applied(site)
    assert Path(f"/home/{people[0]}").stat().st_mode & 0o7777 == 0o700
    assert Path(f"/home/{people[1]}").stat().st_mode & 0o7777 == 0o711
    # nobody's home goes when he does
    portal.leave(people[0], "climate")
    applied(site)
    assert Path(f"/home/{people[0]}").exists()


def test_homes_below_a_base_of_ones_own(world: Site, people: tuple[str, ...]) -> None:
    site, portal, _ = world
    base = Path("/srv/reconcile-homes")
    shutil.rmtree(base, ignore_errors=True)
    settings = site.document["offerings"][0]["backend_settings"]
    settings |= {"enable_user_homedir_account_creation": True, "homedir_base_path": str(base)}
    portal.user(people[0], "climate")
    portal.user(people[1], "elsewhere")
    try:
        unmounted = site("apply", "--auto-approve")
        assert unmounted.code == 4, unmounted.both
        assert "Is its file system mounted?" in unmounted.out
        assert not base.exists()
        base.mkdir(mode=0o755)
        applied(site)
        assert (base / people[0]).stat().st_uid == pwd.getpwnam(people[0]).pw_uid
        assert {p.name for p in base.iterdir()} >= {people[0]}
    finally:
        shutil.rmtree(base, ignore_errors=True)
