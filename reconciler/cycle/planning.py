"""One plan from its parts: each is looked at, compared, screened by the guards, and seen by those after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler import guards
from reconciler.desired.built import Built
from reconciler.errors import ReconcileError
from reconciler.guards import Asks, Setting
from reconciler.guards.readings import Read
from reconciler.plan.model import Plan
from reconciler.plan.order import ordered
from reconciler.plan.select import Mode, restricted
from reconciler.state.diff import Change, diff
from reconciler.state.facts import Told
from reconciler.state.managed import Managed
from reconciler.state.model import Address, Desired, Note, State
from reconciler.state.portal import moment


@dataclass(frozen=True)
class Asked:
    """What an operator asked of a plan: globs of addresses, an offering, a mode, and guards that are lifted."""

    targets: Sequence[str] = ()
    offering: str = ""
    mode: Mode = Mode.ALL
    allowed: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Nothing was left out by name."""
        return not self.targets and not self.offering


@dataclass
class Draft:
    """A plan as far as it is made. ``sides``: what should be, part by part, the cluster first; ``actual``: what is.

    ``built`` and ``busy`` are for parts that come later: what is built of the cluster, and jobs by account that an
    order ends. ``read``: how much there is, where the plan as a whole may have to be refused for it.
    """

    sides: list[Desired] = field(default_factory=list)
    actual: State = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    waiting: list[Note] = field(default_factory=list)
    unread: list[Note] = field(default_factory=list)
    built: Built = field(default_factory=lambda: Built(Desired(), Managed()))
    busy: dict[str, int] = field(default_factory=dict)
    setting: Setting | None = None
    read: Read | None = None
    as_found: bool = False  # what is blocked is shown in the order in which it was found, not by address

    def add(self, desired: Desired, actual: State) -> None:
        """A part that no guard of single objects concerns."""
        self.sides.append(desired)
        self.actual |= actual
        self.changes += diff(desired, self.actual)

    def screen(self, desired: Desired, setting: Setting, asks: Asks) -> frozenset[str]:
        """The part of the cluster, through the guards; the answer: offerings with a limit that waits for consent."""
        found = guards.screen(diff(desired, setting.actual), desired, setting, asks)
        self.sides.append(desired)
        self.actual |= setting.actual
        self.changes += found.changes
        self.waiting += found.waiting
        self.busy |= found.busy
        self.setting = setting
        return found.held


@dataclass(frozen=True)
class About:
    """What a plan is of, beside its changes."""

    cluster: str
    offerings: tuple[str, ...]
    config_digest: str
    created: datetime
    resources: int = 0
    cancels_jobs: bool = True
    terminations: frozenset[Address] = frozenset()
    preface: tuple[str, ...] = ()
    remote: bool = False
    told: Told = field(default_factory=Told)


def plan_of(draft: Draft, about: About, asked: Asked, *, consented: frozenset[str] = frozenset()) -> Plan:
    """The only place that makes a plan: order, notes, what was asked for, and guards that refuse it as a whole.

    ``consented``: accounts whose end customers ordered.
    """
    sides = draft.sides
    plan = Plan(
        cluster=about.cluster,
        offerings=about.offerings,
        changes=ordered([c for c in draft.changes if not c.blocked], draft.actual),
        blocked=_blocked(draft),
        orphans=tuple(sorted(_notes(d.orphans for d in sides), key=lambda n: n.address)),
        refused=_notes(d.refused for d in sides),
        waiting=_notes((*(d.waiting for d in sides[:1]), draft.waiting, *(d.waiting for d in sides[1:]))),
        warnings=_notes(d.warnings for d in sides),
        unread=tuple(draft.unread),
        config_digest=about.config_digest,
        created=moment(about.created),
        resources=about.resources,
        cancels_jobs=about.cancels_jobs,
        allowed=asked.allowed,
        terminations=about.terminations,
        preface=about.preface,
        remote=about.remote,
        told=about.told,
    )
    plan = restricted(plan, asked.targets, asked.offering, asked.mode)
    if draft.setting is None or draft.read is None:
        return plan
    found = guards.refusals(plan.changes, sides[0], draft.setting, read=draft.read, ordered=consented)
    return replace(plan, refusals=found)


def _blocked(draft: Draft) -> tuple[Change, ...]:
    found = [c for c in draft.changes if c.blocked]
    return tuple(found if draft.as_found else sorted(found, key=lambda c: c.address))


def _notes(groups: Iterable[Sequence[Note]]) -> tuple[Note, ...]:
    return tuple(note for group in groups for note in group)


def require_known(draft: Draft, targets: Sequence[str], example: str) -> None:
    """Raise :class:`ReconcileError` for a target that names nothing; ``example``: an address of the cluster."""
    known = [*(a for d in draft.sides[:1] for a in d.objects), *draft.actual]
    for target in targets:
        if not any(address.matches(target) for address in known):
            raise ReconcileError(f"--target {target}: no object of that address", f"Addresses look like {example}.")
