"""What earlier cycles saw of a cluster, and what this one sees and keeps. Without memory a cycle is only shyer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.chains import Source
from reconciler.errors import ReconcileError
from reconciler.state.facts import Claim
from reconciler.store import Memory
from reconciler.store.memory import Name


class Recall:
    """One cycle's view of the memory.

    ``usernames``: all that people were ever seen with, by (offering, person); ``absent``: fields that a portal has no
    place for, by offering; ``strangers``: accounts that no portal knew today. Seen in this cycle: ``present``, who
    has which username; ``asked``, accounts that no portal knows.
    """

    def __init__(self, memory: Memory, clock: Callable[[], datetime]) -> None:
        self.memory = memory
        self.clock = clock
        self.usernames: Mapping[tuple[str, str], frozenset[str]] = {}
        self.absent: Mapping[str, frozenset[str]] = {}
        self.strangers: frozenset[str] = frozenset()
        self.present: set[Name] = set()
        self.asked: set[str] = set()
        self._lasting: dict[str, int] = {}  # resources by offering, without those that end

    def read(self) -> str:
        """Read what earlier cycles kept; what went wrong, or nothing."""
        today = self.clock().date()
        try:
            self.usernames = self.memory.usernames()
            self.absent = self.memory.absent(today)
            self.strangers = self.memory.strangers(today)
        except ReconcileError as error:
            return str(error)
        return ""

    def counted(self, sources: Sequence[Source], claims: Iterable[Claim]) -> dict[str, tuple[int, int]]:
        """How many resources each offering has, and had when it was last read.

        What an order ends, and what the portal itself calls Terminated, is not missed.
        """
        ended = Counter(claim.offering for claim in claims if claim.verdict == "terminated")
        keys = {s.offering.name: s.offering.waldur_offering_uuid or s.offering.name for s in sources}
        count = {s.offering.name: len(s.facts.resources) + len(s.facts.bad) for s in sources}
        self._lasting = {
            keys[s.offering.name]: count[s.offering.name] - sum(r.ends for r in s.facts.resources) for s in sources
        }
        try:
            before = self.memory.resources()
        except ReconcileError:
            return {}
        return {name: (count[name], before[key] - ended[name]) for name, key in keys.items() if key in before}

    def keep(self, *, doubtful: bool) -> None:
        """Keep what this cycle saw; how many resources there are only where that is not in doubt.

        Raises :class:`ReconcileError`.
        """
        known = {(offering, person, n) for (offering, person), names in self.usernames.items() for n in names}
        self.memory.remember(self.present - known)
        self.memory.remember_strangers(sorted(self.asked), self.clock().date())
        if not doubtful:
            self.memory.remember_resources(self._lasting, self.clock())
