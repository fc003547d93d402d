"""One reconcile cycle: read, build, diff, guard, apply, verify. The only place that knows all the others."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler import build, cuts, guard, homes
from reconciler.accounting import Accounting, Part
from reconciler.apply import Executor
from reconciler.chains import Source, Standing
from reconciler.config import Config, Offering, Runner
from reconciler.errors import CommandError, LockedError, ReadError, ReconcileError, StalePlanError
from reconciler.orders import with_orders
from reconciler.outcome import Listener, Outcome
from reconciler.people import Named, former, named, present
from reconciler.plan import USAGE, Mode, Plan, now_text, ordered, removed, require_fresh, require_idle, restricted
from reconciler.portals import claims_of, portal_of
from reconciler.providers.portal import Portal
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import counters, jobs
from reconciler.providers.slurm.read import Reading, SlurmReader
from reconciler.recall import Recall
from reconciler.reported import report
from reconciler.state import kinds, ownership
from reconciler.state.catalog import catalog_of, check
from reconciler.state.diff import Action, Change, diff
from reconciler.state.facts import Claim
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Desired, Note, State
from reconciler.state.naming import fold
from reconciler.state.portal import portal_state
from reconciler.store import Journal, Memory, store_of
from reconciler.store.journal import Stop, never
from reconciler.usage import reported_first

_PORTAL = frozenset(k.name for k in KINDS.values() if k.name.startswith("waldur."))

Progress = Callable[[str], None]


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
class Planned:
    """A plan with everything it was made from; ``diagnose`` explains it."""

    plan: Plan
    reading: Reading
    built: build.Built
    desired: Desired
    changes: tuple[Change, ...]  # before --target and --offering


class Cluster:
    """One cluster with all offerings on it: they share its account tree, so they are planned together.

    ``commands`` and ``portals`` (by offering) stand in for those that the configuration names.
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
        self.runner = commands or CommandRunner(runner)
        self.reader = SlurmReader(self.runner, name)
        self.clock = clock
        self.store = store_of(config)
        self.recall = Recall(Memory(self.store, self.label), clock)
        self.journal = Journal(self.store, self.label, clock)
        self.portals = dict(portals or {o.name: portal_of(o, config) for o in offerings})
        # one store, so that every action looks at both locks
        usage = f"{USAGE}{self.label}"
        self.accounting = Accounting(config, usage, offerings, self.runner, self.portals, clock, store=self.store)
        self._to_report: set[Address] = set()
        self._usage_elsewhere = False  # another process tells it at this moment
        self._shrink_accepted = False
        self._reported = False  # usage was looked after, as far as it went

    @property
    def label(self) -> str:
        """The cluster for messages and locks."""
        return fold(self.reader.cluster or "default")

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return sum(p.requests for p in self.portals.values())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to apply to this cluster."""
        with ExitStack() as held:
            held.enter_context(self.store.locked(self.label))
            if self.accounting.offerings:
                try:
                    held.enter_context(self.accounting.locked())
                except LockedError:
                    self._usage_elsewhere = True
            yield

    def plan(
        self,
        *,
        targets: Sequence[str] = (),
        offering: str = "",
        mode: Mode = Mode.ALL,
        allowed: frozenset[str] = frozenset(),
        usage: bool = True,
        progress: Progress = lambda text: None,
    ) -> Planned:
        """Read both sides and compare. Raises :class:`ReadError`; nothing is changed."""
        with without_collector():
            return self._plan(targets, offering, mode, allowed, usage, progress)

    def _plan(
        self,
        targets: Sequence[str],
        offering: str,
        mode: Mode,
        allowed: frozenset[str],
        usage_too: bool,
        progress: Progress,
    ) -> Planned:
        self._shrink_accepted = guard.MIN_READ_SHARE in allowed
        progress(f"cluster {self.label}: reading SLURM")
        reading = self.reader.read()
        now = self.clock()
        sources = []
        for one in self.offerings:
            progress(f"cluster {self.label}: reading offering {one.name}")
            facts = with_orders(
                self.portals[one.name].facts(now), processed=one.order_backend == "slurm", offering=one.name
            )
            sources.append(Source(one, facts))
        progress(f"cluster {self.label}: building the desired state")
        told = portal_state(s.facts for s in sources)
        people = self._named(sources, reading)
        self.recall.present = present(people.sources)
        built = self._built(people.sources, reading, now)
        self._former(built, sources, reading.state)
        progress(f"cluster {self.label}: comparing")
        claims = self._unclaimed(ownership.unclaimed(built.desired, built.scope, reading.state))
        desired = self._own(built, reading, claims, allowed)
        check(desired, catalog_of(reading.state, reading.tres))
        orphans = frozenset(n for n, claim in claims.items() if claim.verdict == "unknown")
        if self.config.reconcile.prune:  # what goes along with orphans is held as they are
            going = {a.key[0] for a in desired.absent if a.kind == "slurm.account"}
            orphans |= going - claims.keys() - _consented(built)
        screened = self._guarded(diff(desired, reading.state), built, reading, orphans, allowed)
        cut = self.cuts(screened.changes, desired, allowed)
        screened = replace(screened, changes=guard.propagate(cut, reading.state))
        homes_ = self._homes(desired)
        wanted = report(
            built, desired, reading.state, screened.changes, self.config, now, screened.busy, self.recall.absent
        )
        usage = self._usage(sources, targets, mode, now, allowed, progress) if usage_too else Part()
        others = (people.desired, homes_.desired, wanted, usage.desired)
        actual = {**reading.state, **told, **homes_.actual, **usage.actual}
        unread = frozenset(n.offering for n in usage.desired.refused if n.address.kind == "waldur.offering")
        facts_of = {s.offering.name: s.facts for s in sources}
        changes = reported_first([*screened.changes, *(c for d in others for c in diff(d, actual))], facts_of, unread)
        live = [c for c in changes if not c.blocked]
        plan = Plan(
            cluster=reading.cluster,
            offerings=tuple(o.name for o in self.offerings),
            changes=ordered(live, actual),
            blocked=tuple(sorted((c for c in changes if c.blocked), key=lambda c: c.address)),
            orphans=tuple(sorted(desired.orphans, key=lambda n: n.address)),
            refused=(*desired.refused, *(n for d in others for n in d.refused)),
            waiting=(*desired.waiting, *screened.waiting, *wanted.waiting, *usage.desired.waiting),
            warnings=(*desired.warnings, *(n for d in others for n in d.warnings)),
            config_digest=self.config.digest,
            created=now_text(self.clock),
            resources=sum(len(s.facts.resources) for s in sources),
            cancels_jobs=self.config.reconcile.on_member_removal == "cancel_jobs",
            allowed=allowed,
        )
        for target in targets:
            if not any(a.matches(target) for side in (desired.objects, actual) for a in side):
                raise ReconcileError(
                    f"--target {target}: no object of that address", "Addresses look like slurm.account[hpc_climate]."
                )
        plan = restricted(plan, targets, offering, mode)
        refusals = guard.refusals(
            plan.changes,
            desired,
            reading.state,
            self.config.reconcile.guards,
            resources=sum(len(s.facts.resources) + len(s.facts.bad) for s in sources),
            managed=ownership.managed_on_cluster(built.scope, reading.state, self._unaccepted(claims)),
            silent={
                s.offering.name: len(ownership.unknown_of(built.scope, reading.state, claims, s.offering.name))
                for s in sources
                if not s.facts.resources and not s.facts.bad
            },
            ordered=_consented(built),
            shrunken=self.recall.counted(sources, claims),
            allowed=allowed,
        )
        self._to_report = {c.address for c in plan.changes if c.address.kind == "waldur.usage"}
        return Planned(replace(plan, refusals=tuple(refusals)), reading, built, desired, ordered(changes, actual))

    def apply(
        self, plan: Plan, *, reading: Reading | None = None, listener: Listener | None = None, stop: Stop = never
    ) -> Outcome:
        """Apply a plan under the lock. Without a ``reading`` of this moment its preconditions are checked.

        ``stop`` says why nothing more may be begun.

        Raises :class:`ReconcileError` when nothing may be done.
        """
        with ExitStack() as held:
            if self.label != plan.cluster:
                # the name was not configured but read: hold its lock too, as one who names it would
                held.enter_context(self.store.locked(plan.cluster))
                reading = None
            if reading is None:
                reading = self.require_fresh(plan)
            if plan.cluster != reading.cluster:
                raise ReconcileError(f"the plan is for cluster {plan.cluster!r}, this one is {reading.cluster!r}")
            with self.journal.run(plan.config_digest, len(plan.changes), stop) as run:
                executor = Executor(self.runner, lambda: self.reader.read().state, listener, self.portals, run)
                outcome = executor.apply(plan, reading.state)
                run.failed = bool(outcome.failures)
                run.left = len(outcome.applied) < len(plan.changes)
            with suppress(ReconcileError):  # it is asked again then, and said again
                self.recall.memory.remember_absent(outcome.absent, self.clock().date())
                if self._reported and self._to_report and not self._to_report & outcome.failures.keys():
                    self.recall.memory.remember_reported(self.clock())
            return outcome

    def _usage(
        self,
        sources: Sequence[Source],
        targets: Sequence[str],
        mode: Mode,
        now: datetime,
        allowed: frozenset[str],
        progress: Progress,
    ) -> Part:
        """Usage, as far as this cycle looks after it: what ends is always reported, as Waldur takes nothing later."""
        told = {s.offering.name: s.facts for s in sources}
        if self._usage_elsewhere or mode not in (Mode.ALL, Mode.ORDERS):
            return Part()
        if mode is Mode.ALL and self._usage_wanted(targets, now):
            part = self.accounting.part(told, self.accounting.periods, allowed=allowed, progress=progress)
            self._reported = not part.failures and not targets
            return part
        ending = {name: replace(f, resources=tuple(r for r in f.resources if r.ends)) for name, f in told.items()}
        if not any(f.resources for f in ending.values()):
            return Part()
        return self.accounting.part(ending, self.accounting.periods, allowed=allowed, progress=progress)

    def _usage_wanted(self, targets: Sequence[str], now: datetime) -> bool:
        """Whether usage belongs to this cycle: where it is named, and otherwise every so many minutes."""
        if targets:
            return any(t.startswith(("waldur.usage", "waldur.*", "*")) for t in targets)
        try:
            last = self.recall.memory.reported()
        except ReconcileError:
            return True
        return last is None or now - last >= timedelta(minutes=self.config.reconcile.usage_minutes) or last > now

    def remember(self, *, refused: bool = False) -> str:
        """Keep what was seen, before anything is made; what went wrong, or nothing. ``refused``: it is doubtful.

        A name that is forgotten is a stranger's later: its association is an orphan then, and left alone.
        """
        try:
            if not refused:
                self.journal.close()
            self.recall.keep(doubtful=refused, accepted=self._shrink_accepted)
            self.journal.prune(self.config.reconcile.history_days)
            if self._reported and not self._to_report:
                self.recall.memory.remember_reported(self.clock())
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

    def _former(self, built: build.Built, sources: Sequence[Source], state: State) -> None:
        """Associations of usernames that people had once are ours as well."""
        if problem := self.recall.read():
            text = f"former usernames count as orphans, since the memory of earlier runs cannot be read: {problem}"
            built.desired.warnings.append(Note(kinds.user("*"), text))
            return
        users = frozenset(a.key[0] for a in state if a.kind == "slurm.user")
        past = former(sources, self.recall.usernames, users, frozenset(built.scope.held_users))
        built.scope.known_users |= past.keys()
        built.scope.outsiders |= past

    def require_fresh(self, plan: Plan) -> Reading:
        """The cluster as it is now. Raises :class:`StalePlanError` where it moved on since the plan was made."""
        reading = self.reader.read()
        require_fresh(plan, {**reading.state, **self._elsewhere(plan)})
        self._require_idle(plan)
        self._require_budgets(plan)
        return reading

    def _require_budgets(self, plan: Plan) -> None:
        """Budgets that fall below what was used by now, where the site prevents that."""
        if not cuts.prevented(self.config.reconcile.guards, plan.allowed):
            return
        notes = Desired()
        held = [c for c in self.cuts(list(plan.changes), notes, plan.allowed) if c.blocked]
        if held:
            shown = "".join(f"\n  {c.address}: {c.blocked}" for c in held[:20])
            raise StalePlanError(
                f"Saved plan is stale; nothing was done. Since it was made:{shown}", "Make a new plan."
            )

    def _require_idle(self, plan: Plan) -> None:
        """Jobs that began since the plan was made: its guards looked at those of that moment."""
        accounts, members = removed(plan.changes)
        if not accounts and not members:
            return
        age = self.clock() - datetime.fromisoformat(plan.created)
        used: frozenset[str] = frozenset()
        with suppress(jobs.SilenceError):  # what the plan's guards could not know then is no news
            used = jobs.used_accounts(self.runner, plan.cluster, accounts, age) if accounts else used
        require_idle(plan, jobs.active_jobs(self.runner, plan.cluster), used)

    def _elsewhere(self, plan: Plan) -> State:
        """What a plan changes outside the cluster's database, as it is at this moment."""
        state: State = homes.told(self.runner, plan.changes)
        for name, portal in self.portals.items():
            concerned = [c.address for c in plan.changes if c.address.kind in _PORTAL and name in c.offerings]
            state |= portal.read(concerned) if concerned else {}
        return state

    # ------------------------------------------------------------------ parts of planning

    def _named(self, sources: Sequence[Source], reading: Reading) -> Named:
        """People who wait for a username get one where the offering's backend makes names."""
        there = [a.key[0] for a in reading.state if a.kind == "slurm.user"]
        return named(
            sources, self.config.reconcile.usernames, there, lambda names: jobs.known_users(self.runner, list(names))
        )

    def _homes(self, desired: Desired) -> homes.Homes:
        """The members' home directories; an emulated cluster has no host that could hold any."""
        if self.runner.settings.emulator:
            return homes.Homes()
        return homes.read(self.runner, homes.members(self.offerings, desired))

    def _built(self, sources: Sequence[Source], reading: Reading, now: datetime) -> build.Built:
        """The desired state. Accounts that would be adopted are asked about, since they may be somebody else's."""
        today = now.astimezone(ZoneInfo(self.config.timezone)).date()
        owned: dict[str, str] = {}
        asked: set[str] = set()
        while True:
            built = build.build(sources, self.config, today, Standing.of(reading.state, owned))
            found = built.adopted.keys() - asked
            if not found:
                return built
            asked |= found
            for name, claim in self.claims(found).items():
                if claim.verdict == "elsewhere":  # what ended owns nothing any more
                    owned[name] = claim.text

    def _unclaimed(self, accounts: Iterable[str]) -> dict[str, Claim]:
        """The portals' word on accounts that look ours; an orphan of today is not asked about in every cycle.

        Where orphans are removed, memory is no ground to do so.
        """
        names = set(accounts)
        known = names & self.recall.strangers if not self.config.reconcile.prune else set()
        answers = self.claims(names - known)
        self.recall.asked = {n for n, claim in answers.items() if claim.verdict == "unknown"}
        return {**answers, **{n: Claim("unknown", offering=self.offerings[0].name) for n in known}}

    def _unaccepted(self, claims: Mapping[str, Claim]) -> dict[str, Claim]:
        """Without orphans that a person knows of: their number says nothing of the portal."""
        return {name: claim for name, claim in claims.items() if name not in self.recall.accepted}

    def claims(self, accounts: Iterable[str]) -> dict[str, Claim]:
        """The portals' word on accounts that look ours and that nobody named."""
        return claims_of(self.portals, self.offerings, accounts)

    def _own(self, built: build.Built, reading: Reading, claims: dict[str, Claim], allowed: frozenset[str]) -> Desired:
        settings = self.config.reconcile
        if settings.require_unix_user:
            wanted = sorted(ownership.members_to_add(built.desired, reading.state))
            missing = frozenset(wanted) - jobs.known_users(self.runner, wanted) if wanted else frozenset()
            ownership.hold_back(built.desired, reading.state, missing)
        children = settings.guards.delete_with_children or "delete_with_children" in allowed
        customers = settings.empty_customers == "remove"
        policy = ownership.Policy(prune=settings.prune, children=children, customers=customers)
        levels = ownership.unclaimed(built.desired, built.scope, reading.state)
        going = ownership.leaving(claims, levels, built.scope, policy)
        containers = ownership.empty_containers(built.desired, built.scope, reading.state, going)
        made: frozenset[str] = frozenset()
        for offering in self.offerings if containers else ():
            made |= self.portals[offering.name].made(containers)
        return ownership.own(built.desired, built.scope, reading.state, claims, made, policy)

    def cuts(self, changes: list[Change], desired: Desired, allowed: frozenset[str]) -> list[Change]:
        """Budgets that would fall below what was used; slurmctld is asked only where one falls."""
        if self.runner.settings.emulator or not cuts.lowering(changes):
            return changes
        guards = self.config.reconcile.guards
        try:
            found = cuts.below_used(changes, counters.used(self.runner), guards, allowed)
        except ReconcileError as error:
            found = cuts.unknown(changes, error.message, guards, allowed)
        desired.warnings.extend(found.warnings)
        return found.changes

    def _guarded(
        self,
        changes: Sequence[Change],
        built: build.Built,
        reading: Reading,
        orphans: frozenset[str],
        allowed: frozenset[str],
    ) -> guard.Screened:
        settings = self.config.reconcile
        return guard.screen(
            changes,
            reading.state,
            self.activity(changes, reading.cluster),
            settings.guards,
            drain=settings.on_member_removal == "drain",
            ending=guard.Ending(frozenset(built.scope.leaving), settings.on_terminate),
            orphans=orphans,
            allowed=allowed,
        )

    def activity(self, changes: Sequence[Change], cluster: str) -> guard.Activity:
        """Jobs and usage, asked only when something would be deleted."""
        deletions = [c for c in changes if c.action is Action.DELETE]
        if not deletions:
            return guard.Activity()
        accounts = sorted(c.address.key[0] for c in deletions if c.address.kind == "slurm.account")
        today = self.clock().astimezone(ZoneInfo(self.config.timezone)).date()
        grace = today - timedelta(days=self.config.reconcile.guards.prune_grace)
        since = min(today.replace(day=1), grace)
        try:
            active = jobs.active_jobs(self.runner, cluster)
        except (CommandError, ReadError) as error:
            return guard.Activity(unknown=error.message)
        try:
            used = jobs.used_accounts(self.runner, cluster, accounts, since) if accounts else frozenset()
        except (CommandError, ReadError) as error:
            return guard.Activity(active, since=str(since), usage_unknown=error.message)
        return guard.Activity(active, used, since=str(since))


def _consented(built: build.Built) -> frozenset[str]:
    """Accounts that customers' orders end, with the projects and customers that they leave empty."""
    return frozenset(n for name, claim in built.scope.leaving.items() for n in (name, *claim.parents))
