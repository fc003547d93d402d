"""Accounts that no portal knows: found, and offered for import."""

from __future__ import annotations

from dataclasses import replace

from reconciler.chains import Protected
from reconciler.cycle import Cluster, Progress
from reconciler.fulfilment import tell
from reconciler.importing import Importable, candidates, importables
from reconciler.importing import desired as wanted
from reconciler.outcome import Listener, Outcome
from reconciler.plan import Plan, ordered
from reconciler.state import kinds
from reconciler.state.diff import Action, diff
from reconciler.state.model import Note, State
from reconciler.state.naming import fold


def importable(
    cluster: Cluster, *, offering: str = "", progress: Progress = lambda text: None
) -> tuple[list[Importable], Plan]:
    """Accounts that no portal knows, and the plan that offers those of known projects for import."""
    planned = cluster.plan(usage=False, progress=progress)
    actual, desired = planned.reading.state, planned.desired
    protected = Protected(cluster.config.reconcile.guards.protected)
    roots = frozenset(fold(o.backend_settings.hierarchy_root) for o in cluster.offerings)
    names = [n for n in candidates(actual, desired, roots) if not protected.covers(n)]
    progress(f"cluster {cluster.label}: asking about {len(names)} accounts")
    claims = cluster.claims(names)
    unknown = [n for n in names if claims[n].verdict == "unknown"]
    projects = {o.name: cluster.portals[o.name].projects() for o in cluster.offerings} if unknown else {}
    found = importables(unknown, actual, cluster.offerings, projects, frozenset(planned.built.scope.known_users))
    found = [one for one in found if not offering or one.offering == offering]
    told: State = {}
    uuids: dict[str, str] = {}
    notes: list[Note] = []
    for one in cluster.offerings if found else ():
        offered = cluster.portals[one.name].offered()
        if offered is None:
            address = kinds.backend_resource(one.waldur_offering_uuid or one.name, "*")
            notes.append(Note(address, "this portal takes no accounts for import", one.name))
            continue
        told |= offered
        uuids[one.name] = one.waldur_offering_uuid
    known = {a.key[1] for a in told}
    changes = [c for c in diff(wanted(found, uuids), told) if c.action is Action.CREATE]
    plan = Plan(
        cluster=planned.plan.cluster,
        offerings=planned.plan.offerings,
        changes=ordered(changes),
        warnings=tuple(notes),
        config_digest=cluster.config.digest,
        created=planned.plan.created,
    )
    return [replace(one, offered=one.account in known) for one in found], plan


def offer(cluster: Cluster, plan: Plan, listener: Listener | None = None) -> Outcome:
    """Offer accounts to the portals for import."""
    return tell(cluster.portals, plan, listener)
