"""Limits, fairshare and QoS of a resource's account: Waldur's amounts and flags in SLURM's terms. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from reconciler.config import FairshareFrom, Offering
from reconciler.providers.base import Conversion
from reconciler.state.facts import RESTORE, UPDATING, Resource
from reconciler.state.units import UnitError, decimal, plain_text, prepaid_months, to_units
from reconciler.state.values import UNMANAGED, Except, Numbers, Refused, Wanted, Within

_UNIT = "TRES-minutes"


@dataclass(frozen=True)
class Term:
    """One component's part of a limit: an amount in Waldur's unit, where it stands, for how many months it holds."""

    component: str
    amount: object
    place: str
    unit: str
    months: int
    prepaid: bool
    factors: Mapping[str, Decimal]

    def minutes(self) -> dict[str, int]:
        """TRES-minutes by TRES. Raises :class:`UnitError`."""
        whole = self.amount if self.months == 1 else decimal(self.amount) * self.months
        return {tres: to_units(whole, factor) for tres, factor in self.factors.items()}


def terms(offering: Offering, resource: Resource) -> tuple[list[Term], list[str]]:
    """What a resource's limits are made of, and components without an amount."""
    found: list[Term] = []
    missing: list[str] = []
    for name, component in offering.backend_components.items():
        amount = component.bought(name, resource.limits)
        if amount is None:
            missing += [] if component.fixed else [name]
            continue
        prepaid = component.accounting_type == "one" and resource.created is not None
        months = prepaid_months(resource.created, resource.end_date or resource.created) if prepaid else 1  # type: ignore[arg-type]
        place = component.place(name)
        found.append(Term(name, amount, place, component.waldur_unit, months, prepaid, component.factors(name)))
    return found, missing


def _added(found: Iterable[Term], refused: list[str]) -> dict[str, int]:
    """All terms in TRES-minutes; what cannot be goes to ``refused``."""
    wanted: dict[str, int] = {}
    for term in found:
        try:
            for tres, minutes in term.minutes().items():
                wanted[tres] = wanted.get(tres, 0) + minutes
        except UnitError as error:
            refused.append(f"limit of {term.component!r}: {error}")
    return wanted


def of_resource(offering: Offering, resource: Resource, without: Collection[str] = ()) -> tuple[Wanted, list[str]]:
    """GrpTRESMins of a resource's account, and what a person should know about limits that are missing.

    ``without``: components that others reckon.
    """
    if resource.limits_unsure:
        why = "is being updated by an order that was not seen" if resource.state == UPDATING else "has unclear limits"
        text = f'resource "{resource.name}" {why}: limits left as they are'
        return UNMANAGED, [text]
    if not offering.backend_components:
        return UNMANAGED, [
            f'resource "{resource.name}": the offering has no backend_components: limits left as they are'
        ]
    unmanaged: set[str] = set()
    problems: list[str] = []
    said: list[str] = []
    found, missing = terms(offering, resource)
    # what soft_delete set to 0 does not stay so when the resource comes back
    restored = resource.order is not None and resource.order.type == RESTORE
    for name in missing if not restored else ():
        left = offering.backend_components[name].factors(name).keys()
        unmanaged |= left
        said.append(f'resource "{resource.name}" has no limit for {name!r}: {", ".join(left)} left as is')
    wanted = _added((t for t in found if t.component not in without), problems)
    result: Numbers | Except = Except(wanted, frozenset(unmanaged)) if unmanaged else wanted
    return (Refused(result, "; ".join(problems), final=True) if problems else result), said


def arithmetic(term: Term) -> list[str]:
    """How each limit of a component comes about: amount, unit, where it stands, factor.

    ``cpu = 10 k-Hours (backend_components.cpu.limit) x 60000``
    """
    months = f" x {term.months} months" if term.prepaid else ""
    try:
        text = plain_text(decimal(term.amount))
    except UnitError:
        text = str(term.amount)
    return [
        f"{tres} = {text} {term.unit} ({term.place}){months} x {plain_text(factor)}"
        for tres, factor in term.factors.items()
    ]


def conversions(offering: Offering, resource: Resource) -> list[Conversion]:
    """Each term with its number; one that is no amount is left out."""
    found: list[Conversion] = []
    for term in terms(offering, resource)[0]:
        try:
            amount, minutes = plain_text(decimal(term.amount)), term.minutes()
        except UnitError:
            continue
        told = term.place if term.place.startswith("backend_components") else f"Waldur's limit of {term.component}"
        found += [
            Conversion(
                term.component, amount, term.unit, tres, plain_text(term.factors[tres]), value, _UNIT, told, term.months
            )
            for tres, value in minutes.items()
        ]
    return found


def of_member(offering: Offering, amounts: Mapping[str, object]) -> Wanted:
    """One member's limits as MaxTRESMins; the components' TRES are ours, so what is gone from Waldur is cleared."""
    problems: list[str] = []
    components = offering.backend_components
    own = [
        Term(name, amounts[name], "", component.waldur_unit, 1, prepaid=False, factors=component.factors(name))
        for name, component in components.items()
        if name in amounts
    ]
    wanted = _added(own, problems)
    managed = frozenset(tres for name, component in components.items() for tres in component.factors(name))
    result = Within(wanted, managed)
    return Refused(result, "; ".join(problems)) if problems else result


def nothing(offering: Offering) -> Numbers | None:
    """The limits of an ended account that stays (soft_delete); None where it goes."""
    if not offering.backend_settings.soft_delete:
        return None
    return {tres: 0 for name, component in offering.backend_components.items() for tres in component.factors(name)}


def fairshare(rule: int | Literal["parent"] | FairshareFrom | None, resource: Resource) -> Wanted:
    """Fairshare as ``reconcile.fairshare`` says; without a rule nobody here owns it."""
    if rule is None:
        return UNMANAGED
    if not isinstance(rule, FairshareFrom):
        return rule
    where, key = next(
        (w, k)
        for w, k in (
            (resource.attributes, rule.attribute),
            (resource.options, rule.option),
            (resource.limits, rule.limit),
        )
        if k is not None
    )
    found = where.get(key)
    if found is None:
        return UNMANAGED
    if found == "parent":
        return "parent"
    try:
        return max(1, to_units(found, rule.factor))
    except UnitError as error:
        return Refused(None, f"{key}: {error}")
