"""The executables: links to one script, a ledger in a file, a log of calls, and faults by program and call.

Faults (``faults.json``, a list): ``program``, ``nth`` call from 1 on (0: every one), ``kind`` and what that needs:
``exit`` (``code``, ``text``), ``before`` and ``after`` (the one that called is killed, before or once it is done),
``slow`` (``seconds``, once it is done), ``cut`` (``bytes``, ``code``), ``noise`` (on standard error), ``meanwhile``
(``argv`` of somebody else's call before it).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.standin.mam.client import Answer, answer
from tests.standin.mam.ledger import Ledger, empty

VARIABLE = "MAM_LEDGER"


@contextmanager
def opened(directory: Path) -> Iterator[Ledger]:
    """The ledger of a directory, for one call at a time; what is done to it is kept."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = directory / "ledger.json"
        ledger = json.loads(file.read_text()) if file.exists() else empty()
        yield ledger
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(ledger))
        fresh.replace(file)


def called(directory: Path, program: str, words: Sequence[str]) -> Answer:
    """One call of one program, with the faults that are meant for it."""
    with opened(directory) as ledger:
        log = directory / "log"
        with log.open("a") as written:
            written.write(json.dumps([program, *words]) + "\n")
        count = sum(json.loads(line)[0] == program for line in log.read_text().splitlines())
        faults = [f for f in _faults(directory) if f["program"] == program and f["nth"] in (0, count)]
        for fault in faults:
            if fault["kind"] == "meanwhile":
                answer(ledger, *_split(fault["argv"]))
            if fault["kind"] == "exit":
                return Answer(fault["code"], fault["text"] + "\n")
            if fault["kind"] == "before":
                os.kill(os.getppid(), signal.SIGKILL)
                return Answer(1)
        said = answer(ledger, program, words)
    for fault in faults:
        said = _after(fault, said)
    return said


def _after(fault: dict[str, Any], said: Answer) -> Answer:
    if fault["kind"] == "after":
        os.kill(os.getppid(), signal.SIGKILL)
    if fault["kind"] == "slow":
        time.sleep(fault["seconds"])
    if fault["kind"] == "cut":
        return Answer(fault["code"], said.out[: fault["bytes"]], said.err)
    if fault["kind"] == "noise":
        return Answer(said.code, said.out, "perl: warning: Setting locale failed.\n")
    return said


def _split(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    return argv[0], argv[1:]


def _faults(directory: Path) -> list[dict[str, Any]]:
    file = directory / "faults.json"
    return json.loads(file.read_text()) if file.exists() else []


def main() -> int:
    """The program by whose name this was called."""
    said = called(Path(os.environ[VARIABLE]), Path(sys.argv[0]).name, sys.argv[1:])
    sys.stdout.write(said.out)
    sys.stderr.write(said.err)
    return said.code


if __name__ == "__main__":
    sys.exit(main())
