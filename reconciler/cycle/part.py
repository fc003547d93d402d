"""Usage as a part of a plan: read from where it is accounted, and compared with what the portals hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.config import Config, Offering
from reconciler.desired.usage import ALLOW_DECREASE, Account, desired
from reconciler.errors import ConfigError, ReadError, ReconcileError
from reconciler.providers.base import Cluster
from reconciler.providers.portal import Ledger, Portal
from reconciler.providers.registry import backend_of, usage_source
from reconciler.providers.runner import CommandRunner
from reconciler.providers.usage import Metered, UsageSource
from reconciler.state import waldur
from reconciler.state.diff import diff
from reconciler.state.facts import Facts
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.period import Period
from reconciler.state.usage import Accounted

_SOMETHING = "once a job ran it can be told which"


@dataclass
class Part:
    """Usage as it should be and as it is, for a plan to take in; ``accounts`` is what both were made of."""

    desired: Desired = field(default_factory=Desired)
    actual: State = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)
    failures: list[ReconcileError] = field(default_factory=list)
    silent: str = ""  # why nothing of it is believed, although something answered
    unread: list[Note] = field(default_factory=list)  # what is not known, in words; they are refused notes as well


@dataclass(frozen=True)
class Answered:
    """What the portals know of resources and people, by offering, and offerings whose portal did not answer."""

    facts: Mapping[str, Facts]
    unread: Mapping[str, ReconcileError] = field(default_factory=dict)


class Sources:
    """Where usage is accounted, asked as if for the first time: what one knew before is no sign that it answers now."""

    def __init__(self, config: Config, runner: CommandRunner, cluster: Cluster | None) -> None:
        self._config, self._runner, self._cluster = config, runner, cluster
        self._clusters: dict[tuple[str, str], UsageSource] = {}
        self._sources: dict[str, UsageSource] = {}

    def of(self, offering: Offering) -> UsageSource:
        """Where an offering's usage is accounted. Raises :class:`ConfigError`."""
        if offering.name not in self._sources:
            made = self.of_cluster(offering) if offering.metered_there else usage_source(offering, self._config)
            self._sources[offering.name] = made
        return self._sources[offering.name]

    def of_cluster(self, offering: Offering) -> UsageSource:
        """What its cluster itself accounts; offerings on one cluster share it."""
        where = (offering.kind_of_cluster, offering.cluster_name)
        if where not in self._clusters:
            here = self._cluster or backend_of(where[0]).open(where[1] or None, self._runner, self._config)
            self._clusters[where] = here.usage(self._config)
        return self._clusters[where]


@dataclass
class UsageReader:
    """Reads usage for one part of a plan. ``compare``: with what portals hold; ``allowed``: guards that are lifted."""

    config: Config
    offerings: Sequence[Offering]
    portals: Mapping[str, Portal]
    now: datetime
    told: Answered
    sources: Sources
    allowed: frozenset[str] = frozenset()
    compare: bool = True
    part: Part = field(default_factory=Part)
    _staff: dict[str, bool] = field(default_factory=dict)

    def read(self, periods: Sequence[Period], only: Collection[str] | None, progress: Callable[[str], None]) -> Part:
        """Usage of these periods, oldest first; ``only``: of these resources."""
        last = periods[-1]
        for offering in self.offerings:
            if offering.name in self.told.unread:
                _failed(self.part, offering, last, self.told.unread[offering.name])
        served = [
            o for o in self._served(last) if o.name in self.told.facts and self.portals[o.name].ledger is not None
        ]
        metered = self._metered(served, only)
        for period in periods:
            progress(f"reading usage of {period}")
            for offering, accounted in self._accounted(served, metered, period):
                try:
                    account = self._account(offering, period, accounted)
                    _add(self.part, self._with_staff(account) if self.compare else account)
                except ReconcileError as error:
                    _failed(self.part, offering, period, error)
        self._believed(last)
        return self.part

    def ledger(self, offering: str) -> Ledger:
        """Where an offering's usage is kept. Raises :class:`ReadError` where it is nowhere."""
        found = self.portals[offering].ledger
        if found is None:
            raise ReadError(f"offering {offering}: where its facts come from no usage is kept")
        return found

    def _account(self, offering: Offering, period: Period, accounted: Accounted) -> Account:
        source, facts = self.sources.of(offering), self.told.facts[offering.name]
        held = self.ledger(offering.name).usages(period) if self.compare else {}
        fall = self.config.reconcile.guards.allow_decrease or ALLOW_DECREASE in self.allowed
        now = self.now
        return Account(
            offering,
            facts,
            period,
            source.name,
            accounted,
            held,
            # servers that take no dates go by their own clock, which is in UTC
            current=period == Period.of(now, self.config.timezone)
            and (facts.takes_states or period == Period.of(now, "UTC")),
            # silence of a whole source is not believed: it may be in trouble
            may_fall=fall or (source.may_fall and _tells(accounted)),
            before=self._before(offering, source, facts, period, held),
        )

    def _believed(self, period: Period) -> None:
        """Mark what comes from a source that knows nobody at all, in no period: that may be a query that failed."""
        unheard: dict[str, str] = {}
        for offering in {a.offering.name: a.offering for a in self.part.accounts if a.accounted.used}.values():
            try:
                text = self.sources.of(offering).silence()
            except ReconcileError as error:
                _failed(self.part, offering, period, error)
                continue
            if text:
                unheard[offering.name] = self.part.silent = text
                _not_known(self.part, offering, f"usage could not be read: {text}; {_SOMETHING}")
        self.part.accounts = [_doubted(a, unheard.get(a.offering.name, "")) for a in self.part.accounts]

    def _served(self, period: Period) -> list[Offering]:
        """Offerings whose source can be asked; a setting that is missing concerns only its own."""
        found = []
        for offering in self.offerings:
            try:
                self.sources.of(offering)
                found.append(offering)
            except ConfigError as error:
                _failed(self.part, offering, period, error)
        return found

    def _before(
        self, offering: Offering, source: UsageSource, facts: Facts, period: Period, held: State
    ) -> dict[str, list[tuple[str, Obj]]]:
        """What the portal holds of ended resources whose account another one has taken over within the period."""
        live = {r.uuid for r in facts.resources}
        fresh = {source.key(r): r.uuid for r in facts.resources if r.created and r.created >= period.first}
        others = [a for a in held if a.key[0] not in live]
        if not fresh or not others:
            return {}
        keys = {r.uuid: source.key(r) for r in self.ledger(offering.name).ended(period.first)}
        found: dict[str, list[tuple[str, Obj]]] = defaultdict(list)
        for address in others:
            heir = fresh.get(keys.get(address.key[0], ""))
            if heir:
                found[heir].append((address.key[2], held[address]))
        return dict(found)

    def _with_staff(self, account: Account) -> Account:
        """Ask who the token is, once, and only where a month that is over would be changed."""
        if account.current or not account.facts.takes_states:
            return account
        if not diff(desired(replace(account, staff=True)), account.told):
            return account
        name, known = account.offering.name, account.facts.staff
        if name not in self._staff:
            self._staff[name] = self.ledger(name).staff() if known is None else known
        return replace(account, staff=self._staff[name])

    def _metered(self, offerings: Sequence[Offering], only: Collection[str] | None) -> dict[str, list[Metered]]:
        """Resources that can be asked for; two that share an account are none, as nobody knows who pays."""
        sources, facts = {o.name: self.sources.of(o) for o in offerings}, self.told.facts
        keyed = [
            (o, r, sources[o.name].name, key)
            for o in offerings
            for r in facts[o.name].resources
            if (key := sources[o.name].key(r))
        ]
        count = Counter((source, key) for _, _, source, key in keyed)
        found: dict[str, list[Metered]] = {o.name: [] for o in offerings}
        for offering, resource, source, key in keyed:
            if only is not None and resource.uuid not in only:
                continue
            if (shared := count[source, key]) > 1:
                text = f'"{resource.name}": {shared} resources share {key!r}, so nobody knows whose usage it is'
                self.part.desired.refused.append(Note(waldur.resource(resource.uuid), text, offering.name))
            else:
                found[offering.name].append(Metered(resource, offering.backend_components))
        return found

    def _accounted(
        self, offerings: Sequence[Offering], metered: Mapping[str, Sequence[Metered]], period: Period
    ) -> Iterator[tuple[Offering, Accounted]]:
        """What each offering's source tells; a source that several share is read once."""
        shared: dict[int, list[Offering]] = defaultdict(list)
        for offering in offerings:
            shared[id(self.sources.of(offering))].append(offering)
        for members in shared.values():
            wanted = [m for o in members for m in metered[o.name]]
            try:
                accounted = self.sources.of(members[0]).read(period, wanted) if wanted else Accounted()
            except ReconcileError as error:
                for offering in members:
                    _failed(self.part, offering, period, error)
                continue
            for number, offering in enumerate(members):
                mine = {m.resource.uuid for m in metered[offering.name]}
                used = {u: a for u, a in accounted.used.items() if u in mine}
                # what is said of the whole answer is said once
                yield offering, replace(accounted, used=used, bad_count=0 if number else accounted.bad_count)


def _add(part: Part, account: Account) -> None:
    found = desired(account)
    part.desired.objects |= found.objects
    part.desired.refused += found.refused
    part.desired.waiting += found.waiting
    part.desired.warnings += found.warnings
    part.actual |= account.told
    part.accounts.append(account)


def _doubted(account: Account, silent: str) -> Account:
    return replace(account, accounted=replace(account.accounted, silent=silent))


def _tells(accounted: Accounted) -> bool:
    return any(any(used.total.values()) for used in accounted.used.values())


def _failed(part: Part, offering: Offering, period: Period, error: ReconcileError) -> None:
    text = f"usage of {period} could not be read, so it is not reported: {error}"
    _not_known(part, offering, text)
    part.failures.append(error)


def _not_known(part: Part, offering: Offering, text: str) -> None:
    note = Note(waldur.offering(offering.name), text, offering.name)
    part.desired.refused.append(note)
    part.unread.append(note)
