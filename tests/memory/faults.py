"""What goes wrong while a run changes a cluster or a portal: at a chosen write, once, or from there on."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: no handler of the program may see it, and nothing is written afterwards."""


class Fault(StrEnum):
    """What happens at a write."""

    FAILS = "it is refused"
    LOST = "it is done, and the answer is lost"
    OUTAGE = "nothing answers from here on"
    DIES_BEFORE = "the run dies before it"
    DIES_AFTER = "the run dies after it"


class Faults:
    """Counts the writes of a run on both sides, and strikes at one of them."""

    def __init__(self) -> None:
        self.writes = 0
        self.down = False
        self._fault: Fault | None = None
        self._at = 0
        self.on_kill: Callable[[], None] = lambda: None

    def arm(self, fault: Fault | None, at: int = 0) -> None:
        """The next run meets this fault at its write number ``at``."""
        self.writes, self.down, self._fault, self._at = 0, False, fault, at

    def write(self, work: Callable[[], T], problem: Callable[[Fault], T]) -> T:
        """Do a write, or what the fault makes of it; ``problem`` answers (or raises) in its place."""
        number, self.writes = self.writes, self.writes + 1
        fault = self._fault if number == self._at else None
        if self.down or fault is Fault.OUTAGE:
            self.down = True
            return problem(Fault.OUTAGE)
        if fault is Fault.FAILS:
            return problem(fault)
        if fault is Fault.DIES_BEFORE:
            self._die()
        result = work()
        if fault is Fault.DIES_AFTER:
            self._die()
        return problem(fault) if fault is Fault.LOST else result

    def _die(self) -> None:
        self.on_kill()
        raise Killed
