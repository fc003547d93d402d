"""Whether a plan still holds: what it expects, what it removes and what it lowers, as they are at this moment."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from reconciler import guards
from reconciler.apply import homes
from reconciler.cycle.world import Site, World
from reconciler.guards import budgets
from reconciler.plan.fresh import busier, removed, stale
from reconciler.plan.model import Plan
from reconciler.providers.base import SilenceError
from reconciler.state.kinds import Role, role_of
from reconciler.state.model import Address, Desired, State

#: how old a plan may be that lets counters begin anew
RENEWS_WITHIN = timedelta(hours=1)


def moved(world: World, plan: Plan, held: State) -> dict[Address, str]:
    """What of a plan is no longer as it was when the plan was made, with words.

    ``held``: what is outside the cluster's database, of :func:`elsewhere`. Raises :class:`ReadError`.
    """
    values = stale(plan, {**world.reading.state, **held})
    return {**_overspent(world, plan), **_late(world, plan), **_busier(world, plan), **values}


def elsewhere(site: Site, plan: Plan) -> State:
    """What a plan changes outside the cluster's database, as it is at this moment. Raises :class:`ReadError`."""
    state: State = homes.told(site.cluster.runner, plan.changes)
    for name, portal in site.portals.items():
        concerned = [c.address for c in plan.changes if role_of(c.address) is Role.PORTAL and name in c.offerings]
        state |= portal.listening.read(concerned) if concerned and portal.listening is not None else {}
    return state


def _overspent(world: World, plan: Plan) -> dict[Address, str]:
    """Budgets that fall below what was used by now, where the site prevents that."""
    limits = world.config.reconcile.guards
    if not budgets.prevented(limits, plan.allowed):
        return {}
    changes = guards.below_used(list(plan.changes), Desired(), limits, plan.allowed, world)
    return {c.address: c.blocked for c in changes if c.blocked}


def _late(world: World, plan: Plan) -> dict[Address, str]:
    """Counters that would begin anew by an old plan: nobody looked at what would be forgotten by now."""
    if world.now - datetime.fromisoformat(plan.created) < RENEWS_WITHIN:
        return {}
    text = f"the plan is of {plan.created}, and what its counters have counted since would be forgotten"
    return {c.address: text for c in plan.changes if c.kind.renews in c.changed()}


def _busier(world: World, plan: Plan) -> dict[Address, str]:
    """Jobs that began since the plan was made: its guards looked at those of that moment."""
    accounts, members = removed(plan.changes)
    if not accounts and not members:
        return {}
    cluster, reading = world.site.cluster, world.reading
    age = world.now - datetime.fromisoformat(plan.created)
    used: frozenset[str] = frozenset()
    with suppress(SilenceError):  # what the plan's guards could not know then is no news
        used = cluster.used(reading, accounts, age) if accounts else used
    return busier(plan, world.jobs(), used)
