"""Planning the inverse of a run: the journal's values before it, under the guards of every other plan."""

from __future__ import annotations

from reconciler.cycle.cluster import Cluster
from reconciler.cycle.inverse import inverse
from reconciler.cycle.planning import About, Asked, Draft, plan_of
from reconciler.cycle.scope import Planned
from reconciler.desired.catalogs import check
from reconciler.guards import Setting
from reconciler.guards.money import rolls_back
from reconciler.guards.readings import Read
from reconciler.state.kinds import is_account
from reconciler.state.model import Note

_AGAIN = (
    "Waldur still wants what the run did: the next apply does it again, unless "
    "it is changed there or frozen (reconcile freeze, then rollback --while-frozen)"
)


def rolled_back(cluster: Cluster, run: str, *, allowed: frozenset[str] = frozenset()) -> Planned:
    """A plan of the inverse of a run, under the same guards. Raises :class:`ReconcileError`; nothing is changed."""
    entries = cluster.journal.entries(run=run)
    reading = cluster.cluster.read()
    desired = inverse(entries, reading.state, run, money=rolls_back(cluster.config.reconcile.guards, allowed))
    check(desired, reading.catalogs)
    world = cluster.world(reading, allowed)
    # nobody orders these removals, so that what is in use stays, and no job is cancelled
    setting = Setting(
        reading.state,
        cluster.config.reconcile.guards,
        drain=True,
        orphans=frozenset(a.key[0] for a in desired.absent if is_account(a)),
        allowed=allowed,
        settle=cluster.backend.settle,
    )
    draft = Draft(read=Read(resources=1, managed=0), as_found=True)
    draft.screen(desired, setting, world)
    desired.warnings.append(Note(cluster.backend.shape.account_at("*"), _AGAIN))
    offerings = tuple(o.name for o in cluster.offerings)
    about = About(reading.cluster, offerings, cluster.config.digest, cluster.clock(), cancels_jobs=False)
    plan = plan_of(draft, about, Asked(allowed=allowed))
    return Planned(plan, reading, draft.built, desired, plan.changes)
