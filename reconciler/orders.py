"""Orders as facts: what a resource is to become while its order is underway.

Pure. A pending or executing order is desired state like any other: a Create makes its resource live, an
Update's limits and plan hold already, a Terminate ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.state.facts import CREATE, EXECUTING, RESTORE, TERMINATE, UPDATE, UPDATING, Facts, Order, Resource


def with_orders(facts: Facts, *, processed: bool) -> Facts:
    """The facts with each resource as its order wants it.

    ``processed``: this program fulfils the offering's orders. Otherwise only limits that somebody else is
    about to set count: an executing Update's.
    """
    orders = _by_resource(facts.orders, processed=processed)
    return replace(facts, resources=tuple(_wanted(r, orders.get(r.uuid), facts.quotas) for r in facts.resources))


def _by_resource(orders: Iterable[Order], *, processed: bool) -> dict[str, Order]:
    relevant = (o for o in orders if processed or (o.type == UPDATE and o.state == EXECUTING))
    return {o.resource_uuid: o for o in relevant if o.type in (CREATE, UPDATE, TERMINATE, RESTORE)}


def _wanted(resource: Resource, order: Order | None, quotas: Mapping[str, Mapping[str, object]]) -> Resource:
    plan = order.plan_uuid if order is not None and order.plan_uuid else resource.plan_uuid
    # amounts that a plan includes hold where the customer ordered none
    limits = {**quotas.get(plan, {}), **resource.limits}
    if order is None:
        # its order ended between two requests, or is not ours to see
        unsure = resource.state == UPDATING
        return replace(resource, limits=limits, limits_unsure=unsure)
    if order.type != TERMINATE:
        limits |= order.limits
    return replace(resource, limits=limits, order=order)
