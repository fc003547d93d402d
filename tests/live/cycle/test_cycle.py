"""A cycle from nothing to a cluster that is as the portal says: plan, apply, each drift, what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.fakes import around, log
from tests.live.conftest import Site, Slurm
from tests.live.cycle.conftest import healed, settled
from tests.standin.portal import StandIn


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


def test_one_apply_at_a_time(world: Site) -> None:
    from reconciler.store.locks import cluster_lock

    site, portal, _ = world
    portal.edit("climate-a", limits={"cpu": 2})
    with cluster_lock(site.directory / "state", "testbed"):
        done = site("apply", "--auto-approve")
    assert done.code == 1
    assert "another apply is running: process" in done.err
    assert site("apply", "--auto-approve").code == 0


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


def test_a_steady_cycle_costs_five_processes_and_few_requests(site: Program, portal: StandIn, slurm: Slurm) -> None:
    """The targets at 100 accounts with 10 users each: 5 processes, 30 requests, no write."""
    from tests.bench.live import fill

    fill(portal, 100)
    assert site("apply", "--auto-approve").code == 0
    calls = slurm.directory / "sacctmgr.log"
    counted = slurm.directory / "bin"
    for program in ("sacctmgr", "squeue", "sacct", "scancel"):
        around(counted, program, log(calls, f"{program} $*"))
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(counted)
    portal.forget()
    settled(site)
    commands = calls.read_text().splitlines()
    assert len(commands) <= 5
    assert all(c.startswith("sacctmgr -P show ") for c in commands)
    requests = portal.log()
    assert len(requests) <= 30
    assert {r["method"] for r in requests} == {"GET"}
    calls.unlink()
