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
from reconciler.desired.periodic import configured, span_of
from reconciler.errors import ReconcileError
from reconciler.plan.model import Plan
from reconciler.state.model import Desired, Obj
from reconciler.state.names import fold
from reconciler.state.periodic import MONTH, QUARTER, TOTAL, YEAR, Rules, Span, percent, triggers
from reconciler.state.units import UnitError, decimal
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


def simulated(world: World, given: Mapping[str, str], only: str = "") -> Simulation:
    """What would change of the accounts (``only``: of one) if the policy were another. Raises ``ReconcileError``."""
    before = _built(world, world.sources)
    named = {r.uuid for account, (_, r) in before.resources.items() if fold(only) in (account, r.uuid, fold(r.name))}
    if only and not named:
        raise ReconcileError(f"account {only!r}: no resource has it", "See `reconcile limits show`.")
    after = _built(world, tuple(_other(world, source, given, named) for source in world.sources))
    ours = [world.site.backend.shape.account_at(a.account) for a in after.allocations]
    state = {a: _as_planned(before.desired.objects[a], world.reading.state.get(a)) for a in ours}
    wanted = Desired({a: after.desired.objects[a] for a in ours}, warnings=after.desired.warnings)
    draft = Draft()
    draft.add(wanted, state)
    offerings = tuple(s.offering.name for s in world.sources)
    about = About(world.reading.cluster, offerings, world.config.digest, world.now, resources=len(ours))
    return Simulation(plan_of(draft, about, Asked()), tuple(_reached(world, before, after)))


def _reached(world: World, before: Built, after: Built) -> Iterator[Reached]:
    """Accounts of which the portal would think otherwise."""
    terms = {a.account: a.terms for a in before.allocations}
    used: dict[tuple[str, Span], Mapping[str, Mapping[str, Mapping[str, Fraction]]]] = {}
    for one in after.allocations:
        old, new = terms.get(one.account), one.terms
        if old is None or new is None:
            continue
        numbers = []
        for each in (old, new):
            key = (one.offering.name, each.span)
            policies = world.site.portals[one.offering.name].policies
            if key not in used:
                used[key] = policies.used(each.span.months) if policies is not None and each.span.months else {}
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
    facts, offering = source.facts, source.offering
    rules = facts.rules or configured(offering.backend_settings.periodic_limits)
    for key, value in given.items():
        if key in _RULES:
            rules = _RULES[key](rules, value, key)
        elif key.startswith(_WEIGHT):
            rules = replace(rules, weights={**rules.weights, key.removeprefix(_WEIGHT): _number(value, key)})
    bought = {k.removeprefix(_LIMIT): v for k, v in given.items() if k.startswith(_LIMIT)}
    if unknown := sorted(bought.keys() - offering.backend_components.keys()):
        raise ReconcileError(f"offering {offering.name}: no component {', '.join(unknown)} (--set limits.…)")
    resources = tuple(
        replace(r, limits={**r.limits, **bought}) if not only or r.uuid in only else r for r in facts.resources
    )
    span, used = span_of(rules, offering, facts, world.today), facts.used
    policies = world.site.portals[offering.name].policies
    if span != facts.span and span.previous is not None and policies is not None:
        used = policies.used(span.previous.months)
    if not given:
        return source
    return Source(offering, replace(facts, rules=rules, span=span, used=used, resources=resources))


# ---------------------------------------------------------------------- one key each


def _number(text: str, where: str, most: int | None = None) -> Fraction:
    try:
        number = Fraction(decimal(text))
    except UnitError as error:
        raise ReconcileError(f"{where}: {error}") from None
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
