"""A plan is data: changes in order, and everything a person must decide. Rendering, JSON and apply read it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler.config.guards import SHRINKING
from reconciler.state.diff import Action, Change
from reconciler.state.facts import Told
from reconciler.state.model import Address, Note
from reconciler.store.names import USAGE, scope_name


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard that refuses the whole plan, with its config key (below ``reconcile.guards``) and the kind it counted."""

    key: str
    text: str
    kind: str = ""

    @property
    def consent(self) -> str:
        """What ``--allow`` takes: a guard that counts objects of a kind is lifted for that kind."""
        return f"{self.key}:{self.kind}" if self.kind else self.key

    def allowed(self, given: Collection[str]) -> bool:
        """Whether consent was given."""
        return self.key in given or self.consent in given

    @property
    def lifted_by(self) -> str:
        """How to go on nevertheless."""
        once = f"--allow {self.consent} for this run" + (", --accept-shrink once" if self.key in SHRINKING else "")
        return f"reconcile.guards.{self.key} in the configuration, or {once}"


@dataclass(frozen=True)
class Plan:
    """What would happen to one cluster. ``changes`` are in the order of execution."""

    cluster: str
    offerings: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    blocked: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    orphans: tuple[Note, ...] = ()
    refused: tuple[Note, ...] = ()
    waiting: tuple[Note, ...] = ()
    warnings: tuple[Note, ...] = ()
    unread: tuple[Note, ...] = ()  # those of ``refused`` that say what could not be read: the plan is incomplete
    config_digest: str = ""
    created: str = ""
    resources: int = 0
    cancels_jobs: bool = True
    allowed: frozenset[str] = field(default_factory=frozenset)
    partial: bool = False  # --target or --offering left out the rest
    terminations: frozenset[Address] = field(default_factory=frozenset)  # orders that end a resource
    preface: tuple[str, ...] = ()  # what is said before anything else, on a first run
    remote: bool = False  # this host's commands go to another cluster, so that they have to name this one
    told: Told = field(default_factory=Told, compare=False, repr=False)  # for writers; a saved plan is told anew

    @property
    def title(self) -> str:
        """What it is about."""
        where = scope_name(self.cluster)
        return f"{where[0].upper()}{where[1:]}, offerings: {', '.join(self.offerings)}"

    @property
    def nothing(self) -> str:
        """What an empty plan says."""
        usage = self.cluster.startswith(USAGE)
        return "No changes. Waldur has all usage." if usage else "No changes. Your cluster matches Waldur."

    @property
    def stuck(self) -> bool:
        """Something is blocked or refused: an apply of this plan cannot converge."""
        return bool(self.blocked or self.refused)

    @property
    def empty(self) -> bool:
        """Nothing to do and nothing blocked."""
        return not self.changes and not self.stuck

    def count(self, action: Action) -> int:
        """Number of changes with this action."""
        return sum(c.action is action for c in self.changes)


def now_text(clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """The time as Terraform writes it."""
    return clock().strftime("%Y-%m-%dT%H:%M:%SZ")
