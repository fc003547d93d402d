"""A head node with the stand-in installed, and a configuration of waldur-site-agent for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Program, offering
from tests.fakes import in_front
from tests.standin.mam.client import answer
from tests.standin.mam.install import installed
from tests.standin.mam.ledger import Ledger, allocated, balance, empty
from tests.standin.mam.program import opened
from tests.standin.portal import StandIn


class MoabSite(Program):
    """The program on a head node with MOAB."""

    def __init__(self, directory: Path, portal: StandIn, **switches: Any) -> None:
        self.books = directory / "mam"
        environment = installed(directory / "bin", self.books)
        super().__init__(directory, {**environment, "PATH": in_front(directory / "bin")})
        with opened(self.books) as ledger:
            ledger.update(empty(**switches))
        about = {
            "backend_type": "moab",
            "order_processing_backend": "moab",
            "membership_sync_backend": "moab",
            "reporting_backend": "",
            "backend_settings": {
                "default_account": "root", "customer_prefix": "c_", "project_prefix": "p_", "allocation_prefix": "a_",
                "enable_user_homedir_account_creation": False,
            },
            "backend_components": {
                "deposit": {"measured_unit": "EUR", "accounting_type": "limit", "label": "Deposit (EUR)"}
            },
        }  # fmt: skip
        self.document["offerings"] = [{**offering(portal.url), "name": "Money", **about}]

    @property
    def settings(self) -> dict[str, Any]:
        """``backend_settings.moab`` of the offering."""
        found: dict[str, Any] = self.document["offerings"][0]["backend_settings"].setdefault("moab", {})
        return found

    def do(self, change: Callable[[Ledger], object]) -> None:
        """Something happens to the books behind everybody's back."""
        with opened(self.books) as ledger:
            change(ledger)

    def mam(self, line: str) -> str:
        """An operator's own command, in one line."""
        name, *words = line.split()
        with opened(self.books) as ledger:
            said = answer(ledger, f"mam-{name}", words)
        assert said.code in (0, 8), (line, said)
        return said.out

    def ledger(self) -> Ledger:
        """The books as they are."""
        with opened(self.books) as ledger:
            return ledger

    def money(self, account: str) -> tuple[float, float]:
        """Allocated amount and balance over all funds of an account alone."""
        ledger = self.ledger()
        mine = [k for k, f in ledger["funds"].items() if f["constraints"] == [f"Account={account}"]]
        return sum(allocated(ledger, k) for k in mine) / 1e6, sum(balance(ledger, k) for k in mine) / 1e6

    def members(self, account: str) -> set[str]:
        """Who is in an account."""
        return set(self.ledger()["accounts"][account]["users"])

    def calls(self) -> list[list[str]]:
        """Every call so far."""
        file = self.books / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def forget(self) -> None:
        """Count calls anew."""
        (self.books / "log").unlink(missing_ok=True)

    def fault(self, name: str, nth: int, kind: str, **more: Any) -> None:
        """The stand-in misbehaves at that call from now on, and nowhere else."""
        self.forget()
        (self.books / "faults.json").write_text(json.dumps([{"program": name, "nth": nth, "kind": kind, **more}]))

    def well(self) -> None:
        """It behaves again."""
        (self.books / "faults.json").unlink(missing_ok=True)

    def queue(self, *jobs: tuple[str, str, str]) -> None:
        """Number, account and user of the jobs that showq shows."""
        listed = "".join(f'<job JobID="{n}" Account="{a}" User="{u}" State="Running"/>' for n, a, u in jobs)
        (self.books / "queue").write_text(f"<Data><queue>{listed}</queue></Data>")
