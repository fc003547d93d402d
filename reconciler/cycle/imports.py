"""Accounts that no portal knows: found, and offered for import."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.apply.portal import tell
from reconciler.apply.record import Listener, Outcome
from reconciler.cycle.cluster import Cluster
from reconciler.cycle.planning import About, Asked, Draft, plan_of
from reconciler.cycle.world import Progress
from reconciler.desired.accounts import Protected, top
from reconciler.desired.imports import Importable, candidates, importables
from reconciler.desired.imports import desired as wanted
from reconciler.plan.model import Plan
from reconciler.providers.registry import claims_of
from reconciler.state import waldur
from reconciler.state.model import Desired, Note, State


def importable(
    cluster: Cluster, *, offering: str = "", progress: Progress = lambda text: None
) -> tuple[list[Importable], Plan]:
    """Accounts that no portal knows, and the plan that offers those of known projects for import."""
    planned = cluster.plan(usage=False, progress=progress)
    actual, desired = planned.reading.state, planned.desired
    protected = Protected(cluster.config.reconcile.guards.protected)
    roots = frozenset(top(o.backend_settings, cluster.backend.shape) for o in cluster.offerings)
    names = [n for n in candidates(actual, desired, roots) if not protected.covers(n)]
    progress(f"cluster {cluster.label}: asking about {len(names)} accounts")
    claims = claims_of(cluster.portals, cluster.offerings, names)
    unknown = [n for n in names if claims[n].verdict == "unknown"]
    facts = planned.plan.told.facts
    sources = {o.name: cluster.portals[o.name].source for o in cluster.offerings} if unknown else {}
    projects = {name: source.projects(facts[name]) for name, source in sources.items()}
    found = importables(
        unknown, actual, cluster.offerings, projects, frozenset(planned.built.managed.known_users), cluster.backend
    )
    found = [one for one in found if not offering or one.offering == offering]
    told: State = {}
    uuids: dict[str, str] = {}
    notes: list[Note] = []
    for one in cluster.offerings if found else ():
        importer = cluster.portals[one.name].importer
        offered = importer.offered() if importer is not None else None
        if offered is None:
            address = waldur.backend_resource(one.key, "*")
            notes.append(Note(address, "this portal takes no accounts for import", one.name))
            continue
        told |= offered
        uuids[one.name] = one.waldur_offering_uuid
    known = {a.key[1] for a in told}
    fresh = Desired({a: o for a, o in wanted(found, uuids).objects.items() if a not in told}, warnings=notes)
    draft = Draft()
    draft.add(fresh, {})
    created = datetime.fromisoformat(planned.plan.created)
    about = About(planned.plan.cluster, planned.plan.offerings, cluster.config.digest, created)
    return [replace(one, offered=one.account in known) for one in found], plan_of(draft, about, Asked())


def offer(cluster: Cluster, plan: Plan, listener: Listener | None = None) -> Outcome:
    """Offer accounts to the portals for import."""
    return tell(cluster.portals, plan, listener)
