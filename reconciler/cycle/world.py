"""What one cycle knows, and what it may ask, each once. It is made for a cycle and thrown away after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler.config import Config, Offering
from reconciler.cycle.memory import Seen
from reconciler.desired.accounts import Source
from reconciler.errors import CommandError, ReadError, ReconcileError
from reconciler.guards.jobs import Activity
from reconciler.providers.base import Backend, Cluster, Feature, Jobs, Past, Reading, Stuck
from reconciler.providers.portal import Portal
from reconciler.providers.registry import claims_of
from reconciler.state import waldur
from reconciler.state.diff import Action, Change
from reconciler.state.facts import Claim, Facts, Order
from reconciler.state.kinds import is_account
from reconciler.state.model import Address, Desired, Note
from reconciler.store import Journal, Memory

Progress = Callable[[str], None]


def silent(text: str) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True)
class Site:
    """One cluster with all offerings on it, and whom to ask about them."""

    config: Config
    offerings: tuple[Offering, ...]
    backend: Backend
    cluster: Cluster
    portals: Mapping[str, Portal]
    clock: Callable[[], datetime]

    @property
    def owning(self) -> dict[str, str]:
        """Offerings whose accounts and limits are looked after here: the store's key by name."""
        return {o.name: o.key for o in self.offerings if o.owns_accounts}


@dataclass
class World:
    """One cycle of a site. ``allowed``: guards that are lifted for it; ``seen``: its view of earlier ones."""

    site: Site
    reading: Reading
    seen: Seen
    now: datetime
    allowed: frozenset[str] = frozenset()
    progress: Progress = silent
    label: str = ""
    sources: tuple[Source, ...] = ()
    reported: bool = False  # usage was looked after, as far as it went
    to_report: frozenset[Address] = field(default_factory=frozenset)
    counts: bool = False  # what counts now is to be shown, also where nothing is decided by it
    past: Callable[[str], Past] = lambda account: Past()
    _consumed: Mapping[str, Mapping[str, int]] | None = None

    @classmethod
    def of(cls, site: Site, label: str, memory: Memory, allowed: frozenset[str], progress: Progress) -> World:
        """Read the cluster. Raises :class:`ReadError`."""
        progress(f"cluster {label}: reading {site.backend.title}")
        reading = site.cluster.read()
        seen = Seen(memory, site.clock, [o.key for o in site.offerings])
        return cls(site, reading, seen, site.clock(), allowed, progress, label)

    @property
    def config(self) -> Config:
        """The site's."""
        return self.site.config

    @property
    def facts(self) -> dict[str, Facts]:
        """What the portals say, by offering."""
        return {s.offering.name: s.facts for s in self.sources}

    @property
    def today(self) -> date:
        """The day in the site's time zone."""
        return self.now.astimezone(ZoneInfo(self.config.timezone)).date()

    def say(self, text: str) -> None:
        """What is being done."""
        self.progress(f"cluster {self.label}: {text}")

    # ------------------------------------------------------------------ the portals

    def claims(self, accounts: Iterable[str]) -> dict[str, Claim]:
        """The portals' word on accounts that look ours and that nobody named."""
        return claims_of(self.site.portals, self.site.offerings, accounts)

    def unclaimed(self, accounts: Iterable[str]) -> dict[str, Claim]:
        """The same; an orphan of today is not asked about in every cycle.

        Where orphans are removed, memory is no ground to do so.
        """
        names = set(accounts)
        known = names & self.seen.strangers if not self.config.reconcile.prune else set[str]()
        answers = self.claims(names - known)
        self.seen.asked = {n for n, claim in answers.items() if claim.verdict == "unknown"}
        return {**answers, **{n: Claim("unknown", offering=self.site.offerings[0].name) for n in known}}

    def made(self, containers: Iterable[str]) -> frozenset[str]:
        """Which of these project and customer accounts were made for something that a portal knows."""
        names = list(containers)
        found: frozenset[str] = frozenset()
        for offering in self.site.offerings if names else ():
            found |= self.site.portals[offering.name].source.made(names, self.facts[offering.name])
        return found

    def ordered(self, offerings: Sequence[str], desired: Desired) -> dict[str, Order]:
        """What was ordered last, by resource; a portal that cannot tell spoils only the limits that would fall."""
        found: dict[str, Order] = {}
        for name in offerings:
            try:
                found |= self.site.portals[name].source.ordered()
            except ReconcileError as error:
                text = f"orders that are done cannot be read, so no limit that falls is applied: {error.message}"
                desired.warnings.append(Note(waldur.offering(name), text, name))
        return found

    # ------------------------------------------------------------------ the cluster

    def known_users(self, names: Iterable[str]) -> frozenset[str]:
        """Which names the head node has. Raises :class:`ReadError`."""
        listed = list(names)
        return self.site.cluster.known_users(listed) if listed else frozenset()

    def jobs(self) -> Jobs:
        """Running and pending jobs, none where the cluster shows none. Raises :class:`ReadError`."""
        cluster = self.site.cluster
        return cluster.jobs(self.reading) if Feature.JOBS in cluster.features else {}

    def consumed(self) -> Mapping[str, Mapping[str, int]] | None:
        """What counts against budgets at this moment, by account; None where the cluster counts nothing."""
        if Feature.COUNTERS not in self.site.cluster.features:
            return None
        if self._consumed is None:
            self._consumed = self.site.cluster.consumed()
        return self._consumed

    def disproved(self, addresses: Sequence[Address]) -> dict[Address, str]:
        """What did not end as it should when it was changed last. Raises :class:`ReconcileError`."""
        memory = self.seen.memory
        return Journal(memory.store, memory.cluster).disproved(addresses)

    def activity(self, changes: Sequence[Change]) -> Activity:
        """Jobs and usage, asked only when something would be deleted."""
        deletions = [c for c in changes if c.action is Action.DELETE]
        if not deletions:
            return Activity()
        cluster, reading = self.site.cluster, self.reading
        accounts = sorted(c.address.key[0] for c in deletions if is_account(c.address))
        grace = self.today - timedelta(days=self.config.reconcile.guards.prune_grace)
        since = min(self.today.replace(day=1), grace)
        try:
            active = self.jobs()
        except (CommandError, ReadError) as error:
            return Activity(unknown=error.message)
        stuck = cluster.stuck(reading) if Feature.JOBS in cluster.features else Stuck()
        try:
            used = cluster.used(reading, accounts, since) if accounts else frozenset()
        except (CommandError, ReadError) as error:
            return Activity(active, since=str(since), usage_unknown=error.message, stuck=stuck)
        return Activity(active, used, since=str(since), stuck=stuck)
