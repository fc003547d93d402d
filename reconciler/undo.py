"""Planning the inverse of a run: the journal's values before it, under the guards of every other plan."""

from __future__ import annotations

from dataclasses import replace

from reconciler import build, guard
from reconciler.cycle import Cluster, Planned
from reconciler.plan import Plan, now_text, ordered
from reconciler.rollback import inverse
from reconciler.state import kinds, ownership
from reconciler.state.catalog import catalog_of, check
from reconciler.state.diff import diff
from reconciler.state.model import Note


def rolled_back(cluster: Cluster, run: str, *, allowed: frozenset[str] = frozenset()) -> Planned:
    """A plan of the inverse of a run, under the same guards. Raises :class:`ReconcileError`; nothing is changed."""
    entries = cluster.journal.entries(run=run)
    reading = cluster.reader.read()
    desired = inverse(entries, reading.state, run)
    check(desired, catalog_of(reading.state, reading.tres))
    changes = diff(desired, reading.state)
    settings = cluster.config.reconcile
    activity = cluster.activity(changes, reading.cluster)
    # nobody orders these removals, so that what is in use stays, and no job is cancelled
    going = frozenset(a.key[0] for a in desired.absent if a.kind == "slurm.account")
    screened = guard.screen(
        changes, reading.state, activity, settings.guards, drain=True, orphans=going, allowed=allowed
    )
    changes = guard.propagate(cluster.cuts(screened.changes, desired, allowed), reading.state)
    live = [c for c in changes if not c.blocked]
    plan = Plan(
        cluster=reading.cluster,
        offerings=tuple(o.name for o in cluster.offerings),
        changes=ordered(live, reading.state),
        blocked=tuple(c for c in changes if c.blocked),
        refused=tuple(desired.refused),
        waiting=(*desired.waiting, *screened.waiting),
        warnings=(
            *desired.warnings,
            Note(
                kinds.account("*"),
                "Waldur still wants what the run did: the next apply does it again, unless "
                "it is changed there or frozen (reconcile freeze, then rollback --while-frozen)",
            ),
        ),
        config_digest=cluster.config.digest,
        created=now_text(cluster.clock),
        cancels_jobs=False,
        allowed=allowed,
    )
    found = guard.refusals(
        plan.changes, desired, reading.state, settings.guards, resources=1, managed=0, allowed=allowed
    )
    built = build.Built(desired, ownership.Scope())
    return Planned(replace(plan, refusals=tuple(found)), reading, built, desired, plan.changes)
