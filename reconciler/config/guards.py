"""Every guard by its key: what it prevents, and whether an operator can lift it for a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """One thing that a plan may never do unasked.

    ``key``: its setting below ``reconcile.guards``, and its ``--allow``; ``module`` holds its rule. ``per_kind``: it
    counts objects of a kind, and can be lifted for one alone. ``shrink``: it doubts how few resources the portal has.
    """

    key: str
    module: str
    doc: str
    per_kind: bool = False
    shrink: bool = False


#: in the order in which ``--allow`` lists them
TABLE = (
    Guard("allow_empty_portal", "readings", "the portal has no resources at all, of all offerings or of one"),
    Guard("min_read_share", "readings", "an offering has far fewer resources than at the last good read", shrink=True),
    Guard("prevent_downgrade", "budgets", "a budget falls below what was used, so that no job runs any more"),
    Guard("limit_cuts", "cuts", "a limit falls although no order says so"),
    Guard("late_reset", "renewals", "counters begin anew although much of this period is counted already"),
    Guard("min_resources_share", "readings", "far fewer resources than accounts under management", shrink=True),
    Guard("max_deletions", "volume", "many objects of a kind go at once", per_kind=True),
    Guard("max_updates_share", "volume", "many objects of a kind change at once", per_kind=True),
    Guard("delete_with_jobs", "deletions", "an account goes on which jobs run or wait"),
    Guard("delete_with_children", "deletions", "an account goes with accounts below it"),
    Guard("delete_with_usage", "deletions", "an account goes that was used in this month"),
    Guard("prune_grace", "deletions", "an account that nobody names goes although it was used lately"),
    Guard("max_deposit", "money", "much money is deposited in one run"),
    Guard("retry_money", "money", "money moves in a fund of which the last movement went wrong"),
    Guard("rollback_money", "money", "a rollback moves money"),
    Guard("allow_decrease", "usage", "reported usage falls"),
)
BY_KEY = {guard.key: guard for guard in TABLE}
#: what ``--allow`` takes
ALLOWABLE = tuple(BY_KEY)
#: guards that count objects of a kind, and can be lifted for it alone
PER_KIND = tuple(g.key for g in TABLE if g.per_kind)
#: guards that doubt how few resources the portal has
SHRINKING = tuple(sorted(g.key for g in TABLE if g.shrink))


def lift(key: str) -> str:
    """How to go on nevertheless, for the text of a blocked change."""
    return f"(reconcile.guards.{key}, or --allow {key})"
