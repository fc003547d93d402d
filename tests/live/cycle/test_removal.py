"""What goes, in which order, and what holds it: siblings, jobs, usage."""

from __future__ import annotations

from tests.fakes import KILL, after, around, in_front, on
from tests.live.conftest import Site
from tests.live.cycle.conftest import healed, settled


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
    around(site.directory / "bin", "sacctmgr", on('*"remove account"*', after(KILL)))
    assert site.process("apply", "--auto-approve", PATH=in_front(site.directory / "bin")).code == -9
    assert slurm.accounts() == {"root", "c_nordic", "p_climate", "c_elsewhere", "p_else", "a_other"}
    healed(site, 'slurm.account["p_climate"] will be destroyed')
    assert slurm.accounts() == {"root", "c_elsewhere", "p_else", "a_other"}


def test_running_jobs_hold_an_account_until_allowed(world: Site) -> None:
    site, portal, slurm = world
    slurm.knows("a_climate-a")
    slurm.submit("a_climate-a", "tbalice", 300)
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


def test_usage_in_this_month_holds_the_account_but_not_its_members(world: Site) -> None:
    site, portal, slurm = world
    slurm.knows("a_climate-a")
    slurm.submit("a_climate-a", "tbalice", 300)
    slurm.eventually(
        lambda: slurm.run("squeue", "-h", "-t", "R", "-o", "%M").strip() not in ("", "0:00", "0:01"), "it runs"
    )
    slurm.run("scancel", "-u", "tbalice")
    slurm.eventually(lambda: not slurm.run("squeue", "-h").strip(), "no job is left")
    elapsed = ("sacct", "-aXnP", "-A", "a_climate-a", "-o", "ElapsedRaw")
    slurm.eventually(lambda: slurm.run(*elapsed).strip() not in ("", "0"), "slurmdbd knows of its time")
    portal.edit("climate-a", state="Terminated", backend_id="a_climate-a")
    done = site("apply", "--auto-approve")
    assert done.code == 4, done.both
    assert "delete_with_usage" in done.out
    assert slurm.users_of("a_climate-a") == set()
    assert "a_climate-a" in slurm.accounts()


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
