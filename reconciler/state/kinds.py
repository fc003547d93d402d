"""The kinds of objects: fields, how each compares, what an object depends on.

A new feature is a new field or kind here; diff, plan, render and the writers read these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from reconciler.state.model import Address, Value


class Compare(Enum):
    """How a field compares, and so how it prints."""

    TEXT = "text"  # folded by the writer of the value
    TRES = "tres"
    SET = "set"
    NUMBER = "number"  # an int, None when not set
    SHARE = "share"  # an int, or "parent"
    AMOUNTS = "amounts"  # decimal texts by name


_FRESH: dict[Compare, Value] = {
    Compare.TEXT: "",
    Compare.TRES: {},
    Compare.SET: frozenset(),
    Compare.NUMBER: None,
    Compare.SHARE: 1,
    Compare.AMOUNTS: {},
}


@dataclass(frozen=True)
class Field:
    """One field. ``names`` is the catalogue its values must be in: ``qos`` or ``tres``."""

    name: str
    compare: Compare
    doc: str
    names: str = ""

    @property
    def fresh(self) -> Value:
        """The value of a new object for which nothing was said."""
        return _FRESH[self.compare]


def _none(key: tuple[str, ...], values: Mapping[str, Value]) -> tuple[Address, ...]:
    return ()


class Stage(IntEnum):
    """When in an apply the objects of a kind are written."""

    IDENTITY = 0  # who people are, before anything is given to them
    CLUSTER = 1
    HOST = 2
    REPORT = 3  # what the portal is told, once the cluster was read again
    USAGE = 4
    ORDER = 5  # Waldur takes no usage of what has ended


@dataclass(frozen=True)
class Kind:
    """A kind of object. ``rank`` orders creation between kinds, ``depends`` within a plan."""

    name: str
    key: tuple[str, ...]
    rank: int
    fields: tuple[Field, ...]
    depends: Callable[[tuple[str, ...], Mapping[str, Value]], tuple[Address, ...]] = _none
    stage: Stage = Stage.CLUSTER

    def field(self, name: str) -> Field:
        """A field by name."""
        return self.by_name[name]

    @property
    def by_name(self) -> dict[str, Field]:
        """All fields by name."""
        return {f.name: f for f in self.fields}


def account(name: str) -> Address:
    """The address of an account."""
    return Address("slurm.account", (name,))


def association(account_name: str, user: str) -> Address:
    """The address of a user's association with an account."""
    return Address("slurm.association", (account_name, user))


def user(name: str) -> Address:
    """The address of a user record."""
    return Address("slurm.user", (name,))


def qos(name: str) -> Address:
    """The address of a QoS."""
    return Address("slurm.qos", (name,))


def resource(uuid: str) -> Address:
    """The address of a portal resource."""
    return Address("waldur.resource", (uuid,))


def order(uuid: str) -> Address:
    """The address of an order."""
    return Address("waldur.order", (uuid,))


def offering_user(uuid: str) -> Address:
    """The address of a person's account with an offering."""
    return Address("waldur.offering_user", (uuid,))


def usage(resource_uuid: str, period: str, component_name: str) -> Address:
    """The address of what was used of a component in a month (``2026-11``)."""
    return Address("waldur.usage", (resource_uuid, period, component_name))


def component(offering: str, name: str) -> Address:
    """The address of a component of an offering (its uuid)."""
    return Address("waldur.component", (offering, name))


def backend_resource(offering: str, account: str) -> Address:
    """The address of an account that is offered to an offering (its uuid) for import."""
    return Address("waldur.backend_resource", (offering, account))


def on_cluster(address: Address) -> bool:
    """Whether an object lives in the cluster's database."""
    return KINDS[address.kind].stage is Stage.CLUSTER


def homedir(user_name: str) -> Address:
    """The address of a user's home directory."""
    return Address("host.homedir", (user_name,))


def _account_depends(key: tuple[str, ...], values: Mapping[str, Value]) -> tuple[Address, ...]:
    parent = values.get("parent")
    above = (account(parent),) if isinstance(parent, str) and parent else ()
    names = values.get("qos")
    return (*above, *(qos(n) for n in sorted(names))) if isinstance(names, frozenset) else above


def _association_depends(key: tuple[str, ...], values: Mapping[str, Value]) -> tuple[Address, ...]:
    return (account(key[0]),)


def _user_depends(key: tuple[str, ...], values: Mapping[str, Value]) -> tuple[Address, ...]:
    default = values.get("default_account")
    return (association(default, key[0]),) if isinstance(default, str) and default else ()


_LIMITS = (
    Field("fairshare", Compare.SHARE, "shares, or 'parent'"),
    Field("qos", Compare.SET, "allowed QoS", names="qos"),
    Field("default_qos", Compare.TEXT, "QoS of jobs that name none", names="qos"),
    Field("grp_tres_mins", Compare.TRES, "GrpTRESMins: budget in TRES-minutes", names="tres"),
    Field("grp_tres", Compare.TRES, "GrpTRES: at one time, over all jobs", names="tres"),
    Field("max_tres_mins", Compare.TRES, "MaxTRESMins: TRES-minutes of one job", names="tres"),
    Field("grp_submit_jobs", Compare.NUMBER, "GrpSubmitJobs: jobs at one time, over all users"),
    Field("max_submit_jobs", Compare.NUMBER, "MaxSubmitJobs: jobs at one time, per association"),
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("slurm.qos", ("name",), 0, (Field("flags", Compare.SET, "QoS flags"),)),
        Kind(
            "slurm.account",
            ("name",),
            1,
            (
                Field("parent", Compare.TEXT, "parent account"),
                Field("description", Compare.TEXT, "Waldur name, folded to lower case"),
                Field("organization", Compare.TEXT, "organization, folded to lower case"),
                *_LIMITS,
            ),
            _account_depends,
        ),
        Kind("slurm.association", ("account", "user"), 2, _LIMITS, _association_depends),
        Kind(
            "slurm.user",
            ("name",),
            3,
            (Field("default_account", Compare.TEXT, "account of jobs that name none"),),
            _user_depends,
        ),
        Kind(
            "waldur.offering_user",
            ("uuid",),
            0,
            (
                Field("username", Compare.TEXT, "the person's name on the cluster"),
                Field("state", Compare.TEXT, "Requested, Creating, OK, Error creating"),
            ),
            stage=Stage.IDENTITY,
        ),
        Kind(
            "waldur.resource",
            ("uuid",),
            0,
            (
                Field("backend_id", Compare.TEXT, "its account on the cluster"),
                Field("state", Compare.TEXT, "OK or Erred, where no order is underway"),
                Field("error_message", Compare.TEXT, "why it is Erred, for the customer"),
                Field("limits", Compare.TEXT, "amounts, where the cluster owns them (reconcile.limits_owner)"),
                Field("qos", Compare.SET, "backend metadata: QoS of the account"),
                Field("fairshare", Compare.SHARE, "backend metadata: fairshare of the account"),
                Field("grp_tres_mins", Compare.TRES, "backend metadata: GrpTRESMins of the account"),
                Field("last_sync", Compare.TEXT, "when it was last looked after (UTC)"),
            ),
            stage=Stage.REPORT,
        ),
        Kind(
            "waldur.usage",
            ("resource", "period", "component"),
            0,
            (
                Field("total", Compare.TEXT, "amount in Waldur's unit, with two decimals"),
                Field("users", Compare.AMOUNTS, "the same by user"),
                Field("plans", Compare.TEXT, "Waldur's amounts by plan, where the resource had several in the month"),
            ),
            stage=Stage.USAGE,
        ),
        Kind(
            "waldur.order",
            ("uuid",),
            0,
            (
                Field("state", Compare.TEXT, "pending-provider, executing, done, erred"),
                Field("error_message", Compare.TEXT, "why it is erred, for the customer"),
            ),
            stage=Stage.ORDER,
        ),
        Kind(
            "waldur.component",
            ("offering", "type"),
            0,
            (
                Field("name", Compare.TEXT, "label"),
                Field("measured_unit", Compare.TEXT, "unit of amounts"),
                Field("billing_type", Compare.TEXT, "limit, usage or one"),
                Field("limit_amount", Compare.TEXT, "limit of usage-billed components"),
                Field("limit_period", Compare.TEXT, "month, quarterly, annual or total"),
                Field("unit_factor", Compare.NUMBER, "the cluster's units in one of Waldur's"),
                Field("description", Compare.TEXT, "for customers"),
                Field("article_code", Compare.TEXT, "for invoices"),
                Field("min_value", Compare.TEXT, "least amount of an order"),
                Field("max_value", Compare.TEXT, "greatest amount of an order"),
                Field("max_available_limit", Compare.TEXT, "greatest amount over all resources"),
                Field("default_limit", Compare.TEXT, "amount that an order form starts with"),
                Field("is_boolean", Compare.TEXT, "true or false: a switch instead of an amount"),
                Field("is_prepaid", Compare.TEXT, "true or false: paid at the order"),
            ),
            stage=Stage.REPORT,
        ),
        Kind(
            "waldur.backend_resource",
            ("offering", "backend_id"),
            0,
            (
                Field("name", Compare.TEXT, "name of the resource to be"),
                Field("project", Compare.TEXT, "uuid of its project"),
                Field("limits", Compare.TEXT, "amounts in Waldur's units"),
            ),
            stage=Stage.REPORT,
        ),
        Kind(
            "host.homedir",
            ("user",),
            0,
            (
                Field("path", Compare.TEXT, "where it is"),
                Field("owner", Compare.TEXT, "user name, or 'uid N' where it is somebody else's"),
                Field("mode", Compare.TEXT, "permissions, in octal"),
            ),
            stage=Stage.HOST,
        ),
    )
}
