"""Plan, apply and diagnose on a real SLURM, from a portal over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn, uid

Site = tuple[Program, StandIn, Slurm]


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """Two allocations of one project, three people; applied."""
    portal.resource("climate-a", limits={"cpu": 100})
    portal.resource("Climate-B", slug="Climate-B", limits={"cpu": 7})
    for name in ("tbalice", "tbbob"):
        portal.user(name, "climate")
    portal.user("tbcarol", "fusion")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site, portal, slurm


def settled(site: Program) -> None:
    """Nothing is left to do."""
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, done.both
    assert "No changes. Your cluster matches Waldur." in done.out


def healed(site: Program, *expected: str) -> None:
    """The plan names the drift, an apply mends it, and then nothing is left."""
    shown = site("plan", "--detailed-exitcode")
    assert shown.code == 2, shown.both
    for text in expected:
        assert text in shown.out, shown.out
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    settled(site)


def test_from_nothing(world: Site) -> None:
    site, _, slurm = world
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "a_climate-a", "a_climate-b"}
    assert slurm.shown("c_nordic", "ParentName") == "root"
    assert slurm.shown("p_climate", "ParentName") == "c_nordic"
    assert slurm.shown("a_climate-b", "ParentName") == "p_climate"
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=6000000"
    assert slurm.users_of("a_climate-a") == {"tbalice", "tbbob"}
    assert slurm.texts("a_climate-b") == "climate-b|p_climate"
    assert slurm.texts("c_nordic") == "nordic|c_nordic"
    # no association with root, which would bypass every limit
    assert slurm.users_of("root") == {"root"}
    assert slurm.default_of("tbalice") in ("a_climate-a", "a_climate-b")
    settled(site)


def test_a_plan_changes_nothing(site: Program, portal: StandIn, slurm: Slurm) -> None:
    portal.resource("climate-a")
    before = slurm.state()
    done = site("plan")
    assert done.code == 0
    assert 'slurm.account["a_climate-a"] will be created' in done.out
    assert "Plan: 3 to add, 1 to change, 0 to destroy." in done.out  # the change: Waldur is told
    assert slurm.state() == before


def test_many_at_once_by_load(site: Program, portal: StandIn, slurm: Slurm) -> None:
    """A first apply of a big site is one `load`; existing rights and settings stay."""
    slurm.sacctmgr("add", "account", "name=staff", "cluster=testbed")
    slurm.sacctmgr("add", "user", "name=u3", "account=staff", "AdminLevel=Operator")
    for number in range(20):
        portal.resource(f"R {number}: x, y (z) #1", slug=f"r{number}", project=f"p{number % 4}", limits={"cpu": number})
    for number in range(40):
        portal.user(f"u{number}", f"p{number % 4}")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    settled(site)
    assert slurm.texts("a_r7") == "r 7: x, y (z) 1|p_p3"
    assert slurm.shown("a_r7", "GrpTRESMins") == "cpu=420000"
    assert len(slurm.users_of("a_r7")) == 10
    assert len(slurm.users_of("staff")) == 1
    assert "u3|staff|Operator" in slurm.run("sacctmgr", "-nP", "show", "user", "format=User,DefaultAccount,Admin")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (("modify", "account", "where", "name=a_climate-a", "set", "GrpTRESMins=cpu=1"), "grp_tres_mins"),
        (("modify", "account", "where", "name=a_climate-a", "set", "GrpTRESMins=cpu=-1"), "grp_tres_mins"),
        (("modify", "account", "where", "name=a_climate-a", "set", "GrpTRESMins=node=5,mem=9"), "grp_tres_mins"),
        (("modify", "account", "where", "name=a_climate-a", "set", "qos=slowdown"), "qos"),
        (("modify", "account", "where", "name=a_climate-a", "set", "qos=normal,paused"), "qos"),
        (("modify", "account", "where", "name=a_climate-a", "set", "parent=root"), "parent"),
        (("modify", "account", "where", "name=p_climate", "set", "parent=root"), "parent"),
        (("modify", "account", "where", "name=a_climate-a", "set", "description=my text"), "description"),
        (("modify", "account", "where", "name=a_climate-a", "set", "description=a|b\nc"), "description"),
        (("modify", "account", "where", "name=c_nordic", "set", "organization=acme"), "organization"),
        (("modify", "account", "where", "name=a_climate-a", "set", "fairshare=9"), "fairshare"),
        (("remove", "user", "where", "name=tbbob", "account=a_climate-a"), "tbbob"),
        (("add", "user", "name=tbcarol", "account=a_climate-a"), "tbcarol"),
        (("remove", "user", "where", "name=tbalice,tbbob"), "tbalice"),
    ],
    ids=lambda v: v if isinstance(v, str) else v[-1],
)
def test_each_drift_is_seen_and_healed(world: Site, command: tuple[str, ...], field: str) -> None:
    site, _, slurm = world
    site.document["reconcile"]["fairshare"] = 4
    assert site("apply", "--auto-approve").code == 0
    before = sorted(line.rsplit("|", 1)[0] for line in slurm.state().splitlines())
    slurm.sacctmgr(*command)
    healed(site, field)
    # the same rows again; only the ids of what was made anew differ
    after = sorted(line.rsplit("|", 1)[0] for line in slurm.state().splitlines())
    # whose default account it is may be another of the user's own
    assert [r for r in after if not r.startswith("tb")] == [r for r in before if not r.startswith("tb")]


def test_a_removed_subtree_is_made_again(world: Site) -> None:
    """Removing a parent drops its subtree but leaves the records of the children, which look alive."""
    site, _, slurm = world
    slurm.sacctmgr("remove", "user", "where", "name=tbalice,tbbob")
    slurm.sacctmgr("remove", "account", "where", "name=c_nordic")
    assert "a_climate-a" in slurm.run("sacctmgr", "-nP", "show", "account", "format=Account")
    assert slurm.accounts() == {"root"}
    healed(site, 'slurm.account["a_climate-a"] will be created')
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=6000000"


def test_default_account_root_is_healed(world: Site) -> None:
    """Older agents made it; the association with root is shown, as it bypasses every limit."""
    site, _, slurm = world
    slurm.sacctmgr("add", "user", "name=tbalice", "account=root")
    slurm.sacctmgr("modify", "user", "where", "name=tbalice", "set", "DefaultAccount=root")
    healed(site, 'slurm.user["tbalice"]', "bypasses every limit")
    assert slurm.default_of("tbalice").startswith("a_climate")


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


def test_project_moves_to_another_customer(world: Site) -> None:
    site, portal, slurm = world
    for name in ("climate-a", "Climate-B"):
        portal.edit(name, customer_uuid=uid("customer", "baltic"), customer_slug="baltic", customer_name="Baltic")
    portal.world["projects"].append({"uuid": uid("p"), "slug": "old", "customer_slug": "nordic"})
    portal.push()
    healed(site, 'slurm.account["c_baltic"] will be created', "parent")
    assert slurm.shown("p_climate", "ParentName") == "c_baltic"
    assert slurm.users_of("a_climate-a") == {"tbalice", "tbbob"}
    # its former customer holds nothing and was made by us
    assert "c_nordic" not in slurm.accounts()


def test_one_allocation_ends_and_its_siblings_stay(world: Site) -> None:
    """The subtree trap: a capital letter in a slug must not make the project look empty."""
    site, portal, slurm = world
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    healed(site, 'slurm.account["a_climate-a"] will be destroyed', "is Terminated in Waldur")
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "a_climate-b"}
    assert slurm.users_of("a_climate-b") == {"tbalice", "tbbob"}


def test_the_last_allocation_takes_its_project_and_customer_along(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("other", customer="elsewhere", project="else")
    assert site("apply", "--auto-approve").code == 0
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    portal.edit("Climate-B", state="Terminated", backend_id="a_climate-b")
    healed(site, 'slurm.account["c_nordic"] will be destroyed')
    assert slurm.accounts() == {"root", "c_elsewhere", "p_else", "a_other"}


def test_an_interrupted_removal_is_finished(world: Site) -> None:
    """Killed after the allocations: project and customer are empty, and known to the portal."""
    site, portal, slurm = world
    portal.resource("other", customer="elsewhere", project="else")
    assert site("apply", "--auto-approve").code == 0
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    portal.edit("Climate-B", state="Terminated", backend_id="a_climate-b")
    real = slurm.run("which", "sacctmgr").strip()
    deadly = site.directory / "bin"
    deadly.mkdir()
    (deadly / "sacctmgr").write_text(
        f'#!/bin/sh\n{real} "$@"; code=$?\ncase "$*" in *"remove account"*) kill -9 $PPID;; esac\nexit $code\n'
    )
    (deadly / "sacctmgr").chmod(0o755)
    assert site.process("apply", "--auto-approve", PATH=f"{deadly}:{os.environ['PATH']}").code == -9
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "c_elsewhere", "p_else", "a_other"}
    healed(site, 'slurm.account["p_climate"] will be destroyed')
    assert slurm.accounts() == {"root", "c_elsewhere", "p_else", "a_other"}


def test_an_account_waldur_does_not_know_is_an_orphan(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("climate-c")
    assert site("apply", "--auto-approve").code == 0
    slurm.sacctmgr("add", "account", "name=a_ghost", "parent=p_climate")
    slurm.sacctmgr("add", "user", "name=stranger", "account=a_climate-a")
    done = site("plan", "--detailed-exitcode")
    assert done.code == 0, "orphans are no changes"
    assert 'slurm.account["a_ghost"]  no Waldur resource names this account' in done.out
    assert 'slurm.association["a_climate-a","stranger"]  Waldur does not know the user stranger' in done.out
    site.document["reconcile"]["prune"] = True
    healed(site, 'slurm.account["a_ghost"] will be destroyed')
    assert "a_ghost" not in slurm.accounts()
    assert "stranger" not in slurm.users_of("a_climate-a")


def test_what_is_not_ours_is_untouched(world: Site) -> None:
    site, portal, slurm = world
    slurm.sacctmgr("add", "account", "name=staff", "fairshare=50", "GrpTRESMins=cpu=1")
    slurm.sacctmgr("add", "user", "name=tbcarol,opera", "account=staff")
    slurm.sacctmgr("add", "account", "name=p_own", "parent=root", "description=operators own")
    before = slurm.state()
    settled(site)
    portal.member("tbcarol", "climate")
    assert site("apply", "--auto-approve").code == 0
    portal.leave("tbcarol", "climate")
    assert site("apply", "--auto-approve").code == 0
    kept = [r for r in before.splitlines() if "staff" in r or "p_own" in r or "opera" in r]
    assert set(kept) <= set(slurm.state().splitlines())
    assert slurm.default_of("tbcarol") == "staff"


@pytest.mark.parametrize(
    "slug", ["a b", "a,b", "a'b", 'a"b', "a=b", "a|b", "é", "a\tb", "x" * 300, "a\nb", "$(id)", "a;b"]
)
def test_weird_names_are_refused_by_name(world: Site, slug: str) -> None:
    site, portal, slurm = world
    portal.resource("weird", slug=slug)
    portal.edit("Climate-B", limits={"cpu": 9})
    accounts = slurm.accounts()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert 'resource "weird": allocation account' in done.out
    assert slurm.accounts() == accounts
    assert slurm.shown("a_climate-b", "GrpTRESMins") == "cpu=540000"


@pytest.mark.parametrize("username", ["-rf", "root", "a b", "x,y", "é"])
def test_weird_usernames_are_refused_by_name(world: Site, username: str) -> None:
    site, portal, slurm = world
    portal.user(username, "climate", who="mallory")
    before = slurm.state()
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert f"username {username!r}" in done.out
    assert slurm.state() == before


def test_names_that_meet_are_refused_both(world: Site) -> None:
    site, portal, slurm = world
    portal.resource("one", slug="same", project="x1")
    portal.resource("two", slug="SAME", project="x2")
    portal.resource("three", backend_id="c_nordic", project="x3")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    for name in ("one", "two", "three"):
        assert f'resource "{name}": account name' in done.out
    assert "a_same" not in slurm.accounts()
    assert slurm.users_of("a_climate-a") == {"tbalice", "tbbob"}, "accounts of refused resources are left alone"


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


# ---------------------------------------------------------------------- when something is broken


def refused(site: Program, slurm: Slurm, *words: str) -> None:
    """An error that says what, and no plan; the cluster as it was."""
    for command in (("plan", "--detailed-exitcode"), ("apply", "--auto-approve")):
        done = site(*command)
        assert done.code == 1, done.both
        assert any(w in done.err for w in words), done.err
        assert "Plan:" not in done.out


def test_slurmdbd_down(world: Site) -> None:
    site, _, slurm = world
    slurm.stop("slurmdbd")
    refused(site, slurm, "slurmdbd is not running")


@pytest.mark.parametrize("table", ["testbed_assoc_table", "user_table", "acct_table", "qos_table"])
def test_a_missing_table_is_an_error_and_no_empty_cluster(world: Site, table: str) -> None:
    """SLURM answers a failed query with exit code 0 and no rows."""
    site, _, slurm = world
    slurm.sql(f"rename table {table} to hidden;")
    try:
        refused(site, slurm, "printed nothing", "missing", "exit code 1", "no QoS", "no row for")
    finally:
        slurm.sql(f"rename table hidden to {table};")
        slurm.restart("slurmdbd")
    settled(site)


def test_munge_down(world: Site) -> None:
    site, _, slurm = world
    slurm.stop("munged")
    refused(site, slurm, "munged is not running")


def test_an_unprivileged_caller_gets_an_error_and_no_filtered_world(world: Site, tmp_path: Path) -> None:
    site, _, slurm = world
    conf = slurm.directory / "etc" / "daemons" / "slurmdbd.conf"
    original = conf.read_text()
    conf.write_text(original + "PrivateData=accounts,users,usage,jobs\n")
    slurm.restart("slurmdbd")
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    (wrapper / "sacctmgr").write_text('#!/bin/sh\nexec setpriv --reuid=tbalice --clear-groups /usr/bin/sacctmgr "$@"\n')
    (wrapper / "sacctmgr").chmod(0o755)
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(wrapper)
    try:
        refused(site, slurm, "filtered view", "permission denied", "missing")
    finally:
        conf.write_text(original)
        slurm.restart("slurmdbd")


def test_the_portal_fails(world: Site) -> None:
    site, portal, slurm = world
    before = slurm.state()
    site.document["reconcile"]["http_retries"] = 0
    portal.faults(
        {"path": "permissions", "status": 502, "body": "<html><title>502 Bad Gateway</title></html>", "times": 9}
    )
    refused(site, slurm, "HTTP 502: 502 Bad Gateway")
    assert slurm.state() == before


# ---------------------------------------------------------------------- guards


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


def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came true")


def submit(slurm: Slurm, user: str, account: str) -> None:
    script = (
        "setpriv --reuid=$(id -u {u}) --regid=$(id -g {u}) --clear-groups "
        "sbatch -D /tmp -o /dev/null -A {a} --wrap='sleep 300'"
    )
    done = subprocess.run(
        ["sh", "-c", script.format(u=user, a=account)],
        env={**slurm.base, **slurm.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def wait_for_association(slurm: Slurm, account: str) -> None:
    until(lambda: f"Account={account}" in slurm.run("scontrol", "show", "assoc_mgr", "flags=assoc"))


def test_running_jobs_hold_an_account_until_allowed(world: Site) -> None:
    site, portal, slurm = world
    wait_for_association(slurm, "a_climate-a")
    submit(slurm, "tbalice", "a_climate-a")
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "1 jobs are running or waiting (reconcile.guards.delete_with_jobs, or --allow delete_with_jobs)" in done.out
    # nothing is cancelled, but nobody may go on: the one with a job may submit no more, the other is out
    assert slurm.run("squeue", "-h", "-o", "%u").split() == ["tbalice"]
    assert slurm.users_of("a_climate-a") == {"tbalice"}
    assert slurm.shown("a_climate-a", "MaxSubmit", "tbalice") == "0"
    done = site("apply", "--auto-approve", "--allow", "delete_with_jobs", "--allow", "delete_with_usage")
    assert done.code == 0, done.both
    assert "a_climate-a" not in slurm.accounts()
    settled(site)


def test_a_leaving_member_loses_the_jobs(world: Site) -> None:
    site, portal, slurm = world
    wait_for_association(slurm, "a_climate-a")
    submit(slurm, "tbbob", "a_climate-a")
    submit(slurm, "tbalice", "a_climate-a")
    portal.leave("tbbob", "climate")
    healed(site, "cancels 1 job")
    assert slurm.run("squeue", "-h", "-o", "%u").split() == ["tbalice"]


def test_a_leaving_member_is_drained(world: Site) -> None:
    site, portal, slurm = world
    site.document["reconcile"]["on_member_removal"] = "drain"
    wait_for_association(slurm, "a_climate-a")
    submit(slurm, "tbbob", "a_climate-a")
    portal.leave("tbbob", "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.shown("a_climate-a", "MaxSubmit", "tbbob") == "0"
    assert "tbbob" not in slurm.users_of("a_climate-b"), "no job there, so removed at once"
    waiting = site("plan", "--detailed-exitcode")
    assert waiting.code == 0
    assert "draining, 1 job left" in waiting.out
    slurm.run("scancel", "-u", "tbbob")
    until(lambda: not slurm.run("squeue", "-h").strip())
    healed(site, '"a_climate-a","tbbob"] will be destroyed')
    # and one who comes back may submit again
    portal.member("tbbob", "climate")
    healed(site, "tbbob")
    assert slurm.shown("a_climate-a", "MaxSubmit", "tbbob") == ""


def test_usage_in_this_month_holds_the_account_but_not_its_members(world: Site) -> None:
    site, portal, slurm = world
    wait_for_association(slurm, "a_climate-a")
    submit(slurm, "tbalice", "a_climate-a")
    until(lambda: slurm.run("squeue", "-h", "-t", "R", "-o", "%M").strip() not in ("", "0:00", "0:01"))
    slurm.run("scancel", "-u", "tbalice")
    until(lambda: not slurm.run("squeue", "-h").strip())
    until(lambda: slurm.run("sacct", "-aXnP", "-A", "a_climate-a", "-o", "ElapsedRaw").strip() not in ("", "0"))
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "delete_with_usage" in done.out
    assert slurm.users_of("a_climate-a") == set()
    assert "a_climate-a" in slurm.accounts()


def test_one_apply_at_a_time(world: Site) -> None:
    from reconciler.store.locks import cluster_lock

    site, portal, _ = world
    portal.edit("climate-a", limits={"cpu": 2})
    with cluster_lock(site.directory / "state", "testbed"):
        done = site("apply", "--auto-approve")
    assert done.code == 1
    assert "another apply is running: process" in done.err
    assert site("apply", "--auto-approve").code == 0


# ---------------------------------------------------------------------- saved plans


def test_a_saved_plan_is_applied_or_stale(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", limits={"cpu": 3})
    portal.edit("Climate-B", limits={"cpu": 4})
    saved = tmp_path / "p.plan"
    assert site("plan", "--out", str(saved)).code == 0
    assert oct(saved.stat().st_mode & 0o777) == "0o600"
    slurm.sacctmgr("modify", "account", "where", "name=a_climate-a", "set", "fairshare=77")
    before = slurm.state()
    done = site("apply", str(saved))
    assert done.code == 1
    assert "Saved plan is stale" in done.err
    assert 'slurm.account["a_climate-a"]' in done.err
    assert "a_climate-b" not in done.err
    assert slurm.state() == before
    assert site("plan", "--out", str(saved)).code == 0
    assert site("apply", str(saved)).code == 0
    assert slurm.shown("a_climate-b", "GrpTRESMins") == "cpu=240000"
    settled(site)


def test_target(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", limits={"cpu": 3})
    portal.edit("Climate-B", limits={"cpu": 4})
    done = site("apply", "--auto-approve", "--target", "slurm.account[*-b]")
    assert done.code == 0, done.both
    assert slurm.shown("a_climate-b", "GrpTRESMins") == "cpu=240000"
    assert slurm.shown("a_climate-a", "GrpTRESMins") == "cpu=6000000"


def test_the_script_does_what_apply_does(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.resource("new one", slug="new-one", project="fusion", limits={"cpu": 1})
    portal.leave("tbbob", "climate")
    portal.edit("climate-a", paused=True)
    script = site("plan", "--script").out
    path = tmp_path / "plan.sh"
    path.write_text(script)
    slurm.run("sh", str(path))
    left = site("plan", "--json").out
    assert {c["type"] for c in json.loads(left)["resource_changes"]} == {"waldur.resource"}  # no command tells Waldur
    healed(site)


# ---------------------------------------------------------------------- diagnose


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


# ---------------------------------------------------------------------- fallbacks and costs


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


def test_flat_hierarchy(site: Program, portal: StandIn, slurm: Slurm) -> None:
    slurm.sacctmgr("add", "account", "name=waldur")
    site.document["offerings"][0]["backend_settings"]["parent_account"] = "waldur"
    portal.resource("climate-a")
    portal.user("tbalice", "climate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "waldur", "p_climate", "a_climate-a"}
    assert slurm.shown("p_climate", "ParentName") == "waldur"
    settled(site)


def test_a_steady_cycle_costs_five_processes_and_few_requests(site: Program, portal: StandIn, slurm: Slurm) -> None:
    """The targets at 100 accounts with 10 users each: 5 processes, 30 requests, no write."""
    from tests.bench.live import fill

    fill(portal, 100)
    assert site("apply", "--auto-approve").code == 0
    log = slurm.directory / "sacctmgr.log"
    counted = slurm.directory / "bin"
    counted.mkdir(exist_ok=True)
    for program in ("sacctmgr", "squeue", "sacct", "scancel"):
        (counted / program).write_text(f'#!/bin/sh\necho "{program} $*" >> {log}\nexec /usr/bin/{program} "$@"\n')
        (counted / program).chmod(0o755)
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(counted)
    portal.forget()
    settled(site)
    commands = log.read_text().splitlines()
    assert len(commands) <= 5
    assert all(c.startswith("sacctmgr -P show ") for c in commands)
    requests = portal.log()
    assert len(requests) <= 30
    assert {r["method"] for r in requests} == {"GET"}
    log.unlink()


# ---------------------------------------------------------------------- what has hurt, or nearly


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


def failing(site: Program, slurm: Slurm, word: str) -> None:
    """A sacctmgr that does everything but one thing."""
    directory = slurm.directory / "failing"
    directory.mkdir(exist_ok=True)
    body = f'case "$*" in *{word}*) echo "refused for the test"; exit 1;; esac; exec /usr/bin/sacctmgr "$@"'
    (directory / "sacctmgr").write_text(f"#!/bin/sh\n{body}\n")
    (directory / "sacctmgr").chmod(0o755)
    for program in ("squeue", "sacct", "scancel"):
        link = directory / program
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/bin/{program}")
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(directory)


def test_a_move_that_fails_keeps_the_old_parent(world: Site) -> None:
    """Deleting a parent takes along what still hangs on it."""
    site, portal, slurm = world
    portal.resource("other", customer="elsewhere", project="else")
    assert site("apply", "--auto-approve").code == 0
    for name in ("climate-a", "Climate-B"):
        portal.edit(name, customer_uuid=uid("customer", "baltic"), customer_slug="baltic", customer_name="Baltic")
    failing(site, slurm, "parent=c_baltic")
    # the projects' list still knows the former customer, so its account would go
    portal.world["projects"].append({"uuid": uid("x"), "slug": "x", "customer_slug": "nordic"})
    portal.push()
    done = site("apply", "--auto-approve")
    assert done.code == 1, done.both
    assert "would go along" in done.out
    assert slurm.users_of("a_climate-a") == {"tbalice", "tbbob"}
    assert slurm.shown("p_climate", "ParentName") == "c_nordic"


def test_what_came_after_a_saved_plan_is_not_taken_along(world: Site, tmp_path: Path) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    saved = tmp_path / "p.plan"
    assert site("plan", "--out", str(saved)).code == 0
    slurm.sacctmgr("add", "account", "name=lab", "parent=a_climate-a")
    done = site("apply", str(saved))
    assert done.code == 1, done.both
    assert 'slurm.account["lab"] is still there and would go along' in done.out
    assert {"lab", "a_climate-a"} <= slurm.accounts()


@pytest.mark.parametrize(
    "name", ["你好", "emoji 🚀 über", "Ünï", "= leading", "  many   blanks ", "tab\there", "q'q\"q`q"]
)
def test_texts_beyond_the_databases_charset_do_not_flap(
    site: Program, portal: StandIn, slurm: Slurm, name: str
) -> None:
    portal.resource("r", project_name=name, customer_name=name)
    assert site("apply", "--auto-approve").code == 0
    settled(site)


def test_a_name_that_comes_back_gets_its_new_texts(world: Site) -> None:
    """Removing an account leaves its record, with the old description."""
    site, portal, slurm = world
    portal.resource("third", project="fusion")
    assert site("apply", "--auto-approve").code == 0
    portal.edit("third", state="Terminated", backend_id="a_third")
    assert site("apply", "--auto-approve").code == 0
    assert "a_third" not in slurm.accounts()
    portal.edit("third", state="OK", name="Third reborn")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    assert slurm.texts("a_third") == "third reborn|p_fusion"
    settled(site)


def test_an_ended_resource_without_backend_id_is_found_by_its_slug(world: Site) -> None:
    site, portal, slurm = world
    portal.edit("climate-a", state="Terminated")
    healed(site, 'slurm.account["a_climate-a"] will be destroyed')
    assert "a_climate-a" not in slurm.accounts()


def test_a_resource_in_creation_keeps_its_account(world: Site) -> None:
    """Somebody is making it just now: it is neither an orphan nor to be pruned, nor are its containers."""
    site, portal, slurm = world
    site.document["reconcile"]["prune"] = True
    portal.edit("climate-a", state="Creating")
    portal.edit("Climate-B", state="Erred")
    before = slurm.state()
    done = site("apply", "--auto-approve", "--allow", "min_resources_share")
    assert done.code == 0, done.both
    assert slurm.state() == before


def test_memory_beyond_the_last_letter(world: Site) -> None:
    """SLURM prints a question mark after petabytes; one such account must not end the plan."""
    site, _, slurm = world
    slurm.sacctmgr("add", "account", "name=staff", "GrpTRESMins=mem=1649267441664")
    assert "?" in slurm.shown("staff", "GrpTRESMins")
    settled(site)
