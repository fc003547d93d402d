"""The plan that another policy would make, against what today's would leave. Nothing is read again, or changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from reconciler.config.periodic import LIMIT_TYPES
from reconciler.cycle.planning import About, Asked, Draft, plan_of
from reconciler.cycle.world import World
from reconciler.desired.accounts import Source, Standing
from reconciler.desired.build import build
from reconciler.desired.built import Built
from reconciler.desired.catalogs import check
from reconciler.desired.periodic import span_of
from reconciler.errors import ReconcileError
from reconciler.plan.model import Plan
from reconciler.state.model import Desired, Obj
from reconciler.state.names import fold
from reconciler.state.periodic import MONTH, QUARTER, TOTAL, WEIGHTS, YEAR, Rules, Span, percent, triggers
from reconciler.state.units import LARGEST, UnitError, decimal
from reconciler.state.values import UNMANAGED, plain, target

_LIMIT, _WEIGHT = "limits.", "tres_billing_weights."
_PERIODS = (MONTH, QUARTER, YEAR, TOTAL)


def settings(given: Sequence[str]) -> dict[str, str]:
    """``key=value`` of a command line. Raises :class:`ReconcileError`."""
    found = dict(text.partition("=")[::2] for text in given)
    for text in given:
        key, sign, value = text.partition("=")
        known = key in _RULES or (key.startswith((_LIMIT, _WEIGHT)) and key.partition(".")[2])
        if not sign or not known:
            listed = ", ".join((*_RULES, f"{_WEIGHT}NAME", f"{_LIMIT}COMPONENT"))
            raise ReconcileError(f"--set {text}: expected KEY=VALUE", f"Keys: {listed}")
        if key in _RULES:
            _RULES[key](Rules(""), value, f"--set {text}")
        else:
            _number(value, f"--set {text}")
    return found


@dataclass(frozen=True)
class Reached:
    """An account that reaches other actions of the portal: its percentage and the strictest action, now and then."""

    account: str
    percent: Fraction
    action: str
    other_percent: Fraction
    other_action: str


@dataclass(frozen=True)
class Simulation:
    """The plan that another policy would make, and what the portal itself would do about its usage of now."""

    plan: Plan
    reached: tuple[Reached, ...]
    unruled: tuple[str, ...] = ()  # offerings that have no rules which could be others


def simulated(world: World, given: Mapping[str, str], only: str = "") -> Simulation:
    """What would change of the accounts (``only``: of one) if the policy were another. Raises ``ReconcileError``."""
    before = _built(world, world.sources)
    named = {r.uuid for account, (_, r) in before.resources.items() if fold(only) in (account, r.uuid, fold(r.name))}
    if only and not named:
        raise ReconcileError(f"account {only!r}: no resource has it", "See `reconcile limits show`.")
    _sensible(world.sources, given)
    after = _built(world, tuple(_other(world, source, given, named) for source in world.sources))
    ours = [world.site.backend.shape.account_at(a.account) for a in after.allocations]
    state = {a: _as_planned(before.desired.objects[a], world.reading.state.get(a)) for a in ours}
    wanted = Desired({a: after.desired.objects[a] for a in ours}, warnings=after.desired.warnings)
    draft = Draft()
    draft.add(wanted, state)
    offerings = tuple(s.offering.name for s in world.sources)
    about = About(world.reading.cluster, offerings, world.config.digest, world.now, resources=len(ours))
    unruled = tuple(s.offering.name for s in world.sources if s.facts.rules is None)
    return Simulation(plan_of(draft, about, Asked()), tuple(_reached(world, before, after)), unruled)


def _reached(world: World, before: Built, after: Built) -> Iterator[Reached]:
    """Accounts of which the portal would think otherwise."""
    terms = {a.account: a.terms for a in before.allocations}
    used: dict[tuple[str, Span], Mapping[str, Mapping[str, Mapping[str, Fraction]]]] = {}
    for one in after.allocations:
        old, new = terms.get(one.account), one.terms
        if old is None or new is None:
            continue
        numbers = []
        if not (old.span.months and new.span.months):
            continue  # of no period with an end nobody lists what was used
        for each in (old, new):
            key = (one.offering.name, each.span)
            policies = world.site.portals[one.offering.name].policies
            if key not in used:
                used[key] = policies.used(each.span.months).by if policies is not None and each.span.months else {}
            months = used[key].get(one.resource.uuid, {})
            spent: dict[str, Fraction] = {}
            for amounts in (months.get(str(m), {}) for m in each.span.months):
                spent |= {name: spent.get(name, Fraction(0)) + n for name, n in amounts.items()}
            share = percent(each, spent)
            numbers.append((share, next(iter(triggers(share, each.rules)), "")))
        if numbers[0][1] != numbers[1][1]:
            yield Reached(one.account, *numbers[0], *numbers[1])


def _built(world: World, sources: Sequence[Source]) -> Built:
    built = build(sources, world.config, world.site.backend, Standing.of(world.reading.state, {}), world.past)
    check(built.desired, world.reading.catalogs)
    return built


def _as_planned(wanted: Obj, present: Obj | None) -> Obj:
    """An account as today's plan would leave it."""
    values = dict(present.values) if present is not None else {}
    for name, value in wanted.values.items():
        if value is not UNMANAGED:
            values[name] = target(value, plain(values.get(name)))
    return Obj(values)


def _other(world: World, source: Source, given: Mapping[str, str], only: Collection[str]) -> Source:
    facts, offering, rules = source.facts, source.offering, source.facts.rules
    if rules is None or not given:
        return source
    for key, value in given.items():
        if key in _RULES:
            rules = _RULES[key](rules, value, key)
        elif key.startswith(_WEIGHT):
            rules = _weighed(rules, key.removeprefix(_WEIGHT), _number(value, key))
    here = offering.backend_components
    bought = {n: v for k, v in given.items() if (n := k.removeprefix(_LIMIT)) != k and n in here}
    resources = tuple(
        replace(r, limits={**r.limits, **bought}) if not only or r.uuid in only else r for r in facts.resources
    )
    span, used = span_of(rules, offering, facts, world.today), facts.used
    policies = world.site.portals[offering.name].policies
    if span != facts.span and span.previous is not None and policies is not None:
        used = policies.used(span.previous.months).by
    return Source(offering, replace(facts, rules=rules, span=span, used=used, resources=resources))


def _sensible(sources: Sequence[Source], given: Mapping[str, str]) -> None:
    """Raise :class:`ReconcileError` for what no offering with rules has any use for."""
    ruled = [s for s in sources if s.facts.rules is not None]
    components = {n for s in ruled for n in s.offering.backend_components}
    tres = {t for s in ruled for n, c in s.offering.backend_components.items() for t in c.factors(n)}
    known = {fold(n) for n in (*components, *tres)}
    for key in given if ruled else ():
        if key.startswith(_LIMIT) and key.removeprefix(_LIMIT) not in components:
            raise ReconcileError(f"--set {key}: no component {key.removeprefix(_LIMIT)} in offerings with a policy")
        if key.startswith(_WEIGHT) and fold(key.removeprefix(_WEIGHT)) not in known:
            raise ReconcileError(f"--set {key}: no component and no TRES of that name in offerings with a policy")
        half = any(s.facts.rules.half_life is not None for s in ruled if s.facts.rules is not None)
        if key == "carryover_factor" and half:
            raise ReconcileError(f"--set {key}: has no effect, as fairshare_decay_half_life is the rule")


def _weighed(rules: Rules, name: str, weight: Fraction) -> Rules:
    """With another weight, in place of the one of that name in any case."""
    weights = dict(rules.weights or WEIGHTS)
    same = next((n for n in weights if fold(n) == fold(name)), name)
    return replace(rules, weights={**weights, same: weight})


# ---------------------------------------------------------------------- one key each


def _number(text: str, where: str, most: int | None = None) -> Fraction:
    try:
        number = Fraction(decimal(text))
    except UnitError as error:
        raise ReconcileError(f"{where}: {error}") from None
    if number > LARGEST:
        raise ReconcileError(f"{where}: larger than a cluster can hold")
    if number < 0 or (most is not None and number > most):
        raise ReconcileError(f"{where}: must be from 0 {'on' if most is None else f'to {most}'}")
    return number


def _switch(text: str, where: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ReconcileError(f"{where}: must be true or false")
    return text.lower() == "true"


def _one_of(text: str, words: Sequence[str], where: str) -> str:
    found = next((w for w in words if w.lower() == text.lower()), None)
    if found is None:
        raise ReconcileError(f"{where}: must be one of {', '.join(words)}")
    return found


_RULES: dict[str, Callable[[Rules, str, str], Rules]] = {
    "grace_ratio": lambda r, v, w: replace(r, grace=_number(v, w)),
    "carryover_factor": lambda r, v, w: replace(r, factor=_number(v, w, 100) / 100),
    "carryover_enabled": lambda r, v, w: replace(r, carryover=_switch(v, w)),
    "limit_type": lambda r, v, w: replace(r, limit_type=_one_of(v, LIMIT_TYPES, w)),
    "tres_billing_enabled": lambda r, v, w: replace(r, billing=_switch(v, w)),
    "period": lambda r, v, w: replace(r, period=_one_of(v, _PERIODS, w)),
}
