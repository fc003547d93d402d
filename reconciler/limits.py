"""Limits, fairshare and QoS of a resource's account: Waldur's amounts and flags in SLURM's terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from reconciler.config import FairshareFrom, Offering, SlurmSettings
from reconciler.state.facts import RESTORE, Resource
from reconciler.state.model import UNMANAGED, AtLeast, Refused, Tres, TresExcept, TresWithin, Unless, Wanted
from reconciler.state.naming import fold
from reconciler.state.units import UnitError, decimal, prepaid_months, to_units


def of_cluster(owner: str, resource: Resource) -> bool:
    """Whether the cluster owns a resource's limits (``reconcile.limits_owner``): once it is there, without an order."""
    return owner == "cluster" and resource.order is None and bool(resource.backend_id)


def _minutes(offering: Offering, amounts: Mapping[str, tuple[object, int]], refused: list[str]) -> dict[str, int]:
    """Amounts (times a number of months) in TRES-minutes; what cannot be goes to ``refused``."""
    wanted: dict[str, int] = {}
    for name, (amount, times) in amounts.items():
        try:
            whole = amount if times == 1 else decimal(amount) * times
            for tres, factor in offering.backend_components[name].factors(name).items():
                wanted[tres] = wanted.get(tres, 0) + to_units(whole, factor)
        except UnitError as error:
            refused.append(f"limit of {name!r}: {error}")
    return wanted


def of_resource(offering: Offering, resource: Resource) -> tuple[Wanted, list[str]]:
    """GrpTRESMins of a resource's account, and what a person should know about limits that are missing."""
    if resource.limits_unsure:
        text = f'resource "{resource.name}" is being updated by an order that was not seen: limits left as they are'
        return UNMANAGED, [text]
    if not offering.backend_components:
        return UNMANAGED, [
            f'resource "{resource.name}": the offering has no backend_components: limits left as they are'
        ]
    amounts: dict[str, tuple[object, int]] = {}
    unmanaged: set[str] = set()
    problems: list[str] = []
    missing: list[str] = []
    # what soft_delete set to 0 does not stay so when the resource comes back
    restored = resource.order is not None and resource.order.type == RESTORE
    for name, component in offering.backend_components.items():
        amount: object = component.limit if component.accounting_type == "usage" else resource.limits.get(name)
        if amount is not None:
            prepaid = component.accounting_type == "one" and resource.created
            end = resource.end_date or resource.created
            amounts[name] = (
                amount,
                prepaid_months(resource.created, end) if prepaid and resource.created and end else 1,
            )
        elif component.accounting_type != "usage" and not restored:
            left = component.factors(name).keys()
            unmanaged |= left
            missing.append(f'resource "{resource.name}" has no limit for {name!r}: {", ".join(left)} left as is')
    wanted = _minutes(offering, amounts, problems)
    result: Tres | TresExcept = TresExcept(wanted, frozenset(unmanaged)) if unmanaged else wanted
    return (Refused(result, "; ".join(problems), final=True) if problems else result), missing


def of_member(offering: Offering, amounts: Mapping[str, object]) -> Wanted:
    """One member's limits as MaxTRESMins; the components' TRES are ours, so what is gone from Waldur is cleared."""
    problems: list[str] = []
    components = offering.backend_components
    wanted = _minutes(offering, {n: (amounts[n], 1) for n in components if n in amounts}, problems)
    managed = frozenset(tres for name, component in components.items() for tres in component.factors(name))
    result = TresWithin(wanted, managed)
    return Refused(result, "; ".join(problems)) if problems else result


def nothing(offering: Offering) -> Tres | None:
    """The limits of an ended account that stays (soft_delete)."""
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


def qos(settings: SlurmSettings, resource: Resource, *, keeps: bool) -> dict[str, Wanted]:
    """QoS list and default QoS. SLURM refuses a list that lacks the default in effect, so both are set.

    ``keeps``: QoS beside the configured ones are the operator's and stay.
    """
    special = frozenset(fold(q) for q in (settings.qos_paused, settings.qos_downscaled) if q)
    default = fold(settings.qos_default)
    for flag, key, name in (
        (resource.paused, "qos_paused", settings.qos_paused),
        (resource.downscaled, "qos_downscaled", settings.qos_downscaled),
    ):
        if flag and name:
            return {"qos": frozenset({fold(name)}), "default_qos": fold(name)}
        if flag:
            word = key.removeprefix("qos_")
            why = f"the resource is {word}, but backend_settings.{key} is not set"
            return {"qos": Refused(frozenset(), why)}
    others = special - {default}
    return {
        "qos": AtLeast(frozenset({default}), others) if keeps else frozenset({default}),
        "default_qos": Unless(default, frozenset(others)),
    }
