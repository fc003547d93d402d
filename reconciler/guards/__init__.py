"""What a plan may never do unasked: the only place that runs the guards, in their order.

Some block single changes and let the others go on; others refuse the whole plan. Each has a file, and a key in
``config/guards.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.config import Guards
from reconciler.errors import ReconcileError
from reconciler.guards import budgets, cuts, money, readings, renewals, volume
from reconciler.guards.deletions import Case, Screened
from reconciler.guards.deletions import screen as _deletions
from reconciler.guards.dependents import Settle, propagate
from reconciler.guards.jobs import Activity, Ending
from reconciler.guards.readings import Read
from reconciler.plan.model import Refusal
from reconciler.state.diff import Change
from reconciler.state.facts import Order
from reconciler.state.model import Address, Desired, State


class Asks(Protocol):
    """What guards may want to know; each is asked only where something depends on it."""

    def activity(self, changes: Sequence[Change]) -> Activity:
        """What runs and ran on what these changes remove."""

    def consumed(self) -> Mapping[str, Mapping[str, int]] | None:
        """What counts against budgets by account, None where the cluster counts nothing. Raises ``ReconcileError``."""

    def disproved(self, addresses: Sequence[Address]) -> Mapping[Address, str]:
        """Which of these ended otherwise than they should when they were changed last. Raises ``ReconcileError``."""

    def ordered(self, offerings: Sequence[str], desired: Desired) -> Mapping[str, Order]:
        """The last orders that were done, by resource; what cannot be read is noted."""


@dataclass(frozen=True)
class Setting:
    """What a plan is screened for. ``resources``: by account, whose limits must not fall without an order.

    ``first``: offerings on their first run; ``settle``: what the kind of cluster makes of what is left.
    """

    actual: State
    guards: Guards
    drain: bool = False
    ending: Ending = field(default_factory=Ending)
    orphans: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    resources: cuts.Resources = field(default_factory=dict)
    first: frozenset[str] = frozenset()
    settle: Settle = lambda changes, actual: changes


def screen(changes: Sequence[Change], desired: Desired, setting: Setting, asks: Asks) -> Screened:
    """The changes, with those that nobody asked for blocked or turned; warnings go to ``desired``."""
    case = Case(
        setting.actual,
        asks.activity(changes),
        setting.guards,
        drain=setting.drain,
        ending=setting.ending,
        orphans=setting.orphans,
        allowed=setting.allowed,
    )
    found = _deletions(changes, case)
    kept, held = _unordered(found.changes, desired, setting, asks)
    # a reset that is blocked leaves what was used, which a lower limit may be below
    kept = renewals.late(kept, desired, setting.guards, setting.allowed)
    kept = below_used(kept, desired, setting.guards, setting.allowed, asks)
    if moving := money.moving(kept):
        kept = money.doubted(kept, asks.disproved(moving), setting.guards, setting.allowed)
        desired.warnings += money.unusual(kept, setting.actual)
    return replace(found, changes=propagate(kept, setting.actual, setting.settle), held=held)


def _unordered(
    changes: list[Change], desired: Desired, setting: Setting, asks: Asks
) -> tuple[list[Change], frozenset[str]]:
    """Limits that would fall although no order says so; portals are asked for orders only where one falls."""
    share, resources, first = setting.guards.limit_cuts, setting.resources, setting.first
    fallen = cuts.falling(changes, resources, share, first=first)
    found = changes
    if cuts.KEY not in setting.allowed and share < 1:
        asked = {resources[a.key[0]][0].name for a in fallen} - first
        found = cuts.unordered(changes, resources, asks.ordered(sorted(asked), desired), share, first=first)
    held = {resources[c.address.key[0]][0].name for c in found if c.blocked and c.address in fallen}
    return found, frozenset(held)


def below_used(
    changes: list[Change], desired: Desired, guards: Guards, allowed: frozenset[str], asks: Asks
) -> list[Change]:
    """Budgets that would fall below what was used; the cluster is asked only where one falls."""
    if not budgets.lowering(changes):
        return changes
    try:
        used = asks.consumed()
        if used is None:
            return changes
        found = budgets.below_used(changes, used, guards, allowed)
    except ReconcileError as error:
        found = budgets.unknown(changes, error.message, guards, allowed)
    desired.warnings.extend(found.warnings)
    return found.changes


def refusals(
    changes: Sequence[Change],
    desired: Desired,
    setting: Setting,
    *,
    read: Read,
    ordered: frozenset[str] = frozenset(),
) -> tuple[Refusal, ...]:
    """Guards that refuse the plan as a whole. ``ordered``: accounts whose end customers ordered."""
    limits = setting.guards
    found = [
        *readings.refusals(read, limits),
        *volume.refusals(changes, desired, setting.actual, limits, ordered),
        *money.refusals(changes, setting.actual, limits),
    ]
    return tuple(r for r in found if not r.allowed(setting.allowed))
