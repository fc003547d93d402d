"""Usage of some offerings, planned and told as one: of a cluster, or of all without any."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.apply.portal import tell
from reconciler.apply.record import Listener, Outcome
from reconciler.config import Config, Offering
from reconciler.cycle.part import Answered, Part, Sources, UsageReader
from reconciler.cycle.planning import About, Asked, Draft, plan_of
from reconciler.cycle.scope import Planned
from reconciler.cycle.world import Progress, silent
from reconciler.errors import ReconcileError
from reconciler.plan.fresh import require_fresh, stale
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.providers.base import Cluster
from reconciler.providers.portal import Portal
from reconciler.providers.registry import portal_of
from reconciler.providers.runner import CommandRunner
from reconciler.state.facts import Facts, Told
from reconciler.state.model import Address, State
from reconciler.state.period import Period, recent
from reconciler.store import Journal, Store, store_of
from reconciler.store.journal import Stop, never
from reconciler.store.names import USAGE, labels, scope_name


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
        cluster: Cluster | None = None,
    ) -> None:
        self.config = config
        self.label = label
        self.offerings = tuple(o for o in offerings if o.reports)
        self.runner = runner
        self.clock = clock
        self.portals = portals if portals is not None else {o.name: portal_of(o, config) for o in self.offerings}
        self.journal = Journal(store or store_of(config), label, clock)
        self._cluster = cluster

    @property
    def names(self) -> frozenset[str]:
        """All names of the cluster that it is locked by: who never asked SLURM must be kept out, too."""
        known = labels(self.config, self.offerings, self.journal.store)
        return frozenset({*known, self.label.removeprefix(USAGE)})

    @property
    def cluster(self) -> Cluster | None:
        """Usage is told, and no command makes it."""
        return None

    def serves(self, plan: Plan) -> bool:
        """Whether a plan was made for it."""
        return plan.cluster == self.label

    def rename(self, label: str) -> None:
        """SLURM told what the cluster is called."""
        self.label = self.journal.cluster = label

    @property
    def requests(self) -> int:
        """HTTP requests made to portals so far."""
        return sum(p.requests for p in self.portals.values())

    @property
    def periods(self) -> tuple[Period, ...]:
        """The months that are reported in each cycle, oldest first."""
        return recent(self.clock(), self.config.timezone, self.config.reporting_periods)

    def sources(self) -> Sources:
        """The sources of one cycle."""
        return Sources(self.config, self.runner, self._cluster)

    # ------------------------------------------------------------------ what should be, and what is

    def part(
        self,
        told: Answered,
        periods: Sequence[Period],
        *,
        sources: Sources | None = None,
        only: Collection[str] | None = None,
        allowed: frozenset[str] = frozenset(),
        compare: bool = True,
        progress: Progress = silent,
    ) -> Part:
        """Usage of these periods. What cannot be read is a refused note and a failure; the rest goes on.

        ``only``: of these resources; ``compare``: with what the portals hold.
        """
        reader = UsageReader(
            self.config, self.offerings, self.portals, self.clock(), told, sources or self.sources(), allowed, compare
        )
        return reader.read(periods, only, lambda text: progress(f"{scope_name(self.label)}: {text}"))

    # ------------------------------------------------------------------ usage alone

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to report this usage."""
        with ExitStack() as held:
            for name in sorted(self.names):
                held.enter_context(self.journal.store.locked(f"{USAGE}{name}"))
            yield

    def facts(self, progress: Progress = silent) -> Answered:
        """What the portals know of resources and people. Raises :class:`ReadError` where none of them answers."""
        found: dict[str, Facts] = {}
        unread: dict[str, ReconcileError] = {}
        for offering in self.offerings:
            progress(f"{scope_name(self.label)}: reading offering {offering.name}")
            try:
                portal = self.portals[offering.name]
                found[offering.name] = (
                    portal.ledger.usage_facts() if portal.ledger is not None else portal.source.facts(self.clock())
                )
            except ReconcileError as error:
                unread[offering.name] = error
        if unread and not found:
            raise next(iter(unread.values()))
        return Answered(found, unread)

    def plan(
        self,
        *,
        periods: Sequence[Period] = (),
        targets: Sequence[str] = (),
        offering: str = "",
        mode: Mode = Mode.REPORT,
        allowed: frozenset[str] = frozenset(),
        progress: Progress = silent,
        told: Answered | None = None,
        sources: Sources | None = None,
    ) -> Planned:
        """Compare usage. Raises :class:`ReadError` when nothing at all could be read; nothing is changed."""
        told = told or self.facts(progress)
        part = self.part(told, periods or self.periods, sources=sources, allowed=allowed, progress=progress)
        if part.failures and not part.accounts:
            raise part.failures[0]
        draft = Draft(unread=part.unread)
        draft.add(part.desired, part.actual)
        names = tuple(o.name for o in self.offerings)
        known = Told(told.facts, part.actual)
        about = About(self.label, names, self.config.digest, self.clock(), told=known)
        return Planned(plan_of(draft, about, Asked(targets, offering, allowed=allowed)), part=part)

    def require_fresh(self, plan: Plan) -> None:
        """Raise :class:`StalePlanError` where the portals moved on since a saved plan was made."""
        require_fresh(stale(plan, self._now(plan)))

    def _now(self, plan: Plan) -> State:
        """What a plan changes, as the portals have it at this moment."""
        actual: State = {}
        for name, portal in self.portals.items():
            concerned = [c.address for c in plan.changes if name in c.offerings]
            actual |= portal.listening.read(concerned) if concerned and portal.listening is not None else {}
        return actual

    def apply(
        self,
        plan: Plan,
        *,
        planned: Planned | None = None,
        again: bool = False,
        saved: bool = False,
        listener: Listener | None = None,
        stop: Stop = never,
    ) -> Outcome:
        """Tell the portals. Where it was not ``planned`` in this run, or the world is to be looked at ``again``, the
        plan's preconditions are checked.

        What moved since blocks that object alone, or the whole of a ``saved`` plan: :class:`StalePlanError`.
        """
        moved: dict[Address, str] = {}
        if planned is None or again:
            now = self._now(plan)
            moved = stale(plan, now)
            plan = replace(plan, told=plan.told.then(Told(held=now)))
        if saved:
            require_fresh(moved)
        with self.journal.run(plan.config_digest, len(plan.changes), stop) as run:
            outcome = tell(self.portals, plan, listener, run, moved)
            run.failed = bool(outcome.failures)
            run.left = len(outcome.applied) < len(plan.changes)
            return outcome

    def interrupted(self) -> list[str]:
        """Runs that died; usage is compared anew, so nothing has to be mended by hand."""
        return [
            f"run {run.id} ({run.holder}) was interrupted; usage is compared anew"
            for run, _ in self.journal.interrupted()
        ]

    def remember(self, planned: Planned | None = None, *, refused: bool = False) -> str:
        """Forget what is too old in the journal; what a person should know of the store, or nothing."""
        try:
            if not refused:
                self.journal.close()
            self.journal.prune(self.config.reconcile.history_days)
        except ReconcileError as error:
            return f"the journal cannot be kept short: {error}"
        return "; ".join(self.journal.store.notices)
