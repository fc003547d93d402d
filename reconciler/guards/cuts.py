"""Limits that would fall although no order says so: what earlier agents left in a portal may be nobody's wish. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from reconciler.config import Offering
from reconciler.config.guards import lift
from reconciler.guards.budgets import lowered, unit
from reconciler.state import budget, waldur
from reconciler.state.diff import Change
from reconciler.state.facts import CREATE, EXECUTING, PENDING_PROVIDER, RESTORE, Order, Resource
from reconciler.state.kinds import Kind, Role
from reconciler.state.model import Address
from reconciler.state.units import UnitError, decimal
from reconciler.state.values import Value

KEY = "limit_cuts"
#: by account: its offering and its resource
Resources = Mapping[str, tuple[Offering, Resource]]


def falling(
    changes: Iterable[Change], resources: Resources, share: float, *, first: Collection[str]
) -> dict[Address, list[str]]:
    """TRES whose limit falls to 0 or by more than a share, by account of a resource.

    Of offerings on their ``first`` run: that fall at all.
    """
    found: dict[Address, list[str]] = {}
    for change in changes:
        if not change.kind.budget or change.address.key[0] not in resources:
            continue
        before = _side(change, change.before)
        fresh = _fresh(change, resources, first)
        part = Decimal(str(share))
        fallen = [
            tres
            for tres, limit in lowered(change).items()
            if fresh or (limit == 0 if tres not in before else before[tres] - limit > part * before[tres])
        ]
        if fallen:
            found[change.address] = fallen
    return found


def unordered(
    changes: Sequence[Change],
    resources: Resources,
    ordered: Mapping[str, Order],
    share: float,
    *,
    first: Collection[str],
) -> list[Change]:
    """Block limits that fall although no order says so; what else is changed of the account goes on.

    ``ordered``: by resource, the last order that was done, as the portal knows it; on the ``first`` run only one that
    is underway counts, as what earlier agents left in Waldur may be nobody's wish.
    """
    fallen = falling(changes, resources, share, first=first)
    result: list[Change] = []
    for change in changes:
        offering, resource = resources.get(change.address.key[0], (None, None))
        if change.address not in fallen or offering is None or resource is None:
            result.append(change)
            continue
        last, fresh = ordered.get(resource.uuid), _fresh(change, resources, first)
        wanted = _side(change, change.after)
        # what Waldur was told when it was so: another hand raised it on the cluster
        told = {} if fresh else _told(resource, change.kind)
        held = [
            t
            for t in fallen[change.address]
            if told.get(t) != wanted[t] and not _says_so(offering, resource, last, t, first=fresh)
        ]
        result += _split(change, held, _why(change, held, offering, resource, last, first=fresh)) if held else [change]
    return result


def _components(offering: Offering, tres: str) -> list[str]:
    found = [name for name, component in offering.backend_components.items() if tres in component.factors(name)]
    # what is a sum of several, like billing, is as ordered where they are
    return found or [name for name, c in offering.backend_components.items() if c.accounting_type == "limit"]


def _fresh(change: Change, resources: Resources, first: Collection[str]) -> bool:
    """Whether nobody here has looked after a budget before: the offering's first run, or money never told of."""
    offering, resource = resources[change.address.key[0]]
    own = change.kind.role is Role.BUDGET and not offering.from_file
    return offering.name in first or (own and not _told(resource, change.kind))


def _side(change: Change, values: Mapping[str, Value] | None) -> budget.Amounts:
    return budget.amounts(change.kind, (values or {}).get(change.kind.budget))


def _told(resource: Resource, kind: Kind) -> budget.Amounts:
    """The budget that the portal was told of last."""
    return budget.amounts(kind, resource.metadata.get(waldur.METADATA.get(kind.budget, "")))


def _says_so(offering: Offering, resource: Resource, last: Order | None, tres: str, *, first: bool) -> bool:
    """Whether an order gave the amounts that make a TRES' limit what it is to be."""
    names = _components(offering, tres)
    order = resource.order
    if order is not None and order.state in (PENDING_PROVIDER, EXECUTING) and names:
        # a new resource's amounts are the order's as well, and those that only its plan has
        whole = order.type in (CREATE, RESTORE)
        if whole or all(name in order.limits or name not in resource.told_limits for name in names):
            return True
    if first:
        return False
    # months that are paid for, and what the configuration sets, stand in no order
    silent = any(offering.backend_components[n].accounting_type != "limit" for n in names)
    if last is None or not names or silent:
        return False
    return all(_same(last.limits.get(name), resource.limits.get(name)) for name in names)


def _same(one: object, other: object) -> bool:
    try:
        return decimal(one) == decimal(other)
    except UnitError:
        return False


def _split(change: Change, held: Sequence[str], why: str) -> list[Change]:
    """A change as what goes on and what is held back."""
    before, after = change.before or {}, change.after or {}
    name = change.kind.budget
    was, wanted = before.get(name), after.get(name)
    live = replace(change, after={**after, name: budget.mixed(change.kind, wanted, was, held)})
    cut = budget.mixed(change.kind, was, wanted, held)
    blocked = replace(change, after={**before, name: cut}, blocked=why, aside=True)
    return [*([live] if live.changed() else []), blocked]


def _why(
    change: Change, held: Sequence[str], offering: Offering, resource: Resource, last: Order | None, *, first: bool
) -> str:
    was, wanted = (_side(change, side) for side in (change.before, change.after))
    falls = ", ".join(f"{t} from {was.get(t, 'no limit')} to {wanted[t]}" for t in held)
    names = dict.fromkeys(n for t in held for n in _components(offering, t))
    now = ", ".join(f"{n}={_amount(offering, resource, n)}" for n in names)
    if last is None:
        order = "no order of it is known"
    else:
        had = ", ".join(f"{n}={last.limits.get(n, 'nothing')}" for n in names)
        order = f"the last one done, {last.type} {last.uuid}, has {had}"
    text = f"limits would fall ({falls} {unit(change)}), as there is now {now}, and {order}"
    if first:
        text = f"limits would fall ({falls} {unit(change)}; {now}), and the first run against a cluster cuts no limit"
    return f"{text} {lift(KEY)}"


def _amount(offering: Offering, resource: Resource, name: str) -> object:
    component = offering.backend_components[name]
    if component.fixed:
        return f"{component.limit} in the configuration"
    return resource.limits.get(name)
