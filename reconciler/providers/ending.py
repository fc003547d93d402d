"""Ends jobs and waits until they have: whatever cancels them answers before they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from reconciler.errors import CommandError
from reconciler.providers.base import Jobs


def end_jobs(
    active: Callable[[], Jobs],
    cancel: Callable[[Sequence[str]], str],
    program: str,
    pairs: Collection[tuple[str, str]],
    *,
    only: Collection[str] | None = None,
    patience: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cancel the jobs of (account, user) pairs and wait until ``active`` shows none of them.

    ``cancel`` gets numbers, each once, and says what went wrong; ``program`` is its name. ``only``: no others than
    these, whatever else the pairs run by now. Raises :class:`CommandError` when some are still there after
    ``patience`` seconds.
    """
    waited, pause = 0.0, 0.25
    asked: set[str] = set()
    said = ""
    while True:
        left = {
            pair: tuple(n for n in numbers if only is None or n in only)
            for pair, numbers in active().items()
            if pair in pairs
        }
        left = {pair: numbers for pair, numbers in left.items() if numbers}
        if not left:
            return
        if waited >= patience:
            shown = ", ".join(f"{' '.join(numbers)} of {u or 'somebody'} in {a}" for (a, u), numbers in left.items())
            raise CommandError(f"jobs are still there {patience:.0f} s after {program}: {shown}{said}")
        if fresh := sorted({n for numbers in left.values() for n in numbers} - asked):
            # a job may have ended by itself meanwhile, so the queue tells
            said = cancel(fresh) or said
            asked.update(fresh)
        sleep(pause)
        waited, pause = waited + pause, min(2.0, pause * 1.5)


def complaint(command: str, code: int, said: str) -> str:
    """What a cancelling command had to say, to be put behind the jobs that are left; nothing where it went well."""
    return f"; {command}: exit code {code}: {said}" if code != 0 else ""
