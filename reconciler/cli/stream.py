"""Standard output and error that never stop the work: a full disk, a closed pipe or descriptor is said at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_CLOSED = "it is closed"


class Output:
    """A text stream that takes note of the first failure to write, and drops what comes after."""

    def __init__(self, stream: TextIO, problem: str = "") -> None:
        self._stream = stream
        #: why it cannot be written, if so
        self.problem = problem

    def write(self, text: str) -> int:
        """Write what can be written."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not self.problem:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:  # ValueError: closed in this process
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        if not self.problem:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.problem = getattr(error, "strerror", None) or _CLOSED
        # what is left in buffers goes nowhere, so that the end of the process does not try it again
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # whoever writes bytes past us would meet the failure
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def outputs() -> Iterator[tuple[Output, Output]]:
    """Standard output and error for the time of a command."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = _output(before[1], 1), _output(before[2], 2)
    try:
        sys.stdin = before[0] or _nowhere(0, os.O_RDONLY)
        sys.stdout, sys.stderr = out, err
        yield out, err
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _output(stream: TextIO | None, number: int) -> Output:
    if stream is None:  # Python found the descriptor closed
        return Output(_nowhere(number, os.O_WRONLY), _CLOSED)
    # names of foreign encodings are shown escaped instead of ending the program
    stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # TextIO, as it is typed, lacks it
    return Output(stream)


def _nowhere(number: int, flags: int) -> TextIO:
    """The null device in place of a closed descriptor: what is opened next must not get its number."""
    descriptor = os.open(os.devnull, flags)
    if descriptor != number:
        try:
            os.fstat(number)
        except OSError:
            os.dup2(descriptor, number)
            os.close(descriptor)
            descriptor = number
    return os.fdopen(descriptor, "r" if flags == os.O_RDONLY else "w", encoding="utf-8", closefd=False)
