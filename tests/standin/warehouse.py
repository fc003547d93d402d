"""Driving the stand-in DWDI from a test: start it, say what was used, look at what it was asked."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid as uuids
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import requests

ROOT = Path(__file__).parents[2]
CLIENT, SECRET = "site", "s3cret-of-the-site"


class Warehouse:
    """One running stand-in and what was used."""

    def __init__(self, directory: Path) -> None:
        port_file = directory / f"port-{uuids.uuid4().hex}"
        self.process = subprocess.Popen([sys.executable, "-m", "tests.standin.dwdi", str(port_file)], cwd=ROOT)
        deadline = time.monotonic() + 60
        while not port_file.exists():
            assert self.process.poll() is None, "the stand-in DWDI did not start"
            assert time.monotonic() < deadline, "the stand-in DWDI did not start in time"
            time.sleep(0.02)
        self.base = f"http://127.0.0.1:{port_file.read_text()}"
        self.session = requests.Session()
        self.settings: dict[str, Any] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.reset()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    @property
    def url(self) -> str:
        """The base address as it belongs into the file; that of 2025 is without the prefix."""
        return self.base if self.settings.get("flavour") == "legacy" else f"{self.base}/api/v1"

    @property
    def token_url(self) -> str:
        return f"{self.base}/realms/cscs/protocol/openid-connect/token"

    def reset(self, **settings: Any) -> None:
        """Nothing used, no faults, no tokens, an empty log."""
        self.settings = settings
        self.rows = {"compute": [], "storage": [], "inference": []}
        self.push()
        self.faults()
        self.forget()

    def set(self, **settings: Any) -> None:
        self.settings = {**self.settings, **settings}
        self.push()

    def push(self) -> None:
        self._put("world", {"settings": self.settings, "rows": self.rows})

    def _put(self, name: str, value: Any) -> None:
        self.session.put(f"{self.base}/control/{name}", json=value, timeout=30).raise_for_status()

    def _get(self, name: str) -> Any:
        return self.session.get(f"{self.base}/control/{name}", timeout=30).json()

    # ------------------------------------------------------------------ saying what was used

    def hours(
        self, account: str, user: str, hours: str, date: str = "2026-11-01", cluster: str = "daint", **more: Any
    ) -> None:
        """Node-hours of a user; ``unattributed=True`` counts for the account only."""
        row = {"account": account, "user": user, "nodeHours": hours, "date": date, "cluster": cluster, **more}
        self.rows["compute"].append(row)
        self.push()

    def space(self, path: str, size: str, inodes: str = "0", date: str = "2026-11-01", **more: Any) -> None:
        row = {"path": path, "bytes": size, "inodes": inodes, "date": date, **more}
        self.rows["storage"].append({"filesystem": "capstor", "data_type": "store", **row})
        self.push()

    def cost(self, uuid: str, cost: str, date: str = "2026-11-01") -> None:
        self.rows["inference"].append({"uuid": uuid, "cost": cost, "date": date})
        self.push()

    # ------------------------------------------------------------------ faults, and what was asked

    def faults(self, *faults: dict[str, Any]) -> None:
        """Break what comes: ``path`` (a pattern), ``times``, ``skip`` and one of the server's faults each."""
        self._put("faults", list(faults))

    def advance(self, seconds: float) -> None:
        """Let time pass for tokens."""
        self._put("clock", seconds)

    def forget(self) -> None:
        self._put("forget", None)

    def issued(self) -> int:
        return int(self._get("issued"))

    def tokens(self) -> list[str]:
        return list(self._get("tokens"))

    def log(self) -> list[dict[str, Any]]:
        return list(self._get("log"))

    def asked(self) -> list[tuple[str, dict[str, list[str]]]]:
        """Requests to the API, as endpoint and parameters."""
        return [
            (entry["path"].removeprefix("/api/v1/"), parse_qs(entry["query"]))
            for entry in self.log()
            if not entry["path"].startswith("/realms/")
        ]
