"""The world of these tests."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn


@pytest.fixture
def world(site: Program, portal: StandIn, slurm: Slurm) -> Site:
    """A project with two people and one allocation that is there already."""
    for name in ("tbalice", "tbbob"):
        portal.user(name, "climate")
    portal.resource("old", limits={"cpu": 7})
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    portal.forget()
    return site, portal, slurm
