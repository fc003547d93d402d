"""What a cycle asks about periods: the portal's policy, what was used in the last period, and what counts now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from reconciler.config import Offering
from reconciler.cycle.world import World
from reconciler.desired.built import Built
from reconciler.desired.periodic import configured, span_of
from reconciler.errors import DeniedError, ReconcileError, RulesError
from reconciler.providers.base import Feature, Past
from reconciler.providers.portal import Policies
from reconciler.state import waldur
from reconciler.state.diff import Change
from reconciler.state.facts import Facts
from reconciler.state.kinds import KINDS
from reconciler.state.model import Note
from reconciler.state.names import fold
from reconciler.state.periodic import Announced, Rules, Span, Spent
from reconciler.state.values import UNMANAGED, AtFirst, Except, Wanted, Within, numbers_of


def ruled(world: World, offering: Offering, facts: Facts) -> Facts:
    """Facts with the rules of the offering: the portal's policy, else the configuration's. Raises ``ReadError``."""
    settings = offering.backend_settings.periodic_limits
    if Feature.PERIODIC not in world.site.cluster.features or not offering.owns_accounts or settings.enabled is False:
        return facts
    policies = world.site.portals[offering.name].policies
    try:
        rules = policies.rules() if policies is not None else None
    except DeniedError as error:
        if settings.enabled or settings.qos_levels or _was_ruled(world, facts):
            return _unruled(offering, facts, error.message)
        text = f"whether it has a periodic usage policy is not known, so it counts as none: {error.message}"
        facts = replace(facts, notes=(*facts.notes, Note(waldur.offering(offering.name), text, offering.name)))
        rules = None
    except RulesError as error:
        return _unruled(offering, facts, error.message)
    if rules is None and settings.enabled:
        rules = configured(settings)
    if rules is None:
        return facts
    span = span_of(rules, offering, facts, world.today)
    months = span.previous.months if span.previous is not None and rules.carryover else ()
    spent = policies.used(months) if policies is not None and months else Spent()
    unsure = tuple(replace(r, limits_unsure=True) if r.uuid in spent.bad else r for r in facts.resources)
    bad = tuple(
        Note(waldur.resource(uuid), f"its usage of {span.previous} cannot be understood: {why}", offering.name)
        for uuid, why in spent.bad.items()
    )
    facts = replace(facts, resources=unsure, notes=(*facts.notes, *bad))
    return replace(facts, rules=rules, span=span, used=spent.by, announced=_announced(policies, rules, span))


def _unruled(offering: Offering, facts: Facts, why: str) -> Facts:
    """A policy that there is, or may be, cannot be used: what it set stays as it is."""
    text = f"{why}: limits are left as they are, and no QoS is loosened"
    note = Note(waldur.offering(offering.name), text, offering.name)
    held = tuple(replace(r, limits_unsure=True) for r in facts.resources)
    return replace(facts, resources=held, unruled=why, notes=(*facts.notes, note))


def _was_ruled(world: World, facts: Facts) -> bool:
    """Whether a policy was in force here before, as far as memory goes."""
    with suppress(ReconcileError):
        renewed = world.seen.memory.renewed()
        return any(fold(r.backend_id) in renewed for r in facts.resources)
    return True


def _announced(policies: Policies | None, rules: Rules, span: Span) -> Mapping[str, Announced]:
    """What the portal made of its policy, to compare; where it does not tell there is nothing to compare."""
    if policies is None or not rules.uuid or span.start is None:
        return {}
    with suppress(ReconcileError):
        return policies.announced(rules.uuid, span.start)
    return {}


@dataclass
class Known:
    """What is known of accounts beside the reading: what was set here, which counters began anew, what they count."""

    limits: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    renewed: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, Mapping[str, int]] | None = None
    unknown: str = ""
    announced: Mapping[str, Announced] = field(default_factory=dict)

    def of(self, account: str) -> Past:
        """The part of one account; one that the cluster's counters do not know yet has counted nothing."""
        counted = None if self.counted is None else self.counted.get(account, {})
        told = self.announced.get(account)
        return Past(self.limits.get(account, {}), self.renewed.get(account, ""), counted, self.unknown, told)


def known(world: World, notes: list[Note]) -> Known:
    """Ask memory, and the cluster's counters where something depends on them; what cannot be told is noted once."""
    ruled_ = [s for s in world.sources if s.facts.rules is not None]
    announced = {account: told for s in ruled_ for account, told in s.facts.announced.items()}
    found = Known(world.seen.limits, world.seen.renewed, announced=announced)
    by_usage = any(s.offering.backend_settings.periodic_limits.qos_levels for s in ruled_)
    if Feature.COUNTERS not in world.site.cluster.features:
        found.unknown = "this cluster counts nothing"
        text = f"QoS cannot follow live usage (periodic_limits.qos_levels): {found.unknown}"
        notes += [Note(waldur.offering(s.offering.name), text, s.offering.name) for s in ruled_ if by_usage]
        return found
    if not (by_usage or (world.counts and ruled_) or _ends(world, found)):
        return found
    try:
        found.counted = world.consumed()
    except ReconcileError as error:
        found.unknown = error.message
    if found.counted is not None and not any(any(counts.values()) for counts in found.counted.values()):
        # no note: a new cluster has nothing to count
        why = "nothing is counted of anybody: it may have started just now"
        return replace(found, counted=None, unknown=why)
    if found.unknown:
        text = f"live usage is unknown, so no QoS is loosened and no counter begins anew: {found.unknown}"
        notes += [Note(waldur.offering(s.offering.name), text, s.offering.name) for s in ruled_]
    return found


def _ends(world: World, found: Known) -> bool:
    """Whether counters of some resource may have to begin anew, as far as memory tells."""
    return any(
        r.backend_id and found.renewed.get(fold(r.backend_id)) != str(s.facts.span)
        for s in world.sources
        if s.facts.rules is not None and s.facts.rules.reset and s.facts.span is not None and s.facts.span.months
        for r in s.facts.resources
    )


def note_limits(world: World, built: Built, changes: Iterable[Change]) -> None:
    """Keep in mind what of an account's limits is ours once the plan is applied, and counters that have begun anew."""
    blocked = {(c.address, n) for c in changes if c.blocked for n in c.changed()}
    state, seen = world.reading.state, world.seen
    for account in (world.site.backend.shape.account_at(a.account) for a in built.allocations):
        wanted, present, kind = built.desired.objects.get(account), state.get(account), KINDS[account.kind]
        if wanted is None or account in built.desired.held:
            continue
        name = account.key[0]
        for field_ in kind.limits:
            before = seen.limits.get(name, {}).get(field_, frozenset())
            there = numbers_of(present.values.get(field_)).keys() if present else frozenset()
            # what was cleared is nobody's any more
            ours = before & there
            if (account, field_) not in blocked:
                ours |= _names(wanted.values.get(field_, UNMANAGED))
            if ours or before:
                seen.limited[name, field_] = frozenset(ours)
        period = wanted.values.get(kind.renews)
        if present is not None and isinstance(period, str) and present.values.get(kind.renews) == period:
            seen.renewing[name] = period


def _names(wanted: Wanted) -> frozenset[str]:
    """What a wanted limit sets."""
    if isinstance(wanted, AtFirst | Within | Except):
        return frozenset(wanted.wanted)
    return frozenset(wanted) if isinstance(wanted, Mapping) else frozenset()


def renewed(applied: Iterable[Change]) -> dict[str, str]:
    """Accounts whose counters a run let begin anew, and for which period."""
    return {
        c.address.key[0]: str(c.after[c.kind.renews])
        for c in applied
        if c.after is not None and c.kind.renews in c.changed() and c.after[c.kind.renews]
    }
