"""What is built of a cluster's desired state, and from which resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.config import Offering
from reconciler.desired.accounts import Chain, Problem
from reconciler.providers.base import Allocation
from reconciler.state.facts import Resource
from reconciler.state.managed import Managed
from reconciler.state.model import Address, Desired, Obj
from reconciler.state.values import Wanted


@dataclass
class Built:
    """The desired objects and the scope in which this program may touch anything."""

    desired: Desired
    managed: Managed
    resources: dict[str, tuple[Offering, Resource]] = field(default_factory=dict)  # by allocation account
    allocations: list[Allocation] = field(default_factory=list)  # their accounts, as they are built here
    chains: list[Chain] = field(default_factory=list)  # those that are built
    rejected: list[Chain] = field(default_factory=list)  # those that are refused
    leaving: list[Chain] = field(default_factory=list)  # those that an order ends
    failed: dict[str, Problem] = field(default_factory=dict)  # by resource uuid: why it can have no account
    adopted: dict[str, Chain] = field(default_factory=dict)  # by account that is there and nobody's yet
    refused: set[str] = field(default_factory=set)  # allocation accounts of refused resources
    squeezed: set[str] = field(default_factory=set)  # allocation accounts whose users get less than usual
    refused_members: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by account: name and why

    def add(
        self,
        address: Address,
        values: Mapping[str, Wanted],
        reason: str,
        offering: str,
        needs: frozenset[Address] = frozenset(),
    ) -> None:
        """Want an object; several may."""
        present = self.desired.objects.get(address)
        offerings = frozenset({offering}) | (present.offerings if present else frozenset())
        # what several ask for waits for none of them
        needs = needs if present is None or present.needs == needs else frozenset()
        reason = present.reason if present else reason
        self.desired.objects[address] = Obj(values, reason, offerings, needs=needs)
