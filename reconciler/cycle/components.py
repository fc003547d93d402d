"""An offering's components in Waldur, made what the configuration says: a plan like any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from reconciler.apply.portal import tell
from reconciler.apply.record import Listener, Outcome
from reconciler.config import Component, Config, Offering
from reconciler.cycle.planning import About, Asked, Draft, plan_of
from reconciler.errors import ConfigError
from reconciler.plan.model import Plan
from reconciler.providers.registry import waldur_portal
from reconciler.state import waldur
from reconciler.state.facts import Told
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.units import plain_text
from reconciler.state.values import UNMANAGED, Wanted

_AMOUNTS = ("min_value", "max_value", "max_available_limit", "default_limit")


def desired(offering: Offering, actual: State, *, delete: bool = False) -> Desired:
    """The components of the configuration; those only Waldur has stay unless ``delete`` says otherwise."""
    result = Desired()
    offerings = frozenset({offering.name})
    here = {a.key[1].lower(): a.key[1] for a in actual}
    if delete and not offering.backend_components:
        raise ConfigError(f"offering {offering.name!r} has no backend_components: --delete would remove them all")
    for name, component in offering.backend_components.items():
        address = waldur.component(offering.waldur_offering_uuid, name)
        if here.get(name.lower(), name) != name:
            raise ConfigError(
                f"offering {offering.name!r}: component {name!r} is {here[name.lower()]!r} in Waldur",
                "Write it the same way in backend_components: two components that differ in case are no use.",
            )
        values = _values(name, component)
        if values["unit_factor"] is UNMANAGED:
            text = "its unit_factor is no whole number, or it has target_components: Waldur's is left as it is"
            result.warnings.append(Note(address, text, offering.name))
        there = actual.get(address)
        known = there.values.keys() if there is not None else None
        # what the server does not tell it does not have: unit_factor came with version 8
        result.objects[address] = Obj(
            {n: v for n, v in values.items() if known is None or n in known},
            f"backend_components.{name} of the configuration",
            offerings,
        )
    for address in actual.keys() - result.objects.keys():
        if delete:
            result.absent[address] = Obj({}, "not in the configuration, and --delete was given", offerings)
        else:
            result.orphans.append(Note(address, "not in the configuration; --delete removes it", offering.name))
    return result


def _values(name: str, component: Component) -> dict[str, Wanted]:
    factor = component.unit_factor
    whole = factor == factor.to_integral_value()
    values: dict[str, Wanted] = {
        "name": component.label.strip() or name,
        "measured_unit": component.waldur_unit.strip(),
        "billing_type": component.accounting_type,
        "limit_amount": _text(component.limit) if component.accounting_type == "usage" else UNMANAGED,
        "unit_factor": int(factor) if whole and not component.target_components else UNMANAGED,
        "limit_period": component.limit_period or UNMANAGED,
    }
    for key in _AMOUNTS:
        values[key] = _text(getattr(component, key))
    for key in ("description", "article_code"):
        text = getattr(component, key)
        values[key] = UNMANAGED if text is None else text.strip()
    for key in ("is_boolean", "is_prepaid"):
        switch = getattr(component, key)
        values[key] = UNMANAGED if switch is None else str(switch).lower()
    return values


def _text(amount: Decimal | None) -> Wanted:
    return UNMANAGED if amount is None else plain_text(amount)


class OfferingComponents:
    """The components of one offering, planned and pushed."""

    def __init__(
        self, config: Config, offering: Offering, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        if offering.from_file:
            raise ConfigError(f"{config.path}: offering {offering.name!r} is a file; components are pushed to a portal")
        self.config, self.offering, self.clock = config, offering, clock
        self.portal = waldur_portal(offering, config)

    def plan(self, *, delete: bool = False) -> Plan:
        """What would change in Waldur. Raises ``ReadError``; nothing is changed."""
        actual = self.portal.components.read()
        wanted = desired(self.offering, actual, delete=delete)
        draft = Draft()
        # what is not in the configuration is only listed, and so a warning here
        told = Desired(wanted.objects, wanted.absent, wanted.held, warnings=[*wanted.warnings, *wanted.orphans])
        draft.add(told, actual)
        name, known = self.offering.name, Told(held=actual)
        about = About(name, (name,), self.config.digest, self.clock(), told=known)
        return plan_of(draft, about, Asked())

    def push(self, plan: Plan, listener: Listener | None = None) -> Outcome:
        """Make it so, and read it back."""
        return tell({self.offering.name: self.portal}, plan, listener)
