"""The portal's side as objects: orders, resources and offering users as Waldur has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from reconciler.state import kinds
from reconciler.state.facts import Facts, Resource
from reconciler.state.model import Obj, State, Value
from reconciler.state.naming import fold
from reconciler.state.units import UnitError, decimal, plain_text


def moment(when: datetime) -> str:
    """A time as it is compared and sent: ISO 8601 in UTC, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def portal_state(told: Iterable[Facts]) -> State:
    """What the portals hold about orders, resources and offering users."""
    state: State = {}
    for facts in told:
        for resource in facts.resources:
            state[kinds.resource(resource.uuid)] = Obj(resource_values(resource))
            if resource.order is not None:
                state[kinds.order(resource.order.uuid)] = Obj({"state": resource.order.state, "error_message": ""})
        for person in facts.offering_users:
            if person.uuid:
                state[kinds.offering_user(person.uuid)] = Obj({"username": person.username, "state": person.state})
    return state


def resource_values(resource: Resource) -> dict[str, Value]:
    """The fields of ``waldur.resource`` as the portal has them."""
    metadata = resource.metadata
    qos, share, limits = metadata.get("qos"), metadata.get("fairshare"), metadata.get("limits")
    return {
        "backend_id": resource.backend_id,
        "state": resource.state,
        "error_message": resource.error_message,
        "limits": amounts(resource.told_limits),
        "qos": frozenset(q for q in fold(qos).split(",") if q) if isinstance(qos, str) else frozenset(),
        "fairshare": share if isinstance(share, int | str) and not isinstance(share, bool) else None,
        "grp_tres_mins": {k: v for k, v in limits.items() if isinstance(v, int)} if isinstance(limits, Mapping) else {},
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
