"""The portal's kinds of objects, and their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.state import compare
from reconciler.state.kinds import KINDS, Field, Kind, Role, Stage, declare
from reconciler.state.model import Address

_RESOURCE = (
    Field("backend_id", compare.TEXT, "its account on the cluster"),
    Field("state", compare.TEXT, "OK or Erred, where no order is underway"),
    Field("error_message", compare.TEXT, "why it is Erred, for the customer"),
    Field("limits", compare.TEXT, "amounts, where the cluster owns them (reconcile.limits_owner)"),
)
_LAST_SYNC = Field("last_sync", compare.MOMENT, "when it was last looked after (UTC)")
#: fields of a resource that are backend metadata, with their key in it; a kind of cluster adds its own
METADATA: dict[str, str] = {}
_TOGETHER: dict[str, frozenset[str]] = {}  # by field, all that the same kind of cluster tells


def _resource_kind(*metadata: Field) -> Kind:
    fields = (*_RESOURCE, *metadata, _LAST_SYNC)
    return Kind("waldur.resource", ("uuid",), 0, Role.PORTAL, fields, stage=Stage.REPORT)


def tell(*fields: tuple[Field, str]) -> None:
    """Fields of accounts that the portal is told of, and their keys in a resource's backend metadata."""
    known = [f for f in KINDS["waldur.resource"].fields if f.name in METADATA]
    fresh = [f for f, _ in fields if f.name not in METADATA]
    METADATA.update({f.name: key for f, key in fields})
    _TOGETHER.update(dict.fromkeys((f.name for f, _ in fields), frozenset(f.name for f, _ in fields)))
    declare(_resource_kind(*known, *(replace(f, names="") for f in fresh)))


def told_with(names: Iterable[str]) -> dict[str, str]:
    """Metadata that is told where any of these fields is, with its keys: nothing of what other clusters would tell."""
    whole = frozenset(n for name in names for n in _TOGETHER.get(name, ()))
    return {name: key for name, key in METADATA.items() if name in whole}


declare(
    Kind(
        "waldur.offering_user",
        ("uuid",),
        0,
        Role.PORTAL,
        (
            Field("username", compare.TEXT, "the person's name on the cluster"),
            Field("state", compare.TEXT, "Requested, Creating, OK, Error creating"),
        ),
        stage=Stage.IDENTITY,
    ),
    _resource_kind(),
    Kind(
        "waldur.usage",
        ("resource", "period", "component"),
        0,
        Role.PORTAL,
        (
            Field("total", compare.TEXT, "amount in Waldur's unit, with two decimals"),
            Field("users", compare.AMOUNTS, "the same by user"),
            Field("plans", compare.TEXT, "Waldur's amounts by plan, where the resource had several in the month"),
        ),
        stage=Stage.USAGE,
    ),
    Kind(
        "waldur.order",
        ("uuid",),
        0,
        Role.PORTAL,
        (
            Field("state", compare.TEXT, "pending-provider, executing, done, erred"),
            Field("error_message", compare.TEXT, "why it is erred, for the customer"),
        ),
        stage=Stage.ORDER,
    ),
    Kind(
        "waldur.component",
        ("offering", "type"),
        0,
        Role.PORTAL,
        (
            Field("name", compare.TEXT, "label"),
            Field("measured_unit", compare.TEXT, "unit of amounts"),
            Field("billing_type", compare.TEXT, "limit, usage or one"),
            Field("limit_amount", compare.TEXT, "limit of usage-billed components"),
            Field("limit_period", compare.TEXT, "month, quarterly, annual or total"),
            Field("unit_factor", compare.NUMBER, "the cluster's units in one of Waldur's"),
            Field("description", compare.TEXT, "for customers"),
            Field("article_code", compare.TEXT, "for invoices"),
            Field("min_value", compare.TEXT, "least amount of an order"),
            Field("max_value", compare.TEXT, "greatest amount of an order"),
            Field("max_available_limit", compare.TEXT, "greatest amount over all resources"),
            Field("default_limit", compare.TEXT, "amount that an order form starts with"),
            Field("is_boolean", compare.TEXT, "true or false: a switch instead of an amount"),
            Field("is_prepaid", compare.TEXT, "true or false: paid at the order"),
        ),
        stage=Stage.REPORT,
    ),
    Kind(
        "waldur.backend_resource",
        ("offering", "backend_id"),
        0,
        Role.PORTAL,
        (
            Field("name", compare.TEXT, "name of the resource to be"),
            Field("project", compare.TEXT, "uuid of its project"),
            Field("limits", compare.TEXT, "amounts in Waldur's units"),
        ),
        stage=Stage.REPORT,
    ),
)


def resource(uuid: str) -> Address:
    """The address of a resource."""
    return Address("waldur.resource", (uuid,))


def order(uuid: str) -> Address:
    """The address of an order."""
    return Address("waldur.order", (uuid,))


def offering(name: str) -> Address:
    """The address that notes on a whole offering have."""
    return Address("waldur.offering", (name,))


def offering_user(uuid: str) -> Address:
    """The address of a person's account with an offering."""
    return Address("waldur.offering_user", (uuid,))


def usage(resource_uuid: str, period: str, component_name: str) -> Address:
    """The address of what was used of a component in a month (``2026-11``)."""
    return Address("waldur.usage", (resource_uuid, period, component_name))


def component(offering_uuid: str, name: str) -> Address:
    """The address of a component of an offering."""
    return Address("waldur.component", (offering_uuid, name))


def backend_resource(offering_uuid: str, account: str) -> Address:
    """The address of an account that is offered to an offering for import."""
    return Address("waldur.backend_resource", (offering_uuid, account))
