"""Usage of some offerings: read from where it is accounted, compared with the portals, told to them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from reconciler.config import Config, Offering
from reconciler.errors import ConfigError, ReconcileError
from reconciler.fulfilment import tell
from reconciler.outcome import Listener, Outcome
from reconciler.plan import Mode, Plan, now_text, ordered, require_fresh, restricted
from reconciler.portals import portal_of
from reconciler.providers import dwdi
from reconciler.providers.metered import Metered
from reconciler.providers.portal import Portal
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.accounting import SacctSource
from reconciler.providers.usage import UsageSource
from reconciler.state import kinds
from reconciler.state.diff import diff
from reconciler.state.facts import Facts
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.period import Period, recent
from reconciler.state.usage import Accounted
from reconciler.store import Journal, Store, store_of
from reconciler.store.journal import Stop, never
from reconciler.usage import ALLOW_DECREASE, Account, desired

Progress = Callable[[str], None]


@dataclass
class Part:
    """Usage as it should be and as it is, for a plan to take in; ``accounts`` is what both were made of."""

    desired: Desired = field(default_factory=Desired)
    actual: State = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)
    failures: list[ReconcileError] = field(default_factory=list)


@dataclass(frozen=True)
class Planned:
    """A plan of usage alone."""

    plan: Plan
    part: Part

    @property
    def reading(self) -> Part:
        """What it was made from."""
        return self.part


class Accounting:
    """Usage of offerings that share a cluster, or of one offering without any."""

    def __init__(
        self,
        config: Config,
        label: str,
        offerings: Sequence[Offering],
        runner: CommandRunner,
        portals: Mapping[str, Portal] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        store: Store | None = None,
    ) -> None:
        self.config = config
        self.label = label
        self.offerings = tuple(o for o in offerings if o.reports)
        self.runner = runner
        self.clock = clock
        self.portals = portals if portals is not None else {o.name: portal_of(o, config) for o in self.offerings}
        self.journal = Journal(store or store_of(config), label, clock)
        self._unread: dict[str, ReconcileError] = {}  # offerings whose portal did not answer
        self._sacct: dict[str, SacctSource] = {}
        self._sources: dict[str, UsageSource] = {}

    @property
    def requests(self) -> int:
        """HTTP requests made to portals so far."""
        return sum(p.requests for p in self.portals.values())

    @property
    def periods(self) -> tuple[Period, ...]:
        """The months that are reported in each cycle, oldest first."""
        return recent(self.clock(), self.config.timezone, self.config.reporting_periods)

    def source(self, offering: Offering) -> UsageSource:
        """Where an offering's usage is accounted. Raises :class:`ConfigError`."""
        if offering.name not in self._sources:
            self._sources[offering.name] = self._source(offering)
        return self._sources[offering.name]

    def _source(self, offering: Offering) -> UsageSource:
        if offering.reporting == "slurm":
            return self.sacct(offering)
        return dwdi.source(offering, self.config)

    def sacct(self, offering: Offering) -> SacctSource:
        """The accounting database of an offering's cluster; offerings on one cluster share it."""
        cluster = offering.backend_settings.cluster_name or ""
        return self._sacct.setdefault(cluster, SacctSource(self.runner, cluster or None, self.config.timezone))

    # ------------------------------------------------------------------ what should be, and what is

    def part(
        self,
        facts: Mapping[str, Facts],
        periods: Sequence[Period],
        *,
        allowed: frozenset[str] = frozenset(),
        told: bool = True,
        progress: Progress = lambda text: None,
    ) -> Part:
        """Usage of these periods. What cannot be read is a refused note and a failure; the rest goes on.

        ``told``: compare it with what the portals hold.
        """
        part = Part()
        fall = self.config.reconcile.guards.allow_decrease or ALLOW_DECREASE in allowed
        for offering in self.offerings:
            if offering.name in self._unread:
                _failed(part, offering, periods[-1], self._unread[offering.name])
        served = [o for o in self._served(part, periods) if o.name in facts and not o.from_file]
        metered = self._metered(served, facts, part)
        now = Period.of(self.clock(), self.config.timezone)
        for period in periods:
            progress(f"{self.label}: reading usage of {period}")
            for offering, accounted in self._accounted(served, metered, period, part):
                source = self.source(offering)
                try:
                    held = self.portals[offering.name].usages(period) if told else {}
                    account = Account(
                        offering,
                        facts[offering.name],
                        period,
                        source.name,
                        accounted,
                        held,
                        # servers that take no dates go by their own clock, which is in UTC
                        current=period == now
                        and (facts[offering.name].takes_states or period == Period.of(self.clock(), "UTC")),
                        # silence of a whole source is not believed: it may be in trouble
                        may_fall=fall or (source.may_fall and _tells(accounted)),
                        before=self._before(offering, facts[offering.name], period, held),
                    )
                    self._add(part, self._with_staff(account) if told else account)
                except ReconcileError as error:
                    _failed(part, offering, period, error)
        return part

    def _served(self, part: Part, periods: Sequence[Period]) -> list[Offering]:
        """Offerings whose source can be asked; a setting that is missing concerns only its own."""
        found = []
        for offering in self.offerings:
            try:
                self.source(offering)
                found.append(offering)
            except ConfigError as error:
                _failed(part, offering, periods[-1], error)
        return found

    def _before(
        self, offering: Offering, facts: Facts, period: Period, held: State
    ) -> dict[str, list[tuple[str, Obj]]]:
        """What the portal holds of ended resources whose account another one has taken over within the period."""
        source = self.source(offering)
        live = {r.uuid for r in facts.resources}
        fresh = {source.key(r): r.uuid for r in facts.resources if r.created and r.created >= period.first}
        others = [a for a in held if a.key[0] not in live]
        if not fresh or not others:
            return {}
        keys = {r.uuid: source.key(r) for r in self.portals[offering.name].ended(period.first)}
        found: dict[str, list[tuple[str, Obj]]] = defaultdict(list)
        for address in others:
            heir = fresh.get(keys.get(address.key[0], ""))
            if heir:
                found[heir].append((address.key[2], held[address]))
        return dict(found)

    def _with_staff(self, account: Account) -> Account:
        """Ask who the token is only where a month that is over would be changed."""
        if account.current or not account.facts.takes_states:
            return account
        if not diff(desired(replace(account, staff=True)), account.told):
            return account
        return replace(account, staff=self.portals[account.offering.name].staff())

    def _add(self, part: Part, account: Account) -> None:
        found = desired(account)
        part.desired.objects |= found.objects
        part.desired.refused += found.refused
        part.desired.waiting += found.waiting
        part.desired.warnings += found.warnings
        part.actual |= account.told
        part.accounts.append(account)

    def _metered(
        self, offerings: Sequence[Offering], facts: Mapping[str, Facts], part: Part
    ) -> dict[str, list[Metered]]:
        """Resources that can be asked for; two that share an account are none, as nobody knows who pays."""
        sources = {o.name: self.source(o) for o in offerings}
        keyed = [
            (o, r, sources[o.name].name, key)
            for o in offerings
            for r in facts[o.name].resources
            if (key := sources[o.name].key(r))
        ]
        count = Counter((source, key) for _, _, source, key in keyed)
        found: dict[str, list[Metered]] = {o.name: [] for o in offerings}
        for offering, resource, source, key in keyed:
            if (shared := count[source, key]) > 1:
                text = f'"{resource.name}": {shared} resources share {key!r}, so nobody knows whose usage it is'
                part.desired.refused.append(Note(kinds.resource(resource.uuid), text, offering.name))
            else:
                found[offering.name].append(Metered(resource, offering.backend_components))
        return found

    def _accounted(
        self, offerings: Sequence[Offering], metered: Mapping[str, Sequence[Metered]], period: Period, part: Part
    ) -> Iterator[tuple[Offering, Accounted]]:
        """What each offering's source tells; a source that several share is read once."""
        shared: dict[int, list[Offering]] = defaultdict(list)
        for offering in offerings:
            shared[id(self.source(offering))].append(offering)
        for members in shared.values():
            wanted = [m for o in members for m in metered[o.name]]
            try:
                accounted = self.source(members[0]).read(period, wanted) if wanted else Accounted()
            except ReconcileError as error:
                for offering in members:
                    _failed(part, offering, period, error)
                continue
            for number, offering in enumerate(members):
                mine = {m.resource.uuid for m in metered[offering.name]}
                used = {u: a for u, a in accounted.used.items() if u in mine}
                # what is said of the whole answer is said once
                yield offering, replace(accounted, used=used, bad_count=0 if number else accounted.bad_count)

    # ------------------------------------------------------------------ usage alone

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to report this usage."""
        with self.journal.store.locked(self.label):
            yield

    def facts(self, progress: Progress = lambda text: None) -> dict[str, Facts]:
        """What the portals know of resources and people. Raises :class:`ReadError` where none of them answers."""
        found = {}
        self._unread = {}
        for offering in self.offerings:
            progress(f"{self.label}: reading offering {offering.name}")
            try:
                found[offering.name] = self.portals[offering.name].usage_facts()
            except ReconcileError as error:
                self._unread[offering.name] = error
        if self._unread and not found:
            raise next(iter(self._unread.values()))
        return found

    def plan(
        self,
        *,
        periods: Sequence[Period] = (),
        targets: Sequence[str] = (),
        offering: str = "",
        mode: Mode = Mode.REPORT,
        allowed: frozenset[str] = frozenset(),
        progress: Progress = lambda text: None,
        facts: Mapping[str, Facts] | None = None,
    ) -> Planned:
        """Compare usage. Raises :class:`ReadError` when nothing at all could be read; nothing is changed."""
        part = self.part(facts or self.facts(progress), periods or self.periods, allowed=allowed, progress=progress)
        if part.failures and not part.accounts:
            raise part.failures[0]
        changes = diff(part.desired, part.actual)
        plan = Plan(
            cluster=self.label,
            offerings=tuple(o.name for o in self.offerings),
            changes=ordered([c for c in changes if not c.blocked]),
            blocked=tuple(sorted((c for c in changes if c.blocked), key=lambda c: c.address)),
            refused=tuple(part.desired.refused),
            waiting=tuple(part.desired.waiting),
            warnings=tuple(part.desired.warnings),
            config_digest=self.config.digest,
            created=now_text(self.clock),
            allowed=allowed,
        )
        return Planned(restricted(plan, targets, offering), part)

    def require_fresh(self, plan: Plan) -> None:
        """Raise :class:`StalePlanError` where the portals moved on since the plan was made."""
        actual: State = {}
        for name, portal in self.portals.items():
            concerned = [c.address for c in plan.changes if name in c.offerings]
            actual |= portal.read(concerned) if concerned else {}
        require_fresh(plan, actual)

    def apply(
        self, plan: Plan, *, reading: object = None, listener: Listener | None = None, stop: Stop = never
    ) -> Outcome:
        """Tell the portals. Without a ``reading`` of this moment the plan's preconditions are checked.

        Raises :class:`StalePlanError`; nothing is told then.
        """
        if reading is None:
            self.require_fresh(plan)
        with self.journal.run(plan.config_digest, len(plan.changes), stop) as run:
            outcome = tell(self.portals, plan, listener, run)
            run.failed = bool(outcome.failures)
            run.left = len(outcome.applied) < len(plan.changes)
            return outcome

    def interrupted(self) -> list[str]:
        """Runs that died; usage is compared anew, so nothing has to be mended by hand."""
        return [
            f"run {run.id} ({run.holder}) was interrupted; usage is compared anew"
            for run, _ in self.journal.interrupted()
        ]

    def remember(self, *, refused: bool = False) -> str:
        """Forget what is too old in the journal; what a person should know of the store, or nothing."""
        try:
            if not refused:
                self.journal.close()
            self.journal.prune(self.config.reconcile.history_days)
        except ReconcileError as error:
            return f"the journal cannot be kept short: {error}"
        return "; ".join(self.journal.store.notices)


def _tells(accounted: Accounted) -> bool:
    return any(any(used.total.values()) for used in accounted.used.values())


def _failed(part: Part, offering: Offering, period: Period, error: ReconcileError) -> None:
    text = f"usage of {period} could not be read, so it is not reported: {error}"
    part.desired.refused.append(Note(Address("waldur.offering", (offering.name,)), text, offering.name))
    part.failures.append(error)
