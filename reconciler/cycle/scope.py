"""What is planned and applied as one: a cluster with everything on it, or usage alone. Callers know no more of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.apply.record import Listener, Outcome
from reconciler.config import Config
from reconciler.cycle.part import Part
from reconciler.cycle.world import Progress, World, silent
from reconciler.desired.built import Built
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.providers.base import Cluster, Reading
from reconciler.state.diff import Change
from reconciler.state.managed import Managed
from reconciler.state.model import Desired
from reconciler.store import Journal
from reconciler.store.journal import Stop, never


@dataclass(frozen=True)
class Planned:
    """A plan with everything it was made from; ``diagnose`` explains it, ``remember`` and ``apply`` go on from it.

    ``changes``: those before ``--target`` and ``--offering``; ``part``: what is known of usage.
    """

    plan: Plan
    reading: Reading = field(default_factory=lambda: Reading("", {}))
    built: Built = field(default_factory=lambda: Built(Desired(), Managed()))
    desired: Desired = field(default_factory=Desired)
    changes: tuple[Change, ...] = ()
    world: World | None = None
    part: Part = field(default_factory=Part)


class Scope(Protocol):
    """One of them."""

    config: Config
    journal: Journal

    @property
    def label(self) -> str:
        """For messages and locks."""

    @property
    def cluster(self) -> Cluster | None:
        """Whose commands its plans are made of; None for usage alone."""

    @property
    def names(self) -> frozenset[str]:
        """All names that it is locked and frozen by."""

    def serves(self, plan: Plan) -> bool:
        """Whether a plan was made for it."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the right to apply. Raises :class:`LockedError`."""

    def interrupted(self) -> list[str]:
        """What runs that died left half done, in words."""

    def plan(
        self,
        *,
        targets: Sequence[str] = (),
        offering: str = "",
        mode: Mode = Mode.ALL,
        allowed: frozenset[str] = frozenset(),
        progress: Progress = silent,
    ) -> Planned:
        """Read both sides and compare. Raises :class:`ReconcileError`; nothing is changed."""

    def remember(self, planned: Planned | None = None, *, refused: bool = False) -> str:
        """Keep what was seen, before anything is made; what went wrong, or nothing."""

    def require_fresh(self, plan: Plan) -> None:
        """Raise :class:`StalePlanError` where the world moved on since a saved plan was made."""

    def apply(
        self,
        plan: Plan,
        *,
        planned: Planned | None = None,
        again: bool = False,
        saved: bool = False,
        listener: Listener | None = None,
        stop: Stop = never,
    ) -> Outcome:
        """Apply a plan under the lock. Raises :class:`ReconcileError` where nothing may be done."""
