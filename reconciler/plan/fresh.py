"""Whether what a plan was made from is still so: values of objects, jobs that it did not show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.errors import StalePlanError
from reconciler.plan.model import Plan
from reconciler.state import compare
from reconciler.state.diff import Action, Change, values_of
from reconciler.state.kinds import is_account, is_member, on_cluster
from reconciler.state.model import Address, State
from reconciler.state.names import some


def stale(plan: Plan, actual: State) -> dict[Address, str]:
    """Objects that no longer have the values the plan expects, with words."""
    return {c.address: "it has other values by now" for c in plan.changes if not _as_expected(c, actual)}


def _as_expected(change: Change, actual: State) -> bool:
    present = actual.get(change.address)
    if change.before is None or present is None:
        return (change.before is None) == (present is None)
    now = values_of(present)
    if not on_cluster(change.address):  # the portal moves on in other fields, like the time of the last sync
        return all(
            now.get(n) == change.before.get(n) for n in change.changed() if not change.kind.field(n).compare.moment
        )
    given = {f.name for f in change.kind.fields if f.compare is compare.GIVEN}
    # what nobody knows at this moment is no news either
    given |= {f.name for f in change.kind.fields if f.compare is compare.IF_KNOWN and now.get(f.name) is None}
    return all(now.get(n) == change.before.get(n) for n in (now.keys() | change.before.keys()) - given)


def require_fresh(moved: Mapping[Address, str]) -> None:
    """Raise :class:`StalePlanError` that names what moved since a plan was made, and how."""
    if moved:
        listed = [f"{address}: {why}" for address, why in moved.items()]
        more = [f"and {len(listed) - 20} more"] if listed[20:] else []
        shown = "".join(f"\n  {text}" for text in [*listed[:20], *more])
        raise StalePlanError(
            "Saved plan is stale. The cluster was changed by another operation, or used, after the plan was created; "
            f"nothing was done. Changed since then:{shown}",
            "Make a new plan with: reconcile plan --out FILE",
        )


def removed(changes: Iterable[Change]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Accounts and (account, user) pairs that the changes take away."""
    gone = [c.address for c in changes if c.action is Action.DELETE]
    return sorted(a.key[0] for a in gone if is_account(a)), sorted(a.key for a in gone if is_member(a))


def busier(plan: Plan, active: Mapping[tuple[str, str], Sequence[str]], used: Collection[str]) -> dict[Address, str]:
    """What a plan removes although it runs other jobs than the plan showed, or was used since, with words.

    ``active``: numbers of jobs by (account, user) at this moment, where the user is "" for jobs that fit nobody;
    ``used``: accounts on which jobs ran since the plan was made.
    """
    going = [c for c in plan.changes if c.action is Action.DELETE]
    members = {c.address.key: c for c in going if is_member(c.address)}
    accounts = {c.address.key[0]: c for c in going if is_account(c.address)}
    found: dict[Address, str] = {}
    for (account, user), numbers in sorted(active.items()):
        here = members.get((account, user)) or accounts.get(account)
        more = [n for n in numbers if n not in here.jobs] if here else []
        if here and more:
            found[here.address] = f"jobs that the plan did not show: {some(more)}"
    expected = {c.address.key[0] for c in going if c.jobs}
    for name, change in sorted(accounts.items()):
        if name in used and name not in expected:
            found.setdefault(change.address, "jobs ran on it since")
    return found
