"""Driving the stand-in from a test: start it, say what it knows, look at what it was asked."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid as uuids
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
TOKEN = "t0ken-of-the-provider"
OFFERING = "5a3f6973555642c8bbc2a3abbefeeb7f"


def uid(*words: str) -> str:
    """A stable uuid for a name, in Waldur's spelling."""
    return uuids.uuid5(uuids.NAMESPACE_OID, "/".join(words)).hex


class StandIn:
    """One running stand-in and the world it serves."""

    def __init__(self, directory: Path) -> None:
        port_file = directory / f"port-{uuids.uuid4().hex}"
        self.process = subprocess.Popen([sys.executable, "-m", "tests.standin.server", str(port_file)], cwd=ROOT)
        deadline = time.monotonic() + 60
        while not port_file.exists():
            assert self.process.poll() is None, "the stand-in server did not start"
            assert time.monotonic() < deadline, "the stand-in server did not start in time"
            time.sleep(0.02)
        self.base = f"http://127.0.0.1:{port_file.read_text()}"
        self.session = requests.Session()
        self._world: dict[str, Any] = {}
        self._seen = -1
        self.reset()

    @property
    def url(self) -> str:
        return f"{self.base}/api/"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def reset(self, **about: Any) -> None:
        """An offering without anything."""
        self._seen = self._writes()
        self._world = {
            "token": TOKEN,
            "offering": {"uuid": OFFERING, "customer_uuid": uid("provider"), "name": "Cluster A"},
            "resources": [],
            "orders": [],
            "offering_users": [],
            "permissions": [],
            "projects": [],
            "policies": [],
            **about,
        }
        self.push()
        self.faults()
        self.forget()

    @property
    def world(self) -> dict[str, Any]:
        """What the server knows; read again after the program wrote something, so that a push loses nothing."""
        writes = self._writes()
        if writes != self._seen:
            self._world, self._seen = self.session.get(f"{self.base}/control/world").json(), writes
        return self._world

    def _writes(self) -> int:
        return int(self.session.get(f"{self.base}/control/writes").json())

    def push(self) -> None:
        self.session.put(f"{self.base}/control/world", json=self._world).raise_for_status()

    def faults(self, *faults: dict[str, Any]) -> None:
        self.session.put(f"{self.base}/control/faults", json=list(faults)).raise_for_status()

    def forget(self) -> None:
        self.session.delete(f"{self.base}/control/log").raise_for_status()

    def log(self) -> list[dict[str, str]]:
        return list(self.session.get(f"{self.base}/control/log").json())

    # ------------------------------------------------------------------ saying what is

    def resource(self, name: str, **facts: Any) -> dict[str, Any]:
        """Add a resource; project and customer default to ``climate`` of ``nordic``."""
        project = facts.pop("project", "climate")
        customer = facts.pop("customer", "nordic")
        row = {
            "uuid": uid("resource", name),
            "name": name,
            "slug": name.lower().replace(" ", "-"),
            "state": "OK",
            "backend_id": "",
            "project_uuid": uid("project", project),
            "project_name": project.title(),
            "project_slug": project,
            "customer_uuid": uid("customer", customer),
            "customer_name": customer.title(),
            "customer_slug": customer,
            "limits": {"cpu": 100},
            "paused": False,
            "downscaled": False,
            "restrict_member_access": False,
            "attributes": {},
            "options": None,
            "end_date": None,
            **facts,
        }
        self.world["resources"].append(row)
        if not any(p["uuid"] == row["project_uuid"] for p in self.world["projects"]):
            self.world["projects"].append(
                {"uuid": row["project_uuid"], "slug": project, "customer_slug": customer, "name": project.title()}
            )
        self.push()
        return row

    def user(self, username: str, *projects: str, **facts: Any) -> dict[str, Any]:
        """Add an offering user, a member of these projects."""
        who = facts.pop("who", username)
        row = {
            "uuid": uid("offering_user", who),
            "user_uuid": uid("user", who),
            "user_username": who,
            "username": username,
            "is_restricted": False,
            "state": "OK",
            **facts,
        }
        self.world["offering_users"].append(row)
        self.push()
        for project in projects:
            self.member(who, project)
        return row

    def member(self, who: str, project: str, **facts: Any) -> None:
        self.world["permissions"].append(
            {
                "project_uuid": uid("project", project),
                "user_uuid": uid("user", who),
                "user_username": who,
                "role": "member",
                "created": f"2026-01-01T00:00:{len(self.world['permissions']) % 60:02d}Z",
                "expiration_time": None,
                **facts,
            }
        )
        self.push()

    def found(self, kind: str, *words: str) -> dict[str, Any]:
        """An object as it is now: ``found("resource", "climate-a")``, ``found("order", "climate-a", "Create")``."""
        wanted = uid(kind, *words)
        return next(o for o in self.world[f"{kind}s"] if o["uuid"] == wanted)

    def writes(self) -> list[str]:
        """Requests that changed something, in order: ``order/approve_by_provider``, ``resource/set_backend_id``."""
        names = {
            "marketplace-orders": "order",
            "marketplace-provider-resources": "resource",
            "marketplace-offering-users": "offering_user",
            "marketplace-provider-offerings": "offering",
        }
        found = []
        for entry in self.log():
            if entry["method"] not in ("GET", "HEAD"):
                _, _, endpoint, *rest = entry["path"].split("/")
                action = rest[1] if len(rest) > 1 and rest[1] else entry["method"].lower()
                found.append(f"{names.get(endpoint, endpoint)}/{action}")
        return found

    def leave(self, who: str, project: str) -> None:
        gone = (uid("project", project), uid("user", who))
        self.world["permissions"] = [
            p for p in self.world["permissions"] if (p["project_uuid"], p["user_uuid"]) != gone
        ]
        self.push()

    def edit(self, name: str, /, *, ordered: bool = True, **facts: Any) -> None:
        """Change a resource by name; its limits as a customer does, by an order that is done."""
        found = next(r for r in self.world["resources"] if r["name"] == name)
        found.update(facts)
        if "limits" in facts and ordered:
            number = str(len(self.world["orders"]))
            done = {"uuid": uid("order", name, number), "type": "Update", "state": "done", "limits": facts["limits"]}
            self.world["orders"].append({**done, "marketplace_resource_uuid": found["uuid"]})
        self.push()

    def order(self, name: str, kind: str = "Update", state: str = "executing", **facts: Any) -> dict[str, Any]:
        row = {
            "uuid": uid("order", name, kind),
            "type": kind,
            "state": state,
            "marketplace_resource_uuid": uid("resource", name),
            "limits": {},
            **facts,
        }
        self.world["orders"].append(row)
        self.push()
        return row
