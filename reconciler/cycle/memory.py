"""What earlier cycles saw of a cluster, and what this one sees and keeps. Without memory a cycle is only shyer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from reconciler.desired.accounts import Source
from reconciler.errors import ReconcileError
from reconciler.state.facts import Claim
from reconciler.store import Memory
from reconciler.store.memory import Name, Read


class Seen:
    """One cycle's view of the memory.

    ``usernames``: all that people were ever seen with, by (offering, person); ``absent``: fields that a portal has no
    place for, by offering; ``strangers``: accounts that no portal knew today; ``accepted``: orphans that a person
    knows of. Seen in this cycle: ``present``, who has which username; ``asked``, accounts that no portal knows;
    ``orphans``, these and those of earlier today.
    """

    def __init__(self, memory: Memory, clock: Callable[[], datetime], offerings: Collection[str] = ()) -> None:
        self.memory = memory
        self._offerings = offerings  # their uuids
        self.clock = clock
        self.usernames: Mapping[tuple[str, str], frozenset[str]] = {}
        self.absent: Mapping[str, frozenset[str]] = {}
        self.strangers: frozenset[str] = frozenset()
        self.present: set[Name] = set()
        self.asked: set[str] = set()
        self.accepted: frozenset[str] = frozenset()
        self.orphans: set[str] = set()
        # offerings of which nothing is remembered, or nobody has let their limits fall since
        self.first: frozenset[str] = frozenset(offerings)
        self.limits: Mapping[str, Mapping[str, frozenset[str]]] = {}  # what of which fields was set here, by account
        self.renewed: Mapping[str, str] = {}  # by account, the last period for which its counters began anew
        self.limited: dict[tuple[str, str], frozenset[str]] = {}  # seen in this cycle: what is ours of them now
        self.renewing: dict[str, str] = {}  # counters that have begun anew, as they show
        self.fresh = True  # nothing is remembered of the cluster at all
        self.settled: frozenset[str] = frozenset()  # of which no limit that would fall waits for consent in this cycle
        self._named_again: frozenset[str] = frozenset()  # or gone
        self._reads: dict[str, Read] = {}

    def read(self) -> str:
        """Read what earlier cycles kept; what went wrong, or nothing."""
        today = self.clock().date()
        try:
            self.usernames = self.memory.usernames()
            self.absent = self.memory.absent(today)
            self.strangers = self.memory.strangers(today)
            self.accepted = self.memory.accepted()
            self.first = frozenset(self._offerings) - self.memory.adopted()
            self.fresh = not self.memory.reads()
            self.limits, self.renewed = self.memory.limits(), self.memory.renewed()
        except ReconcileError as error:
            return error.message
        return ""

    def counted(self, sources: Sequence[Source], claims: Mapping[str, Claim]) -> dict[str, tuple[int, int]]:
        """How many resources each offering has, and had when it was last read.

        What an order ends, and what the portal itself calls Terminated since, is not missed. ``claims``: the
        portal's word on accounts that nobody names.
        """
        ended: dict[str, set[str]] = defaultdict(set)
        for name, claim in claims.items():
            if claim.verdict == "terminated":
                ended[claim.offering].add(name)
            elif claim.verdict == "unknown":
                self.orphans.add(name)
        self._named_again = self.accepted - claims.keys()
        found: dict[str, tuple[int, int]] = {}
        try:
            before = self.memory.reads()
        except ReconcileError:
            before = {}
        for source in sources:
            name, resources = source.offering.name, source.facts.resources
            key = source.offering.key
            count = len(resources) + len(source.facts.bad)
            self._reads[key] = Read(count - sum(r.ends for r in resources), frozenset(ended[name]))
            if key in before:
                # an account of what ended may stay for weeks: it is missed no more only once
                found[name] = (count, before[key].resources - len(ended[name] - before[key].ended))
        return found

    def keep(self, *, doubtful: bool, accepted: bool = False) -> None:
        """Keep what this cycle saw; how many resources there are only where that is not in doubt.

        ``accepted``: a person says that there are fewer now. Raises :class:`ReconcileError`.
        """
        known = {(offering, person, n) for (offering, person), names in self.usernames.items() for n in names}
        self.memory.remember(self.present - known)
        self.memory.remember_limits({k: v for k, v in self.limited.items() if self.limits.get(k[0], {}).get(k[1]) != v})
        self.memory.remember_renewed({a: p for a, p in self.renewing.items() if self.renewed.get(a) != p}, self.clock())
        self.memory.remember_strangers(sorted(self.asked), self.clock().date())
        settled = frozenset() if doubtful else self.settled & self.first
        self.memory.remember_adopted(settled, self.first - settled, self.clock())
        if not doubtful:
            self.memory.forget_accepted(self._named_again)
            self.memory.remember_reads(self._reads, self.clock())
            if accepted:
                self.memory.remember_accepted(sorted(self.orphans))


def ended(memory: Memory, counts: Mapping[str, int], now: datetime) -> None:
    """So many resources of each offering ended here since its last read. Raises :class:`ReconcileError`."""
    reads = memory.reads()
    fewer = {
        key: Read(max(0, reads[key].resources - count), reads[key].ended)
        for key, count in counts.items()
        if key in reads and count
    }
    memory.remember_reads(fewer, now)
