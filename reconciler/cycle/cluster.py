"""One cluster with all offerings on it, planned and applied as one: lock, read, plan, apply, remember."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.apply.executor import Executor
from reconciler.apply.record import Listener, Outcome
from reconciler.config import Config, Offering, Runner
from reconciler.cycle import parts
from reconciler.cycle.ending import LastUsage
from reconciler.cycle.fresh import elsewhere, moved
from reconciler.cycle.memory import Seen, ended
from reconciler.cycle.periodic import renewed
from reconciler.cycle.planning import Asked, Draft, plan_of, require_known
from reconciler.cycle.scope import Planned
from reconciler.cycle.usage import Accounting
from reconciler.cycle.world import Progress, Site, World, silent
from reconciler.errors import LockedError, ReconcileError
from reconciler.plan.fresh import require_fresh
from reconciler.plan.model import Plan
from reconciler.plan.order import ordered
from reconciler.plan.select import Mode
from reconciler.providers.base import Reading
from reconciler.providers.portal import Portal
from reconciler.providers.registry import backend_of, portal_of
from reconciler.providers.runner import CommandRunner
from reconciler.state.facts import DONE, Told
from reconciler.state.model import Address
from reconciler.state.names import fold
from reconciler.store import Journal, Memory, store_of
from reconciler.store.journal import Stop, never
from reconciler.store.names import UNNAMED, USAGE, learn, learnt, scope_name

PARTS = (parts.Accounts(), parts.Homes(), parts.Resources())


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the cycle collector: it would walk 100,000s of fresh and long-lived objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class Lock:
    """The names that are held, and whether another process tells usage at this moment."""

    names: frozenset[str] = frozenset()
    usage_elsewhere: bool = False


class Cluster:
    """One cluster with all offerings on it: they share its account tree, so they are planned together.

    ``commands`` and ``portals`` (by offering) stand in for those that the configuration names. What is good for one
    cycle only lives in its :class:`World`, so that any number of cycles may follow each other.
    """

    def __init__(
        self,
        config: Config,
        name: str | None,
        offerings: Sequence[Offering],
        runner: Runner,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        commands: CommandRunner | None = None,
        portals: Mapping[str, Portal] | None = None,
    ) -> None:
        self.config = config
        self.offerings = tuple(offerings)
        self.runner = commands or CommandRunner(runner, veil=config.veil)
        self.backend = backend_of(next(o.cluster_backend for o in self.offerings))
        self.cluster = self.backend.open(name, self.runner, config)
        self.clock = clock
        self.store = store_of(config)
        self.portals = dict(portals or {o.name: portal_of(o, config) for o in offerings})
        self.site = Site(config, self.offerings, self.backend, self.cluster, self.portals, clock)
        self._reached = runner
        self._learnt = "" if name else learnt(self.store, runner)
        self._lock = Lock()
        self.memory = Memory(self.store, self.label)
        self.journal = Journal(self.store, self.label, clock)
        # one store, so that every action looks at both locks
        usage = f"{USAGE}{self.label}"
        self.accounting = Accounting(
            config, usage, offerings, self.runner, self.portals, clock, store=self.store, cluster=self.cluster
        )

    # ------------------------------------------------------------------ names and locks

    @property
    def label(self) -> str:
        """The cluster for messages and locks: as configured, or as it told."""
        return fold(self.cluster.name or self._learnt or UNNAMED)

    @property
    def names(self) -> frozenset[str]:
        """All names that it is locked and frozen by: who never asked the cluster must be kept out, too."""
        return frozenset({self.label} if self.cluster.name else {self.label, UNNAMED})

    def serves(self, plan: Plan) -> bool:
        """Whether a plan was made for it; one without a name may be any, until it is asked."""
        return not plan.cluster.startswith(USAGE) and (self.cluster.name or plan.cluster).lower() == plan.cluster

    def ask_name(self) -> None:
        """Have the cluster tell what it is called, where nobody named it. Raises :class:`ReconcileError`."""
        if not self.cluster.name and not self._learnt:
            self._learnt = self.cluster.told_name()

    def keep_name(self) -> None:
        """Ask for that name, and keep it. Raises :class:`ReconcileError`."""
        self.ask_name()
        self._learn()

    def _learn(self) -> None:
        """Keep the name that the cluster told, and all that is remembered under it."""
        if not self.cluster.name and self._learnt:
            learn(self.store, self._reached, self._learnt)
            self.memory.cluster = self.journal.cluster = self.label
            self.accounting.rename(f"{USAGE}{self.label}")

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return sum(p.requests for p in self.portals.values())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to apply to this cluster; where another process tells usage, usage is left to it."""
        with ExitStack() as held:
            held.callback(setattr, self, "_lock", Lock())
            self._lock = Lock(self.names)
            for name in sorted(self.names):
                held.enter_context(self.store.locked(name))
            if self.accounting.offerings:
                try:
                    held.enter_context(self.accounting.locked())
                except LockedError:
                    self._lock = Lock(self.names, usage_elsewhere=True)
            yield

    # ------------------------------------------------------------------ planning

    def plan(
        self,
        *,
        targets: Sequence[str] = (),
        offering: str = "",
        mode: Mode = Mode.ALL,
        allowed: frozenset[str] = frozenset(),
        usage: bool = True,
        counts: bool = False,
        progress: Progress = silent,
    ) -> Planned:
        """Read both sides and compare. Raises :class:`ReadError`; nothing is changed.

        ``counts``: what the cluster counts at this moment is to be shown.
        """
        with without_collector():
            asked = Asked(targets, offering, mode, allowed)
            world = World.of(self.site, self.label, self.memory, allowed, progress)
            world.counts = counts
            self._learnt = world.reading.cluster
            world.label = self.label
            world.sources = parts.sources(world)
            return self._planned(world, asked, usage_too=usage)

    def _planned(self, world: World, asked: Asked, *, usage_too: bool) -> Planned:
        draft = Draft()
        usage = parts.Usage(self.accounting, elsewhere=self._lock.usage_elsewhere or not usage_too)
        for part in (*PARTS, usage):
            part.look(world, draft, asked)
        require_known(draft, asked.targets, f"{self.backend.shape.account}[hpc_climate]")
        plan = plan_of(draft, parts.about(world, draft), asked, consented=parts.consented(draft.built))
        world.to_report = frozenset(c.address for c in plan.changes if c.address.kind == "waldur.usage")
        everything = ordered(draft.changes, draft.actual)
        return Planned(plan, world.reading, draft.built, draft.sides[0], everything, world, usage.part)

    # ------------------------------------------------------------------ applying

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
        """Apply a plan under the lock.

        Where it was not ``planned`` in this run, or the world is to be looked at ``again``, its preconditions are
        checked. What moved since blocks that object alone, or the whole of a ``saved`` plan, which is what was
        reviewed. ``stop`` says why nothing more may be begun. Raises :class:`ReconcileError` when nothing may be done.
        """
        with ExitStack() as held:
            reading = planned.reading if planned is not None and not again else None
            if plan.cluster not in self._lock.names:
                # the name was not configured but read: hold its lock too, as one who names it would
                held.enter_context(self.store.locked(plan.cluster))
                reading = None
            checked, stale = reading is None, dict[Address, str]()
            if reading is None:
                reading, plan, stale = self._again(plan)
            if saved:
                require_fresh(stale)
            if plan.cluster != reading.cluster:
                raise ReconcileError(f"the plan is for cluster {plan.cluster!r}, this one is {reading.cluster!r}")
            if saved:  # other plans are made from a read that left these out already
                self._ending(plan)
            with self.journal.run(plan.config_digest, len(plan.changes), stop) as run:
                since = datetime.fromisoformat(plan.created)
                last = LastUsage(self.accounting, since, plan.allowed, elsewhere=self._lock.usage_elsewhere, stop=stop)
                executor = Executor(self.cluster, listener, self.portals, run, last, self._absent())
                outcome = executor.apply(plan, reading, moved=stale, only_shown=checked)
                run.failed = bool(outcome.failures)
                run.left = len(outcome.applied) < len(executor.record.plan.changes)
            self._applied(outcome, planned.world if planned is not None else None)
            return outcome

    def _absent(self) -> Mapping[str, frozenset[str]]:
        """What portals have no place for; what cannot be remembered is tried again."""
        with suppress(ReconcileError):
            return self.memory.absent(self.clock().date())
        return {}

    def _again(self, plan: Plan) -> tuple[Reading, Plan, dict[Address, str]]:
        """The cluster at this moment, the plan with what portals hold now, and what moved since it was made."""
        reading, held = self.cluster.read(), elsewhere(self.site, plan)
        stale = moved(self.world(reading, plan.allowed), plan, held)
        return reading, replace(plan, told=plan.told.then(Told(held=held))), stale

    def _applied(self, outcome: Outcome, world: World | None) -> None:
        """Keep what portals have no place for, and that usage was told; what cannot be kept is asked again."""
        with suppress(ReconcileError):
            self.memory.remember_absent(outcome.absent, self.clock().date())
            self.memory.remember_renewed(renewed(outcome.applied), self.clock())
            if world and world.reported and world.to_report and not world.to_report & outcome.failures.keys():
                self.memory.remember_reported(self.clock())

    def _ending(self, plan: Plan) -> None:
        """Keep that a saved plan ends resources, before it does: the next read misses none of them."""
        done = [c for c in plan.changes if c.address in plan.terminations and (c.after or {}).get("state") == DONE]
        keys = {o.name: o.key for o in self.offerings}
        with suppress(ReconcileError):
            ended(self.memory, Counter(keys[min(c.offerings)] for c in done), self.clock())

    def remember(self, planned: Planned | None = None, *, refused: bool = False) -> str:
        """Keep what was seen, before anything is made; what went wrong, or nothing. ``refused``: it is doubtful.

        A name that is forgotten is a stranger's later: its membership is an orphan then, and left alone.
        """
        world = planned.world if planned is not None else None
        try:
            self._learn()
            if not refused:
                self.journal.close()
            if world is not None:
                world.seen.keep(doubtful=refused, accepted="min_read_share" in world.allowed)
            self.journal.prune(self.config.reconcile.history_days)
            if world is not None and world.reported and not world.to_report:
                self.memory.remember_reported(self.clock())
        except ReconcileError as error:
            return f"usernames are not remembered: {error}"
        return "; ".join(self.store.notices)

    def interrupted(self) -> list[str]:
        """What runs that died had tried and not seen the end of; this cycle goes on from what is there."""
        said = []
        for run, entries in self.journal.interrupted():
            listed = ", ".join(f"{e.action} {e.address}" for e in entries[:5])
            more = f" and {len(entries) - 5} more" if entries[5:] else ""
            half = f"half done: {listed}{more}" if entries else "nothing was half done"
            said.append(f"run {run.id} ({run.holder}) was interrupted; {half}. This run goes on from what is there.")
        return said

    # ------------------------------------------------------------------ whether a plan still holds

    def require_fresh(self, plan: Plan) -> None:
        """Raise :class:`StalePlanError` where the cluster or a portal moved on since a saved plan was made."""
        reading = self.cluster.read()
        if plan.cluster != reading.cluster:
            text = (
                f"the plan is for {scope_name(plan.cluster)}, which the configuration lacks: it is {reading.cluster!r}"
            )
            raise ReconcileError(text, "Nothing was done. Apply it where that cluster is configured.")
        require_fresh(moved(self.world(reading, plan.allowed), plan, elsewhere(self.site, plan)))

    def world(self, reading: Reading, allowed: frozenset[str]) -> World:
        """A cycle that asks no portal: it looks whether a plan still holds, or goes back to what was."""
        return World(self.site, reading, Seen(self.memory, self.clock), self.clock(), allowed)
