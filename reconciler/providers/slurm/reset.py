"""The call that resets RawUsage, between two looks at slurmctld's counters.

Source: sacctmgr(1) ``RawUsage``: it can be set to 0 alone, is kept by slurmctld and not by slurmdbd, and takes the
usage of the users below along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.errors import ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import counters

FIELD = "usage_period"
_POLLS, _PAUSE = 50, 0.2


@dataclass
class Emptied:
    """One call that resets RawUsage, between two looks at slurmctld's counters: it is lost while slurmctld is down."""

    runner: CommandRunner
    accounts: tuple[str, ...]
    cluster: str
    sleep: Callable[[float], None] = time.sleep
    had: dict[str, int] = field(default_factory=dict, init=False)

    def before(self) -> tuple[str, ...] | None:
        """The arguments, for accounts that have counted anything; None where none has."""
        self.had = {a: n for a, n in _sums(counters.used(self.runner), self.accounts).items() if n}
        return arguments(sorted(self.had), self.cluster) if self.had else None

    def after(self) -> None:
        """The counters have fallen; slurmctld may take a moment."""
        for attempt in range(_POLLS):
            now = _sums(counters.used(self.runner), self.had)
            left = [a for a, n in self.had.items() if now[a] >= n]
            if not left:
                return
            if attempt < _POLLS - 1:
                self.sleep(_PAUSE)
        raise ReadError(f"slurmctld still counts the usage of {', '.join(left)}: is it up? The next cycle tries again")


def _sums(used: Mapping[str, Mapping[str, int]], accounts: Iterable[str]) -> dict[str, int]:
    return {a: sum(used.get(a, {}).values()) for a in accounts}


def arguments(accounts: Sequence[str], cluster: str) -> tuple[str, ...]:
    """Of ``sacctmgr``."""
    return ("-i", "modify", "account", "where", f"name={','.join(accounts)}", f"cluster={cluster}", "set", "RawUsage=0")
