"""What a portal says about one offering, free of its API: the input of the desired state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from reconciler.state.model import Address, Note, State
from reconciler.state.periodic import Announced, Rules, Span

# Waldur's words, ResourceState and OfferingUserState of its REST API
OK, ERRED, CREATING, UPDATING = "OK", "Erred", "Creating", "Updating"
TERMINATING, TERMINATED = "Terminating", "Terminated"
LIVE_STATES = (OK, ERRED, CREATING, UPDATING, TERMINATING)
CREATE, UPDATE, TERMINATE, RESTORE = "Create", "Update", "Terminate", "Restore"
PENDING_PROVIDER, EXECUTING, DONE, ORDER_ERRED = "pending-provider", "executing", "done", "erred"
REQUESTED, ERROR_CREATING = "Requested", "Error creating"
LEAVING_STATES = frozenset({"Requested deletion", "Deleting", "Deleted", "Error deleting"})


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer asked for and the provider has to fulfil, in state pending-provider or executing."""

    uuid: str
    type: str
    state: str
    resource_uuid: str
    limits: Mapping[str, object] = field(default_factory=dict)
    plan_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One allocation. Slugs are empty where the server does not tell them."""

    uuid: str
    name: str
    slug: str
    state: str
    backend_id: str
    project_uuid: str
    customer_uuid: str
    project_name: str = ""
    project_slug: str = ""
    customer_name: str = ""
    customer_slug: str = ""
    limits: Mapping[str, object] = field(default_factory=dict)
    told_limits: Mapping[str, object] = field(default_factory=dict)  # as the portal has them, before any order
    limits_unsure: bool = False  # being updated, and the order that says to what was not seen
    order: Order | None = None  # the one that is to be fulfilled
    plan_uuid: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    paused: bool = False
    downscaled: bool = False
    restrict_member_access: bool = False
    created: date | None = None
    end_date: date | None = None
    team: str = ""  # key into the members; the project's uuid where empty
    scope_uuid: str = ""  # of the allocation behind the resource, which older agents named accounts after
    metadata: Mapping[str, object] = field(default_factory=dict)  # backend metadata as Waldur has it
    last_sync: str | None = None  # ISO 8601 in UTC; None where the server does not tell
    error_message: str = ""
    offering_backend_id: str = ""  # what the provider calls the offering, like the name of its cluster

    @property
    def ends(self) -> bool:
        """Whether an order ends it."""
        return self.order is not None and self.order.type == TERMINATE


@dataclass(frozen=True, slots=True)
class Billing:
    """How Waldur bills a component. ``limit_amount`` bounds what is used of a usage-billed one."""

    type: str = ""
    limit_amount: Decimal | None = None
    limit_period: str = ""


@dataclass(frozen=True, slots=True)
class OfferingUser:
    """A person's account with the offering. ``username`` is empty while it has none."""

    user_uuid: str
    username: str
    restricted: bool = False
    state: str = ""
    uuid: str = ""
    needs: frozenset[Address] = frozenset()  # set where the username has yet to be written to the portal
    login: str = ""
    first_name: str = ""
    last_name: str = ""
    full_name: str = ""
    email: str = ""
    unix_name: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything read about one offering. ``members`` maps a team (a project's uuid) to its users' uuids.

    ``service_users`` maps a project to the names of its service and course accounts, and whose they are;
    ``user_limits`` maps a resource's uuid to amounts by component, by offering user or user uuid (None: the
    server tells none).
    """

    resources: tuple[Resource, ...] = ()
    offering_users: tuple[OfferingUser, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    service_users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    closed_service_users: frozenset[str] = frozenset()
    strangers_unsure: bool = False  # who is a service account could not be read: unknown users may be some
    notes: tuple[Note, ...] = ()  # what a person should know about the reading
    user_limits: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None
    quotas: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # amounts of plans, by uuid
    name_policy: str = ""  # the offering's account_name_generation_policy
    billing: Mapping[str, Billing] = field(default_factory=dict)  # by component
    writable: bool = False  # a portal that takes backend_id, states and orders back
    takes_states: bool = False  # it also lets a provider set states and last_sync (Waldur 8)
    bad: tuple[Note, ...] = ()  # rows that could not be understood; each spoils only itself
    held_names: frozenset[str] = frozenset()  # backend_id of the bad rows: accounts to leave alone
    held_users: frozenset[str] = frozenset()  # usernames of the bad rows
    roles: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)  # by team and user: their names
    provider: str = ""  # who provides the offering, as the portal's own lists name it; empty where nobody asked
    rules: Rules | None = None  # of what may be used in a period, where there are any
    unruled: str = ""  # why rules that there may be cannot be used
    span: Span | None = None  # the period of today, by those rules
    used: Mapping[str, Mapping[str, Mapping[str, Fraction]]] = field(default_factory=dict)  # resource, month, component
    announced: Mapping[str, Announced] = field(default_factory=dict)  # what the portal made of the rules, by account
    staff: bool | None = None  # whether past months of every component may be set; None where nobody asked


@dataclass(frozen=True)
class Told:
    """What portals told one cycle, and writing to them rests on: a new cycle has a new one.

    ``facts`` by offering, of those that were read; ``held``: objects of the portals as they were read, with what
    they hold beside their fields.
    """

    facts: Mapping[str, Facts] = field(default_factory=dict)
    held: State = field(default_factory=dict)

    def then(self, later: Told) -> Told:
        """With what was told later in the same cycle in place of what was told before."""
        return Told({**self.facts, **later.facts}, {**self.held, **later.held})


@dataclass(frozen=True, slots=True)
class Project:
    """A project that a portal tells of."""

    uuid: str
    name: str
    customer_slug: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What the portal says about an account that no live resource names.

    ``verdict``: ``terminated`` (ours, its resource ended), ``unknown`` (never heard of), ``elsewhere``
    (a resource of another offering or state has it; leave it alone).
    """

    verdict: str
    text: str = ""
    parents: tuple[str, ...] = ()  # accounts made for its project and customer, innermost first
    offering: str = ""
    needs: frozenset[Address] = frozenset()  # the order that has to be approved before
