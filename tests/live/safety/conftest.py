"""The world of these tests."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Program
from tests.live.conftest import Site, Slurm
from tests.standin.portal import StandIn


@pytest.fixture
def world(site: Program, slurm: Slurm, portal: StandIn) -> Site:
    """Two allocations of one project with two members, applied."""
    for name in ("one", "two"):
        portal.resource(name, backend_id=f"a_{name}", limits={"cpu": 1})
    for user in ("tbalice", "tbbob"):
        portal.user(user, "climate")
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site, portal, slurm


def last_run(site: Program) -> str:
    return str(json.loads(site("history", "--json").out)["runs"][0]["id"])
