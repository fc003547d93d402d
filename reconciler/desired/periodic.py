"""Which rules say how much may be used in a period, and what they mean for each resource. Pure."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from reconciler.config import Offering
from reconciler.config.periodic import PeriodicSettings
from reconciler.state.facts import Facts, Resource
from reconciler.state.periodic import MONTH, QUARTER, TOTAL, YEAR, Rules, Span, Terms, terms
from reconciler.state.units import UnitError, decimal


def configured(settings: PeriodicSettings) -> Rules:
    """The rules of the configuration, for an offering without a policy in the portal."""

    def exact(value: object) -> Fraction | None:
        return None if value is None else Fraction(decimal(value))

    return Rules(
        "backend_settings.periodic_limits",
        "",
        settings.period,
        settings.default_carryover_enabled,
        Fraction(settings.carryover_factor) / 100,
        exact(settings.fairshare_decay_half_life),
        exact(settings.default_grace_ratio),
        settings.tres_billing_enabled,
        {name: Fraction(value) for name, value in settings.weights.items()},
        settings.limit_type,
        settings.raw_usage_reset,
    )


def span_of(rules: Rules, offering: Offering, facts: Facts, today: date) -> Span:
    """The period of a day: that of the components' limits where they agree on one, before the policy's own."""
    told = {b.limit_period for b in facts.billing.values() if b.type == "limit"}
    own = {c.limit_period or "" for c in offering.backend_components.values() if c.accounting_type == "limit"}
    known = (told or own) & {MONTH, QUARTER, YEAR, TOTAL}
    return Span.of(known.pop() if len(known) == 1 else rules.period, today)


def terms_of(offering: Offering, resource: Resource, facts: Facts) -> Terms | None:
    """What the rules mean for a resource: of components that are sold by limits, of which it may have no amount.

    None where there are no rules, or nothing is sold that they could concern.
    """
    sold = [c for c in offering.backend_components.values() if c.accounting_type == "limit"]
    if facts.rules is None or facts.span is None or not sold:
        return None
    bases: dict[str, Fraction] = {}
    for name, component in offering.backend_components.items():
        amount = resource.limits.get(name)
        if component.accounting_type != "limit" or amount is None:
            continue
        try:
            base = Fraction(decimal(amount))
        except UnitError:
            continue  # what is no amount is refused where it becomes a limit
        if base >= 0:
            bases[name] = base
    return terms(facts.rules, facts.span, bases, facts.used.get(resource.uuid, {}))
