"""What is ours on a cluster: where an offering's accounts stand, whose member lists are kept, which users are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.state.facts import Claim
from reconciler.state.values import Wanted


@dataclass(frozen=True, slots=True)
class Level:
    """Where one offering's accounts stand: below ``root``, one prefix per level, allocations last."""

    offering: str
    root: str
    prefixes: tuple[str, ...]
    soft: Mapping[str, Wanted] | None = None  # ended accounts stay, with these values (soft_delete)

    @property
    def marked(self) -> bool:
        """Whether allocations carry a prefix at all; without one an unknown account is nobody's orphan."""
        return bool(self.prefixes[-1])

    @property
    def tell_tale(self) -> str:
        """The allocation prefix, where it alone shows that an account is an allocation."""
        own = self.prefixes[-1]
        others = self.prefixes[:-1]
        return own if own and not any(own.startswith(p) or p.startswith(own) for p in others) else ""


@dataclass(frozen=True)
class Policy:
    """What the configuration says about objects nobody claims."""

    prune: bool = False
    children: bool = False  # accounts below one that goes, and nobody's, go along
    customers: bool = True  # a customer account without resources goes; projects' always do
    kept: tuple[str, ...] = ()  # accounts by glob that somebody keeps, so that they are no orphans


@dataclass
class Managed:
    """What belongs to the offerings of a cluster; filled by the builder."""

    levels: list[Level] = field(default_factory=list)
    managed: set[str] = field(default_factory=set)  # accounts whose member list is ours
    leaving: dict[str, Claim] = field(default_factory=dict)  # accounts that a Terminate order ends
    shared: set[str] = field(default_factory=set)  # accounts where only the portal's own users are judged
    existing_only: dict[str, str] = field(default_factory=dict)  # accounts that are not made here, and why
    known_users: set[str] = field(default_factory=set)  # usernames the portal knows
    held_users: set[str] = field(default_factory=set)
    spelling: dict[str, str] = field(default_factory=dict)  # usernames as the portal writes them, by folded name
    coordinators: dict[str, frozenset[str]] = field(default_factory=dict)  # by account, where roles name them
    access: dict[str, str] = field(default_factory=dict)  # by account: why a known user has no place in it
    outsiders: dict[str, str] = field(default_factory=dict)  # users without access anywhere, and why
    common_default: dict[str, str] = field(default_factory=dict)
    leave_defaults: bool = False
    strangers_unsure: bool = False  # an unknown user may be a service account that could not be read
