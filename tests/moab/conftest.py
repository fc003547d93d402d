"""A site with MOAB: a resource with two members, of which MAM knows nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ran
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn

RESOURCE = "climate-a"
ACCOUNT = "a_climate-a"
FUND = f'moab.fund["{ACCOUNT}"]'

MOVES = ("mam-deposit", "mam-withdraw")


def moves(site: MoabSite) -> list[list[str]]:
    """The calls that moved money, as they were made."""
    return [c for c in site.calls() if c[0] in MOVES]


def spent(site: MoabSite, amount: str) -> None:
    """Jobs of amy cost so much."""
    site.do(lambda ledger: books.charge(ledger, ACCOUNT, "amy", amount, "2026-11-03 10:00:00"))


def fine(ran: Ran, code: int = 0) -> Ran:
    """A run that ended as it should, with no word of another kind of cluster."""
    assert ran.code == code, ran.both
    for word in ("slurm", "sacct", "qos"):
        assert word not in ran.both.lower(), ran.both
    return ran


def state_of(portal: StandIn, order: dict[str, Any]) -> str:
    """How far an order is."""
    return str(next(o for o in portal.world["orders"] if o["uuid"] == order["uuid"])["state"])


def settled(site: MoabSite) -> None:
    """Nothing is left to do."""
    assert "No changes." in fine(site("plan", "--detailed-exitcode")).out


@pytest.fixture
def site(portal: StandIn, tmp_path: Path) -> MoabSite:
    """500 EUR for two people."""
    made = MoabSite(tmp_path, portal)
    portal.resource(RESOURCE, limits={"deposit": 500})
    portal.user("amy", "climate")
    portal.user("bob", "climate")
    return made


@pytest.fixture
def applied(site: MoabSite) -> MoabSite:
    """The same after a first run."""
    done = site("apply", "--auto-approve")
    assert done.code == 0, done.both
    return site
