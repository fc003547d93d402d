"""What one check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import ReconcileError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One check: of what, how it stands, what answered, and what to do."""

    subject: str
    check: str
    level: Level
    text: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether it works, if not without a word."""
        return self.level is not Level.ERROR


def asked(subject: str, check: str, ping: Callable[[], str]) -> Finding:
    """A check that asks, and is answered in a line or refused."""
    try:
        return Finding(subject, check, Level.OK, ping())
    except ReconcileError as error:
        return Finding(
            subject, check, Level.ERROR, error.message, error.hint or "See docs/operations.md, When it says."
        )
