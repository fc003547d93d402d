"""What a kind of object declares: fields and how they compare, its place among accounts and members, its order.

No kind is named here: the portal's are in ``state/waldur.py``, those of a cluster or host in their provider's folder.
A new feature is a new field or kind there; diff, ownership, guards, plan and the writers read these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from reconciler.state.compare import Compare
from reconciler.state.model import Address, State
from reconciler.state.values import Value


class Role(Enum):
    """What objects of a kind are to those who never heard of the kind."""

    ACCOUNT = "account"  # key: its name
    MEMBER = "member"  # of an account; key: account and user
    PERSON = "person"  # a user, beside their memberships; key: the user's name
    RIGHT = "right"  # that a user has on an account, beside using it; key: account and user
    BUDGET = "budget"  # of an account, as an object of its own; key: the account's name
    SETTING = "setting"  # of an account, kept elsewhere than it; key: the account's name
    CATALOG = "catalog"  # what others refer to by name
    PORTAL = "portal"
    HOST = "host"


@dataclass(frozen=True)
class Field:
    """One field.

    ``names`` is the catalogue its values must be in; ``label`` how the cluster's own documentation spells it;
    ``unit`` what its numbers count; ``heading`` what an overview of the object calls it, empty where it lacks it.
    """

    name: str
    compare: Compare
    doc: str
    names: str = ""
    label: str = ""
    unit: str = ""
    heading: str = ""

    @property
    def fresh(self) -> Value:
        """The value of a new object for which nothing was said."""
        return self.compare.fresh

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.label or self.name


class Stage(IntEnum):
    """When in an apply the objects of a kind are written."""

    IDENTITY = 0  # who people are, before anything is given to them
    CLUSTER = 1
    HOST = 2
    REPORT = 3  # what the portal is told, once the cluster was read again
    USAGE = 4
    ORDER = 5  # a portal takes no usage of what has ended


Key = tuple[str, ...]


def _none(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    return ()


def _nothing(key: Key) -> tuple[Address, ...]:
    return ()


def _never(key: Key, actual: State) -> bool:
    return False


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    ``rank`` orders creation between kinds of a stage. ``depends``: what has to be there before an object of these
    values; ``frees``: what has to be changed, if it is, before one can be removed; ``late``: one that is removed
    after all others. ``above``: the field with the account that an account hangs below; ``budget``: the field with
    amounts that are used up, of which less means that jobs stop; ``component``: what it counts where it is a single
    amount; ``description``: the one that says for people what an
    account is; ``drained``: values with which a member
    begins nothing new; ``limits``: fields that bound what may be used, of which an object may have some from
    others; ``ruled``: fields that a periodic policy may own; ``renews``: the field with which the counters of what is
    used begin anew, which nobody can take back.
    """

    name: str
    key: tuple[str, ...]
    rank: int
    role: Role
    fields: tuple[Field, ...]
    depends: Callable[[Key, Mapping[str, Value]], tuple[Address, ...]] = _none
    frees: Callable[[Key], tuple[Address, ...]] = _nothing
    late: Callable[[Key, State], bool] = _never
    stage: Stage = Stage.CLUSTER
    above: str = ""
    budget: str = ""
    component: str = ""
    description: str = ""
    drained: Mapping[str, Value] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    ruled: tuple[str, ...] = ()
    renews: str = ""
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})

    def field(self, name: str) -> Field:
        """A field by name."""
        return self.by_name[name]

    @property
    def refers(self) -> bool:
        """Whether fields of it hold names of a catalogue."""
        return any(f.names for f in self.fields)

    def at(self, *key: str) -> Address:
        """The address of one of its objects."""
        return Address(self.name, key)


#: all kinds by name; who is not imported is not here
KINDS: dict[str, Kind] = {}


# names of kinds by role: there may be 100,000s of objects to ask about
_ACCOUNTS: set[str] = set()
_MEMBERS: set[str] = set()


def declare(*kinds: Kind) -> None:
    """Make kinds known; the same name again takes the place of the former."""
    KINDS.update({kind.name: kind for kind in kinds})
    _ACCOUNTS.update(kind.name for kind in kinds if kind.role is Role.ACCOUNT)
    _MEMBERS.update(kind.name for kind in kinds if kind.role is Role.MEMBER)


def role_of(address: Address) -> Role:
    """What an object is."""
    return KINDS[address.kind].role


def is_account(address: Address) -> bool:
    """Whether it is an account of a cluster."""
    return address.kind in _ACCOUNTS


def is_member(address: Address) -> bool:
    """Whether it is a user's membership in an account."""
    return address.kind in _MEMBERS


def on_cluster(address: Address) -> bool:
    """Whether an object lives in the cluster's database."""
    return KINDS[address.kind].stage is Stage.CLUSTER
