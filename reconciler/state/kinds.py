"""The kinds of objects: fields, how each compares, what an object depends on.

A new feature is a new field or kind here; diff, plan, render and the writers read these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from reconciler.state.model import Address, Value


class Compare(Enum):
    """How a field compares, and so how it prints."""

    TEXT = "text"  # folded by the writer of the value
    TRES = "tres"
    SET = "set"
    NUMBER = "number"  # an int, None when not set
    SHARE = "share"  # an int, or "parent"


_FRESH: dict[Compare, Value] = {
    Compare.TEXT: "",
    Compare.TRES: {},
    Compare.SET: frozenset(),
    Compare.NUMBER: None,
    Compare.SHARE: 1,
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


@dataclass(frozen=True)
class Kind:
    """A kind of object. ``rank`` orders creation between kinds, ``depends`` within a plan."""

    name: str
    key: tuple[str, ...]
    rank: int
    fields: tuple[Field, ...]
    depends: Callable[[tuple[str, ...], Mapping[str, Value]], tuple[Address, ...]] = _none

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
            "host.homedir",
            ("user",),
            4,
            (
                Field("path", Compare.TEXT, "where it is"),
                Field("owner", Compare.TEXT, "user name, or 'uid N' where it is somebody else's"),
                Field("mode", Compare.TEXT, "permissions, in octal"),
            ),
        ),
    )
}
