"""SIGTERM and SIGINT during an apply: the command in flight is finished, nothing more is begun."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopping:
    """Which signal came; ``code`` is the exit code that belongs to it (143 or 130)."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> str:
        """The signal's name, empty while none came."""
        return signal.Signals(self.signal).name if self.signal else ""

    @property
    def code(self) -> int:
        """What a shell says of a process that such a signal ended."""
        return 128 + self.signal


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Take note of the first signal; a second one ends the process as usual."""
    state = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        state.signal = number
        for one, old in before.items():
            signal.signal(one, old)

    for number in before:
        signal.signal(number, note)
    try:
        yield state
    finally:
        for number, old in before.items():
            signal.signal(number, old)
