"""Accounts and members that go: not while they are used, not with what hangs on them, unless somebody consents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.config import Guards
from reconciler.config.guards import lift
from reconciler.guards import jobs, protected
from reconciler.guards.jobs import Activity, Ending
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import Role, is_account, is_member
from reconciler.state.model import Note, State
from reconciler.state.names import some
from reconciler.state.tree import Tree


@dataclass(frozen=True)
class Case:
    """What the guards of single objects look at.

    ``drain``: members with jobs keep them and begin nothing new; ``orphans``: accounts that go only because nobody
    names them, for which a mistake is likeliest; ``allowed``: consent for this run.
    """

    actual: State
    activity: Activity
    guards: Guards
    drain: bool = False
    ending: Ending = field(default_factory=Ending)
    orphans: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()

    def consents(self, key: str) -> bool:
        """Whether a guard is lifted, for good or for this run."""
        return bool(getattr(self.guards, key)) or key in self.allowed


@dataclass(frozen=True)
class Screened:
    """Changes after the guards of single objects.

    ``busy``: accounts that an order ends, kept by their jobs; ``held``: offerings of which a falling limit waits for
    consent.
    """

    changes: list[Change]
    waiting: list[Note] = field(default_factory=list)
    busy: Mapping[str, int] = field(default_factory=dict)
    held: frozenset[str] = frozenset()


def screen(changes: Sequence[Change], case: Case) -> Screened:
    """Block single changes that need consent; turn removals of busy members into a stop where they are drained."""
    busy = jobs.busy(case.ending, case.activity)
    tree = Tree(case.actual)
    kept = [c for c in changes if not _postponed(c, busy, case, tree)]
    staying = _children_that_stay(kept, tree)
    verdicts = {
        c.address.key[0]: _account(c, staying, case)
        for c in kept
        if c.action is Action.DELETE and is_account(c.address)
    }
    waiting: list[Note] = []
    result: list[Change] = []
    for change in kept:
        found = _screened(change, verdicts, case, busy)
        if isinstance(found, Note):
            waiting.append(found)
        else:
            result.append(found)
    return Screened(result, waiting, busy)


@dataclass(frozen=True)
class _Verdict:
    """Why an account may not go; ``whole``: its members stay as well."""

    why: str = ""
    whole: bool = True


def _screened(change: Change, verdicts: Mapping[str, _Verdict], case: Case, busy: Mapping[str, int]) -> Change | Note:
    if blocked := change.blocked or protected.why(change.address, case.guards.protected):
        return replace(change, blocked=blocked)
    if change.action is not Action.DELETE:
        return change
    name = change.address.key[0]
    if is_account(change.address):
        why = verdicts[name].why
        return replace(change, blocked=why) if why else jobs.with_its_own(change, case.activity)
    if change.kind.role is Role.BUDGET and name in verdicts and verdicts[name].why:
        return replace(change, blocked=f"account {name} stays: {verdicts[name].why}")
    if not is_member(change.address):
        return change
    of_account = verdicts.get(name, _Verdict())
    if of_account.why and of_account.whole:
        return replace(change, blocked=f"account {name} stays: {of_account.why}")
    # without consent no job of an ending account is cancelled: its members are drained
    consent = name in case.ending.accounts and case.ending.jobs == "cancel_jobs"
    stays = bool(of_account.why) or name in busy
    return jobs.removal(change, case.activity, drain=stays or (case.drain and not consent))


def _postponed(change: Change, busy: Mapping[str, int], case: Case, tree: Tree) -> bool:
    """Whether a deletion has to wait for an account whose jobs an order waits for."""
    if change.action is not Action.DELETE or not busy:
        return False
    if is_member(change.address):
        # refused: the order fails, so nobody leaves; wait: who has no jobs leaves
        return case.ending.jobs == "refuse" and change.address.key[0] in busy
    if change.kind.role is Role.BUDGET:
        return change.address.key[0] in busy
    return is_account(change.address) and any(change.address.key[0] in tree.lineage(name) for name in busy)


def _children_that_stay(changes: Sequence[Change], tree: Tree) -> dict[str, list[str]]:
    moving = {
        c.address.key[0]
        for c in changes
        if is_account(c.address)
        and not c.blocked
        and (c.action is Action.DELETE or (c.action is Action.UPDATE and c.kind.above in c.changed()))
    }
    return {parent: [n for n in names if n not in moving] for parent, names in tree.children.items()}


def _account(change: Change, staying: Mapping[str, list[str]], case: Case) -> _Verdict:
    """What stands against an account's end, the gravest first: what nobody can lift, then what consent lifts."""
    name = change.address.key[0]
    activity = case.activity
    if reason := protected.why(change.address, case.guards.protected):
        return _Verdict(reason)
    if children := sorted(staying.get(name, ())):
        return _Verdict(f"accounts below it would go along: {some(children)} {lift('delete_with_children')}")
    if activity.unknown:
        return _Verdict(f"its jobs and usage cannot be found out: {activity.unknown}")
    if stuck := jobs.stuck_under(name, activity.stuck):
        return _Verdict(stuck, whole=False)
    if name in case.ending.accounts:
        return _Verdict()  # the customer's order is the consent, and reconcile.on_terminate says what jobs mean
    running = sum(len(numbers) for (account, _), numbers in activity.jobs.items() if account == name)
    if name in case.orphans and (found := _orphan(name, running, case)):
        return found
    return _used(name, running, case)


def _orphan(name: str, running: int, case: Case) -> _Verdict | None:
    """Whether an account that goes only because nobody names it is in use; None: it is looked at like others."""
    activity, grace = case.activity, lift("prune_grace")
    in_use = "an orphan that is in use is never removed"
    if running:
        return _Verdict(f"{in_use}: {running} jobs are running or waiting")
    used = name in activity.used
    if (used or activity.usage_unknown) and "prune_grace" in case.allowed:
        return _Verdict()
    if activity.usage_unknown and case.guards.prune_grace:
        return _Verdict(f"{_unknown(activity)} {grace}")
    if used and case.guards.prune_grace:
        return _Verdict(f"{in_use}: it was used since {activity.since} {grace}")
    return None


def _used(name: str, running: int, case: Case) -> _Verdict:
    activity = case.activity
    if running and not case.consents("delete_with_jobs"):
        text = f"{running} jobs are running or waiting {lift('delete_with_jobs')}; no new ones meanwhile"
        return _Verdict(text, whole=False)
    lost = f"{lift('delete_with_usage')}; its members lose access now"
    if name in activity.used and not case.consents("delete_with_usage"):
        return _Verdict(f"it has usage since {activity.since} {lost}", whole=False)
    if activity.usage_unknown and not case.consents("delete_with_usage"):
        return _Verdict(f"{_unknown(activity)} {lost}", whole=False)
    return _Verdict()


def _unknown(activity: Activity) -> str:
    return f"whether it was used cannot be found out: {activity.usage_unknown}"
