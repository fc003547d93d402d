"""The portal's side as objects: orders, resources and offering users as Waldur has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from reconciler.state import waldur
from reconciler.state.facts import Facts, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import Obj, State
from reconciler.state.units import UnitError, decimal, plain_text
from reconciler.state.values import Value


def moment(when: datetime) -> str:
    """A time as it is compared and sent: ISO 8601 in UTC, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def portal_state(told: Iterable[Facts]) -> State:
    """What the portals hold about orders, resources and offering users."""
    state: State = {}
    for facts in told:
        for resource in facts.resources:
            state[waldur.resource(resource.uuid)] = resource_obj(resource)
            if resource.order is not None:
                state[waldur.order(resource.order.uuid)] = Obj({"state": resource.order.state, "error_message": ""})
        for person in facts.offering_users:
            if person.uuid:
                state[waldur.offering_user(person.uuid)] = Obj({"username": person.username, "state": person.state})
    return state


def resource_obj(resource: Resource) -> Obj:
    """A ``waldur.resource``, and its metadata, of which only a part is in its fields."""
    return Obj(resource_values(resource), beside=resource.metadata)


def resource_values(resource: Resource) -> dict[str, Value]:
    """The fields of ``waldur.resource`` as the portal has them."""
    fields = KINDS["waldur.resource"].by_name
    return {
        "backend_id": resource.backend_id,
        "state": resource.state,
        "error_message": resource.error_message,
        "limits": amounts(resource.told_limits),
        **{name: fields[name].compare.told(resource.metadata.get(key)) for name, key in waldur.METADATA.items()},
        "last_sync": resource.last_sync,
    }


def amounts(limits: Mapping[str, object]) -> str:
    """Waldur's amounts in one spelling: ``cpu=100,mem=2.5``; what is no number is left out."""
    found = []
    for name, value in sorted(limits.items()):
        try:
            found.append(f"{name}={plain_text(decimal(value))}")
        except UnitError:
            continue
    return ",".join(found)
