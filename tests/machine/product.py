"""What the machine has to be told of a kind of cluster; all else it knows by the roles of kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.state.tree import Shape
from tests.machine.world import Allocation


@dataclass(frozen=True)
class Product:
    """One kind of cluster, as an operator and a customer see it.

    ``found``: the operator's commands before reconcile comes; ``strangers``: those that put what is nobody's among
    what is ours; ``hands``: any of those in between; ``targets``: globs of addresses, mostly none. Both are drawn by
    number and counted round. ``as_sold`` looks at the values of an account whose resource is well. Raises
    :class:`AssertionError`.
    """

    shape: Shape
    found: tuple[str, ...]
    strangers: tuple[str, ...]
    hands: tuple[str, ...]
    targets: tuple[tuple[str, ...], ...]
    as_sold: Callable[[Allocation, Mapping[str, Any]], None]
    people_stay: bool = False  # whose last membership goes is still known

    def hand(self, number: int) -> str:
        """An operator's command."""
        return self.hands[number % len(self.hands)]

    def restricted(self, number: int) -> tuple[str, ...]:
        """What a run is restricted to; mostly to nothing."""
        return self.targets[number % len(self.targets)]
