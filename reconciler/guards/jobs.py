"""What runs on the accounts that would lose something: who has jobs is drained, or loses them, or stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.providers.base import Jobs, Stuck
from reconciler.state.diff import Action, Change
from reconciler.state.model import Note


@dataclass(frozen=True)
class Activity:
    """What runs and ran on the accounts that would lose something.

    ``used``: accounts with usage in this month; ``unknown``: why nothing could be found out.
    """

    jobs: Jobs = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    unknown: str = ""
    usage_unknown: str = ""  # the same of usage alone
    since: str = "the first of the month"  # what ``used`` looks back to
    stuck: Stuck = field(default_factory=Stuck)


@dataclass(frozen=True)
class Ending:
    """Accounts that customers' orders end, and what that means for their jobs."""

    accounts: frozenset[str] = frozenset()
    jobs: Literal["cancel_jobs", "wait", "refuse"] = "cancel_jobs"


def busy(ending: Ending, activity: Activity) -> dict[str, int]:
    """Accounts that an order ends and that have to wait for their jobs, with the number of jobs."""
    found: dict[str, int] = defaultdict(int)
    for (account, _), jobs in activity.jobs.items() if ending.jobs != "cancel_jobs" else ():
        if account in ending.accounts:
            found[account] += len(jobs)
    return dict(found)


def stuck_under(account: str, stuck: Stuck) -> str:
    """Why nothing under an account can be removed at this moment, or nothing."""
    lost = [n for (name, _), numbers in stuck.jobs.items() if name == account for n in numbers]
    return stuck.text(lost) if lost else ""


def with_its_own(change: Change, activity: Activity) -> Change:
    """An account that goes takes along the jobs on it that fit none of its members."""
    jobs = activity.jobs.get((change.address.key[0], ""), ())
    text = f"{change.reason}; cancels {_counted(jobs)} of users unknown to the cluster"
    return replace(change, reason=text, jobs=jobs) if jobs else change


def removal(change: Change, activity: Activity, *, drain: bool) -> Change | Note:
    """A member who goes: with what runs, drained first, or not yet; a note where they are drained already."""
    account, user = change.address.key
    jobs = activity.jobs.get((account, user), ())
    if activity.unknown:
        return replace(change, blocked=f"the user's jobs cannot be found out: {activity.unknown}")
    if lost := activity.stuck.jobs.get((account, user), ()):
        return _held(change, activity.stuck.text(lost))
    if not jobs:
        return change
    if not drain:
        return replace(change, reason=f"{change.reason}; cancels {_counted(jobs)}", jobs=jobs)
    doing = "draining" if change.kind.drained else "waiting"
    reason = f"{change.reason}; {doing}, {_counted(jobs)} left"
    if drained(change):
        return Note(change.address, reason, next(iter(sorted(change.offerings)), ""))
    return _draining(change, reason)


def _held(change: Change, why: str) -> Change:
    """Who cannot be removed yet submits nothing any more; then it is blocked, with what to do."""
    if drained(change):
        return replace(change, blocked=why)
    return _draining(change, f"{change.reason}; draining: {why}")


def drained(change: Change) -> bool:
    """Whether a member begins nothing new already, or cannot be kept from it."""
    before: Mapping[str, object] = change.before or {}
    return all(before.get(name) == value for name, value in change.kind.drained.items())


def _draining(change: Change, reason: str) -> Change:
    after = {**(change.before or {}), **change.kind.drained}
    return replace(change, action=Action.UPDATE, after=after, reason=reason)


def _counted(jobs: Sequence[str]) -> str:
    return f"{len(jobs)} job{'s' * (len(jobs) > 1)}"
