"""The world of these tests, and what a plan and an apply come to in it."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn


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


def refused(site: Program, slurm: Slurm, *words: str) -> None:
    """An error that says what, and no plan; the cluster as it was."""
    for command in (("plan", "--detailed-exitcode"), ("apply", "--auto-approve")):
        done = site(*command)
        assert done.code == 1, done.both
        assert any(w in done.err for w in words), done.err
        assert "Plan:" not in done.out
