"""The parts of a cluster's plan: people and accounts, homes, what portals are told, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from reconciler.cycle import homes, periodic
from reconciler.cycle.part import Answered, Part
from reconciler.cycle.planning import About, Asked, Draft
from reconciler.cycle.usage import Accounting
from reconciler.cycle.world import World
from reconciler.desired import ownership, portal
from reconciler.desired.accounts import Source, Standing
from reconciler.desired.adoption import preface
from reconciler.desired.build import build
from reconciler.desired.built import Built
from reconciler.desired.catalogs import check
from reconciler.desired.orders import with_orders
from reconciler.desired.ownership import Ownership
from reconciler.desired.people import former, named, present
from reconciler.desired.usage import reported_first
from reconciler.errors import ReconcileError
from reconciler.guards import Setting
from reconciler.guards.jobs import Ending
from reconciler.guards.readings import Read
from reconciler.plan.select import Mode
from reconciler.providers.base import Feature
from reconciler.state import waldur
from reconciler.state.facts import Claim, Told
from reconciler.state.kinds import Role, is_account, role_of
from reconciler.state.managed import Policy
from reconciler.state.model import Desired, Note, State
from reconciler.state.names import fold
from reconciler.state.portal import portal_state


def sources(world: World) -> tuple[Source, ...]:
    """What the portals say of each offering, as its orders want it. Raises :class:`ReadError`."""
    found = []
    for one in world.site.offerings:
        world.say(f"reading offering {one.name}")
        facts = world.site.portals[one.name].source.facts(world.now)
        facts = with_orders(facts, processed=one.owns_accounts, offering=one.name)
        found.append(Source(one, periodic.ruled(world, one, facts)))
    return tuple(found)


class Accounts:
    """Accounts with their members, and the names of people who have none: the cluster's own objects."""

    def look(self, world: World, draft: Draft, asked: Asked) -> None:
        """Build, own, check, screen."""
        state = world.reading.state
        world.say("building the desired state")
        told = portal_state(s.facts for s in world.sources)
        people = named(world.sources, world.config.reconcile.usernames, _people(state), world.known_users)
        world.seen.present = present(people.sources)
        remembered = world.seen.read()
        notes: list[Note] = []
        world.past = periodic.known(world, notes).of
        built = draft.built = self._built(people.sources, world)
        built.desired.warnings += notes
        self._former(built, world, remembered)
        world.say("comparing")
        ours = Ownership(built.desired, built.managed, state, world.site.backend.shape, _policy(world))
        claims = world.unclaimed(ours.unclaimed())
        self._own(ours, world, claims, draft)
        held = draft.screen(built.desired, self._setting(built, world, claims), world)
        periodic.note_limits(world, built, draft.changes)
        # only what was looked at as a whole, and left nothing to consent to, is run against from now on
        owning = world.site.owning.items() if asked.whole else ()
        world.seen.settled = frozenset(key for name, key in owning if name not in held)
        draft.read = self._read(ours, world, claims)
        draft.add(people.desired, told)

    def _built(self, named_sources: list[Source], world: World) -> Built:
        """The desired state. Accounts that would be adopted are asked about, since they may be somebody else's."""
        owned: dict[str, str] = {}
        asked: set[str] = set()
        while True:
            standing = Standing.of(world.reading.state, owned)
            built = build(named_sources, world.config, world.site.backend, standing, world.past)
            found = built.adopted.keys() - asked
            if not found:
                return built
            asked |= found
            for name, claim in world.claims(found).items():
                if claim.verdict == "elsewhere":  # what ended owns nothing any more
                    owned[name] = claim.text

    def _former(self, built: Built, world: World, problem: str) -> None:
        """Memberships under usernames that people had once are ours as well; ``problem``: they are not remembered."""
        if problem:
            text = f"former usernames count as orphans, since the memory of earlier runs cannot be read: {problem}"
            built.desired.warnings.append(Note(world.site.backend.shape.person_at("*"), text))
            return
        users = frozenset(_people(world.reading.state))
        past = former(world.sources, world.seen.usernames, users, frozenset(built.managed.held_users))
        built.managed.known_users |= past.keys()
        built.managed.outsiders |= past

    def _own(self, ours: Ownership, world: World, claims: Mapping[str, Claim], draft: Draft) -> None:
        desired, managed, site = ours.desired, ours.managed, world.site
        if world.config.reconcile.require_unix_user:
            wanted = sorted(ownership.members_to_add(desired, ours.actual))
            missing = frozenset(wanted) - world.known_users(managed.spelling.get(n, n) for n in wanted)
            ownership.hold_back(desired, ours.actual, ours.shape, missing)
        going = ours.leaving(claims, ours.unclaimed())
        ours.own(claims, world.made(ours.empty_containers(going)))
        check(desired, world.reading.catalogs)
        allocations = draft.built.allocations
        site.backend.complete(desired, world.reading, managed, world.config, site.cluster, allocations, world.today)
        if any(a.terms is not None for a in allocations):  # what live usage calls for names something as well
            check(desired, world.reading.catalogs)

    def _setting(self, built: Built, world: World, claims: Mapping[str, Claim]) -> Setting:
        settings = world.config.reconcile
        orphans = frozenset(n for n, claim in claims.items() if claim.verdict == "unknown")
        if settings.prune:  # what goes along with orphans is held as they are
            going = {a.key[0] for a in built.desired.absent if is_account(a)}
            orphans |= going - claims.keys() - consented(built)
        return Setting(
            world.reading.state,
            settings.guards,
            drain=settings.on_member_removal == "drain",
            ending=Ending(frozenset(built.managed.leaving), settings.on_terminate),
            orphans=orphans,
            allowed=world.allowed,
            resources=built.resources,
            first=frozenset(o.name for o in world.site.offerings if o.key in world.seen.first),
            settle=world.site.backend.settle,
        )

    def _read(self, ours: Ownership, world: World, claims: Mapping[str, Claim]) -> Read:
        seen = world.seen
        # orphans that a person knows of: their number says nothing of the portal
        unaccepted = {name: claim for name, claim in claims.items() if name not in seen.accepted}
        return Read(
            resources=sum(len(s.facts.resources) + len(s.facts.bad) for s in world.sources),
            managed=ours.managed_here(unaccepted),
            silent={
                s.offering.name: len(ours.unknown_of(claims, s.offering.name))
                for s in world.sources
                if not s.facts.resources and not s.facts.bad
            },
            shrunken=seen.counted(world.sources, claims),
        )


class Homes:
    """The members' home directories; a cluster without a head node has none."""

    def look(self, world: World, draft: Draft, asked: Asked) -> None:
        """What is there, and what should be."""
        if Feature.HOMES in world.site.cluster.features:
            users = homes.members(world.site.offerings, draft.sides[0])
            found = homes.read(world.site.cluster.runner, users, draft.built.managed.spelling)
            draft.add(found.desired, found.actual)
        else:
            draft.add(Desired(), {})


class Resources:
    """What portals hold of resources and orders, once the plan is applied."""

    def look(self, world: World, draft: Draft, asked: Asked) -> None:
        """What should be told; what is, is known by now."""
        plans = portal.Plans(draft.sides[0], world.reading.state, draft.changes, draft.busy, world.seen.absent)
        wanted = portal.report(draft.built, plans, world.config, world.now, world.site.backend)
        draft.add(wanted, {})


@dataclass
class Usage:
    """Usage, as far as this cycle looks after it; ``elsewhere``: somebody else does at this moment."""

    accounting: Accounting
    elsewhere: bool = False
    part: Part = field(default_factory=Part)

    def look(self, world: World, draft: Draft, asked: Asked) -> None:
        """What should be told and what is; an order that ends a resource comes after that."""
        if not self.elsewhere and asked.mode in (Mode.ALL, Mode.ORDERS):
            self.part = self._read(world, asked)
        draft.add(self.part.desired, self.part.actual)
        draft.unread = self.part.unread
        draft.changes = reported_first(
            draft.changes,
            world.facts,
            unread=frozenset(n.offering for n in self.part.desired.refused if n.address.kind == "waldur.offering"),
            reporting=frozenset(o.name for o in self.accounting.offerings),
        )

    def _read(self, world: World, asked: Asked) -> Part:
        """What ends is always reported, as Waldur takes nothing later; all else every so many minutes."""
        told, periods = Answered(world.facts), self.accounting.periods
        if asked.mode is Mode.ALL and self._wanted(world, asked.targets):
            part = self.accounting.part(told, periods, allowed=asked.allowed, progress=world.progress)
            world.reported = not part.unread and not asked.targets
            return part
        ending = frozenset(r.uuid for f in told.facts.values() for r in f.resources if r.ends)
        if not ending:
            return Part()
        return self.accounting.part(told, periods, only=ending, allowed=asked.allowed, progress=world.progress)

    def _wanted(self, world: World, targets: Sequence[str]) -> bool:
        """Whether all usage belongs to this cycle: where it is named, and otherwise every so many minutes."""
        if targets:
            return any(t.startswith(("waldur.usage", "waldur.*", "*")) for t in targets)
        try:
            last = world.seen.memory.reported()
        except ReconcileError:
            return True
        often = timedelta(minutes=world.config.reconcile.usage_minutes)
        return last is None or world.now - last >= often or last > world.now


def about(world: World, draft: Draft) -> About:
    """What a cluster's plan is of, and what is said before it."""
    config, site = world.config, world.site
    running = any(c.jobs for c in draft.changes if not c.blocked)
    resources = [r for facts in world.facts.values() for r in facts.resources]
    return About(
        cluster=world.reading.cluster,
        offerings=tuple(o.name for o in site.offerings),
        config_digest=config.digest,
        created=site.clock(),
        resources=len(resources),
        cancels_jobs=config.reconcile.on_member_removal == "cancel_jobs",
        terminations=frozenset(waldur.order(r.order.uuid) for r in resources if r.order and r.ends),
        preface=_preface(world, draft),
        remote=running and site.cluster.remote(world.reading.cluster),
        told=Told(world.facts, {a: o for a, o in draft.actual.items() if role_of(a) is Role.PORTAL}),
    )


def _preface(world: World, draft: Draft) -> tuple[str, ...]:
    """What a first run says: of the cluster, or of the limits of an offering."""
    site = world.site
    if not (world.seen.fresh or world.seen.first.intersection(site.owning.values())):
        return ()
    return tuple(preface(world.config, site.offerings, draft.sides[0], world.reading.state, site.backend.shape))


def consented(built: Built) -> frozenset[str]:
    """Accounts that customers' orders end, with the projects and customers that they leave empty."""
    return frozenset(n for name, claim in built.managed.leaving.items() for n in (name, *claim.parents))


def _people(state: State) -> list[str]:
    """Users of a cluster: their records, or where there are none whoever is a member."""
    records = [a.key[0] for a in state if role_of(a) is Role.PERSON]
    return records or list(dict.fromkeys(a.key[1] for a in state if role_of(a) is Role.MEMBER))


def _policy(world: World) -> Policy:
    settings = world.config.reconcile
    return Policy(
        prune=settings.prune,
        children=settings.guards.delete_with_children or "delete_with_children" in world.allowed,
        customers=settings.empty_customers == "remove",
        kept=tuple(fold(g) for g in settings.guards.protected),
    )
