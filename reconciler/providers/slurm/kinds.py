"""SLURM's kinds of objects: accounts, associations, users, coordinators and QoS, and what the portal is told of them.

Names and meanings of fields: sacctmgr(1), "SPECIFICATIONS FOR ACCOUNTS/USERS/QOS"; resource_limits.html.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.state import compare, waldur
from reconciler.state.kinds import Field, Key, Kind, Role, declare
from reconciler.state.model import Address, State
from reconciler.state.tree import Shape
from reconciler.state.values import Value

ROOT = "root"  # SLURM's own account, without which there is no tree


def account(name: str) -> Address:
    """The address of an account."""
    return Address("slurm.account", (name,))


def association(account_name: str, user_name: str) -> Address:
    """The address of a user's association with an account."""
    return Address("slurm.association", (account_name, user_name))


def user(name: str) -> Address:
    """The address of a user record."""
    return Address("slurm.user", (name,))


def coordinator(account_name: str, user_name: str) -> Address:
    """The address of a user's right to add others to an account."""
    return Address("slurm.coordinator", (account_name, user_name))


def qos(name: str) -> Address:
    """The address of a QoS."""
    return Address("slurm.qos", (name,))


def _account_depends(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    parent = values.get("parent")
    above = (account(parent),) if isinstance(parent, str) and parent else ()
    names = values.get("qos")
    return (*above, *(qos(n) for n in sorted(names))) if isinstance(names, frozenset) else above


def _its_account(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    return (account(key[0]),)


def _user_depends(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    default = values.get("default_account")
    return (association(default, key[0]),) if isinstance(default, str) and default else ()


def _default_moves(key: Key) -> tuple[Address, ...]:
    """A default account has to move before the association with it can go."""
    return (user(key[1]),)


def _is_default(key: Key, actual: State) -> bool:
    """sacctmgr refuses to remove a user's default account while others remain, even in the same command."""
    present = actual.get(user(key[1]))
    return present is not None and present.values.get("default_account") == key[0]


_MINUTES = "TRES-minutes"
_LIMITS = (
    Field("fairshare", compare.SHARE, "shares, or 'parent'", heading="Fairshare"),
    Field("qos", compare.SET, "allowed QoS", names="qos", heading="QoS"),
    Field("default_qos", compare.TEXT, "QoS of jobs that name none", names="qos", label="DefaultQOS"),
    Field(
        "grp_tres_mins",
        compare.NUMBERS,
        "GrpTRESMins: budget in TRES-minutes",
        names="tres",
        label="GrpTRESMins",
        heading="GrpTRESMins",
        unit=_MINUTES,
    ),
    Field(
        "grp_tres",
        compare.NUMBERS,
        "GrpTRES: at one time, over all jobs",
        names="tres",
        label="GrpTRES",
        heading="GrpTRES",
    ),
    Field(
        "max_tres_mins",
        compare.NUMBERS,
        "MaxTRESMins: TRES-minutes of one job",
        names="tres",
        label="MaxTRESMins",
        heading="MaxTRESMins",
        unit=_MINUTES,
    ),
    Field(
        "grp_submit_jobs",
        compare.NUMBER,
        "GrpSubmitJobs: jobs at one time, over all users",
        label="GrpSubmitJobs",
    ),
    Field(
        "max_submit_jobs",
        compare.NUMBER,
        "MaxSubmitJobs: jobs at one time, per association",
        label="MaxSubmitJobs",
    ),
)

QOS = Kind("slurm.qos", ("name",), 0, Role.CATALOG, (Field("flags", compare.SET, "QoS flags"),))
ACCOUNT = Kind(
    "slurm.account",
    ("name",),
    1,
    Role.ACCOUNT,
    (
        Field("parent", compare.TEXT, "parent account", heading="Parent"),
        Field("description", compare.STORED_TEXT, "Waldur name, folded to lower case", heading="Description"),
        Field("organization", compare.STORED_TEXT, "organization, folded to lower case", heading="Organization"),
        *_LIMITS,
        Field("usage_period", compare.IF_KNOWN, "the period for which RawUsage was reset last, where that is known"),
    ),
    _account_depends,
    above="parent",
    budget="grp_tres_mins",
    description="description",
    limits=("grp_tres_mins", "max_tres_mins", "grp_tres"),
    ruled=("grp_tres_mins", "max_tres_mins", "grp_tres", "fairshare", "usage_period"),
    renews="usage_period",
)
ASSOCIATION = Kind(
    "slurm.association",
    ("account", "user"),
    2,
    Role.MEMBER,
    _LIMITS,
    _its_account,
    frees=_default_moves,
    late=_is_default,
    drained={"max_submit_jobs": 0},
)
USER = Kind(
    "slurm.user",
    ("name",),
    3,
    Role.PERSON,
    (
        Field("default_account", compare.TEXT, "account of jobs that name none", label="DefaultAccount"),
        Field("name", compare.TEXT, "as it is written, where slurmdbd keeps the case (PreserveCaseUser)"),
    ),
    _user_depends,
)
COORDINATOR = Kind("slurm.coordinator", ("account", "user"), 4, Role.RIGHT, (), _its_account)

_PERIODIC = ("grp_tres_mins", "max_tres_mins", "grp_tres")
EMULATED = Kind(
    "slurm.emulated",
    ("account",),
    5,
    Role.SETTING,
    (
        *(f for f in _LIMITS if f.name in {*_PERIODIC, "fairshare"}),
        Field("usage_period", compare.IF_KNOWN, "the period for which its raw usage was reset last"),
    ),
    _its_account,
    ruled=(*_PERIODIC, "fairshare", "usage_period"),
    renews="usage_period",
)

declare(QOS, ACCOUNT, ASSOCIATION, USER, COORDINATOR, EMULATED)
waldur.tell(
    (Field("qos", compare.SET, "backend metadata: QoS of the account"), "qos"),
    (Field("fairshare", compare.SHARE, "backend metadata: fairshare of the account"), "fairshare"),
    (Field("grp_tres_mins", compare.NUMBERS, "backend metadata: GrpTRESMins of the account"), "limits"),
)
SHAPE = Shape(account="slurm.account", member="slurm.association", person="slurm.user", above="parent", root=ROOT)
