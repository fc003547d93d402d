"""What a portal says about one offering, free of its API: the input of the desired state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from reconciler.state.model import Note

# Waldur's words, ResourceState and OfferingUserState of its REST API
OK, ERRED, CREATING, UPDATING = "OK", "Erred", "Creating", "Updating"
TERMINATING, TERMINATED = "Terminating", "Terminated"
LIVE_STATES = (OK, ERRED, CREATING, UPDATING, TERMINATING)
LEAVING_STATES = frozenset({"Requested deletion", "Deleting", "Deleted", "Error deleting"})


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
    limits_unsure: bool = False  # being updated, and the order that says to what was not seen
    limits_from: str = ""  # the order whose limits these are, when one is executing
    attributes: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    paused: bool = False
    downscaled: bool = False
    restrict_member_access: bool = False
    created: date | None = None
    end_date: date | None = None
    team: str = ""  # key into the members; the project's uuid where empty


@dataclass(frozen=True, slots=True)
class OfferingUser:
    """A person's account with the offering. ``username`` is empty while it has none."""

    user_uuid: str
    username: str
    restricted: bool = False
    state: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything read about one offering. ``members`` maps a team (a project's uuid) to its users' uuids."""

    resources: tuple[Resource, ...] = ()
    offering_users: tuple[OfferingUser, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    name_policy: str = ""  # the offering's account_name_generation_policy
    bad: tuple[Note, ...] = ()  # rows that could not be understood; each spoils only itself
    held_names: frozenset[str] = frozenset()  # backend_id of the bad rows: accounts to leave alone
    held_users: frozenset[str] = frozenset()  # usernames of the bad rows


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
