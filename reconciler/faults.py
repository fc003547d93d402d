"""Faults of what shows (plans, events, progress, journal): they are told, and change nothing of what is done."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One thing that could not be shown as it should be, and why."""

    what: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.what} cannot be shown: {self.why}"

    @property
    def why(self) -> str:
        """The error in a line."""
        return " ".join(f"{type(self.error).__name__}: {self.error}".split())

    @property
    def details(self) -> str:
        """The traceback."""
        return "".join(traceback.format_exception(self.error))


class Faults:
    """The faults of one command, each handed to ``tell`` as it happens."""

    def __init__(self, tell: Callable[[Fault], None] = lambda fault: None) -> None:
        self.found: list[Fault] = []
        #: says a fault
        self.tell = tell

    def attempt(self, what: str, show: Callable[[], T], instead: Callable[[Fault], T]) -> T:
        """What ``show`` gives; where it raises, what ``instead`` makes of the fault."""
        try:
            return show()
        except Exception as error:  # noqa: BLE001  # whatever a renderer raises: it is told, and the work goes on
            fault = Fault(what, error)
            self.found.append(fault)
            self.tell(fault)
            return instead(fault)
