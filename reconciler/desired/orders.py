"""Orders as facts: what a resource is to become while its order is underway.

Pure. A pending or executing order is desired state like any other: a Create makes its resource live, an
Update's limits and plan hold already, a Terminate ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.state import waldur
from reconciler.state.facts import CREATE, EXECUTING, RESTORE, TERMINATE, UPDATE, UPDATING, Facts, Order, Resource
from reconciler.state.model import Note

_TYPES = (CREATE, UPDATE, TERMINATE, RESTORE)


def with_orders(facts: Facts, *, processed: bool, offering: str = "") -> Facts:
    """The facts with each resource as its order wants it; orders that wait for something else become notes.

    ``processed``: this program fulfils the offering's orders. Otherwise only limits that somebody else is
    about to set count: an executing Update's.
    """
    chosen: dict[str, Order] = {}
    notes: list[Note] = []
    here = {r.uuid: r for r in facts.resources}

    def ignored(order: Order, why: str) -> None:
        if processed:
            notes.append(Note(waldur.order(order.uuid), f"{order.type} order is not processed: {why}", offering))

    # an end comes before whatever else is underway
    for order in sorted(facts.orders, key=lambda o: (o.type != TERMINATE, o.uuid)):
        if not processed and (order.type != UPDATE or order.state != EXECUTING):
            continue
        if order.type not in _TYPES:
            ignored(order, "its type is unknown here")
        elif order.resource_uuid not in here:
            ignored(order, f"Waldur shows no live resource {order.resource_uuid}")
        elif order.resource_uuid in chosen:
            first = chosen[order.resource_uuid]
            ignored(order, f"{first.type} order {first.uuid} of the same resource goes first")
        else:
            chosen[order.resource_uuid] = order
    resources = tuple(_wanted(r, chosen.get(r.uuid), facts.quotas) for r in facts.resources)
    return replace(facts, resources=resources, notes=(*facts.notes, *notes))


def _wanted(resource: Resource, order: Order | None, quotas: Mapping[str, Mapping[str, object]]) -> Resource:
    plan = order.plan_uuid if order is not None and order.plan_uuid else resource.plan_uuid
    # amounts that a plan includes hold where the customer ordered none
    limits = {**quotas.get(plan, {}), **resource.limits}
    if order is None:
        # its order ended between two requests, or is not ours to see
        return replace(resource, limits=limits, limits_unsure=resource.state == UPDATING)
    if order.type != TERMINATE:
        limits |= order.limits
    return replace(resource, limits=limits, order=order)
