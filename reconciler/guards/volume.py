"""Many removals or changes of a kind at once are doubted: the whole plan is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reconciler.config import Guards
from reconciler.plan.model import Refusal
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import Role, is_account, is_member, on_cluster
from reconciler.state.model import Desired, State


def refusals(
    changes: Sequence[Change], desired: Desired, actual: State, guards: Guards, ordered: frozenset[str]
) -> Iterator[Refusal]:
    """Why nothing of a plan is applied. ``ordered``: accounts whose end customers ordered, which count as consent."""
    totals = Counter(a.kind for a in actual if a in desired.objects or a in desired.absent)
    yield from _deletions(changes, totals, guards, ordered)
    updates = Counter(c.address.kind for c in changes if c.action is Action.UPDATE and _weighty(c, ordered))
    for kind, count in sorted(updates.items()):
        if totals[kind] > guards.updates_above and count > guards.max_updates_share * totals[kind]:
            text = (
                f"{count} updates of {kind}, of {totals[kind]}; more than "
                f"{guards.max_updates_share:.0%} at once need consent"
            )
            yield Refusal("max_updates_share", text, kind)


def _deletions(
    changes: Sequence[Change], totals: Counter[str], guards: Guards, ordered: frozenset[str]
) -> Iterator[Refusal]:
    leaving = {c.address.key[0] for c in changes if c.action is Action.DELETE and is_account(c.address)}
    deletions = Counter(
        c.address.kind
        for c in changes
        # what hangs on a deleted account is counted with it
        if c.action is Action.DELETE
        # a right to add others, which shows on every account below the one it was given on
        and c.kind.role is not Role.RIGHT
        and not (_hangs(c) and c.address.key[0] in leaving)
        and not ((is_account(c.address) or _hangs(c)) and c.address.key[0] in ordered)
    )
    for kind, count in sorted(deletions.items()):
        limit = max(guards.max_deletions, int(guards.max_deletions_share * totals[kind]))
        if count > limit:
            text = f"{count} deletions of {kind}, of {totals[kind]}; more than {limit} at once need consent"
            yield Refusal("max_deletions", text, kind)


def _hangs(change: Change) -> bool:
    return change.kind.role in (Role.MEMBER, Role.BUDGET)


def _weighty(change: Change, ordered: frozenset[str]) -> bool:
    """Whether an update counts: on the cluster all but of people, of what the portal is told states of resources."""
    if is_member(change.address) and change.address.key[0] in ordered:
        return False
    if on_cluster(change.address):
        return change.kind.role is not Role.PERSON  # where a default account points costs nobody anything
    return change.address.kind == "waldur.resource" and "state" in change.changed()
