"""Accounts: names, texts, parents, whose they are, and what is not ours."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.fakes import answer, around, linked, on
from tests.live.conftest import Site, Slurm
from tests.live.cycle.conftest import healed, settled
from tests.standin.portal import StandIn, uid


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


def test_flat_hierarchy(site: Program, portal: StandIn, slurm: Slurm) -> None:
    slurm.sacctmgr("add", "account", "name=waldur")
    site.document["offerings"][0]["backend_settings"]["parent_account"] = "waldur"
    portal.resource("climate-a")
    portal.user("tbalice", "climate")
    assert site("apply", "--auto-approve").code == 0
    assert slurm.accounts() == {"root", "waldur", "p_climate", "a_climate-a"}
    assert slurm.shown("p_climate", "ParentName") == "waldur"
    settled(site)


def failing(site: Program, slurm: Slurm, word: str) -> None:
    """A sacctmgr that does everything but one thing."""
    directory = slurm.directory / "failing"
    around(directory, "sacctmgr", on(f"*{word}*", answer("refused for the test"), "exit 1"))
    linked(directory, "squeue", "sacct", "scancel")
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
