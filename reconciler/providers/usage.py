"""What a source of usage offers: SLURM's accounting database, or a warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reconciler.providers.metered import Metered
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Accounted


class UsageSource(Protocol):
    """Tells what resources used."""

    name: str
    may_fall: bool  # less than before is no sign of a failed query here

    def key(self, resource: Resource) -> str:
        """What the source knows the resource by; empty where it cannot know it (yet)."""

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """What these resources used in a period. Raises ``ReadError`` where the answer cannot be trusted."""

    def ping(self) -> str:
        """What answered, in a line. Raises ``ReconcileError``."""
