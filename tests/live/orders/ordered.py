"""Orders of each type, what they come to, and an apply that meets with an accident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import Program
from tests.fakes import around, linked
from tests.live.conftest import Site
from tests.standin.portal import StandIn

CREATED = ["order/approve_by_provider", "resource/set_backend_id", "resource/set_backend_metadata"]
DONE = "order/set_state_done"
SYNCED = "resource/refresh_last_sync"


def ordered(portal: StandIn, kind: str, state: str = "pending-provider", **facts: Any) -> None:
    """A customer's order, as Waldur shows it while it waits for the provider."""
    if kind == "Create":
        portal.resource("new", state="Creating", limits={"cpu": 100}, last_sync="2026-01-01T00:00:00Z")
        portal.order("new", kind, state, **facts)
        if state == "executing":
            return
    elif kind == "Update":
        portal.order("old", kind, state, limits={"cpu": 9}, **facts)
    elif kind == "Terminate":
        portal.order("old", kind, state, **facts)
    elif kind == "Restore":
        portal.resource("back", state="Terminated", backend_id="a_back", limits={"cpu": 3})
        portal.order("back", kind, state, **facts)


SUBJECT = {"Create": "new", "Update": "old", "Terminate": "old", "Restore": "back"}


def as_ordered(world: Site, kind: str) -> None:
    """The cluster and the portal after the order's success, and nothing left to do."""
    site, portal, slurm = world
    name = SUBJECT[kind]
    assert portal.found("order", name, kind)["state"] == "done"
    resource = portal.found("resource", name)
    if kind == "Terminate":
        assert resource["state"] == "Terminated"
        assert slurm.accounts() == {"root"}
    else:
        assert resource["state"] == "OK"
        assert resource["backend_id"] == f"a_{name}"
        minutes = {"Create": 6000000, "Update": 540000, "Restore": 180000}[kind]
        assert slurm.shown(f"a_{name}", "GrpTRESMins") == f"cpu={minutes}"
        assert slurm.users_of(f"a_{name}") == {"tbalice", "tbbob"}
        assert resource["backend_metadata"] == {"qos": "normal", "fairshare": 1, "limits": {"cpu": minutes}}
        # never doubled
        assert len([a for a in slurm.accounts() if name in a]) == 1
    settled = site("plan", "--detailed-exitcode")
    assert settled.code == 0, settled.both


KINDS = ("Create", "Update", "Terminate", "Restore")
REQUESTS = {
    "Create": [*CREATED, SYNCED, DONE],
    "Update": ["order/approve_by_provider", "resource/set_backend_metadata", DONE],
    "Terminate": ["order/approve_by_provider", DONE],
    "Restore": ["order/approve_by_provider", "resource/set_backend_metadata", DONE],
}
STEPS = [(kind, step) for kind in KINDS for step in dict.fromkeys(REQUESTS[kind])]


def wrapped(site: Program, directory: Path, *steps: str) -> None:
    """SLURM's programs, with these steps before those of sacctmgr."""
    linked(directory, "sacct", "squeue", "scancel", "scontrol", "sshare")
    around(directory, "sacctmgr", *steps)
    site.document["reconcile"]["runner"] = {"slurm_bin_path": str(directory)}


COMMANDS = {
    "Create": ["add account", "add user"],
    "Update": ["modify account"],
    "Terminate": ["remove user", "remove account"],
    "Restore": ["add account", "add user"],
}
