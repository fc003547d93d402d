"""One offering as Waldur tells it, in a number of requests that does not grow with its resources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from waldur_client import Endpoints

from reconciler.providers.waldur.errors import ChangedUnderwayError
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.members import Members
from reconciler.providers.waldur.orders import Orders, order_of
from reconciler.providers.waldur.people import People
from reconciler.providers.waldur.rows import OrderRow, ResourceRow, undashed
from reconciler.state.facts import LIVE_STATES, RESTORE, Billing, Facts, Resource
from reconciler.state.model import Note
from reconciler.state.units import UnitError, decimal

# a list that changes while it is paged is read again, so often
_ATTEMPTS = 3


class Reading:
    """Everything the desired state is built from."""

    def __init__(self, lists: Lists, orders: Orders, people: People, members: Members) -> None:
        self.lists = lists
        self.orders = orders
        self.people = people
        self.members = members

    def facts(self, now: datetime) -> Facts:
        """Read everything; a list that changed underway is read again. Raises :class:`ReadError`."""
        self.lists.client.ask_anew()
        for attempt in range(_ATTEMPTS):
            try:
                return self._facts(now)
            except ChangedUnderwayError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _facts(self, now: datetime) -> Facts:
        about = self.lists.about()
        rows = self.lists.checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
        resources, bad, held = self.lists.resources_of(rows)
        notes: list[Note] = []
        pending, bad_orders = self.orders.pending()
        resources += self._restored(pending, resources)
        resources = self._with_slugs(resources, pending)
        modern = _modern(rows)
        users, bad_users, held_users = self.people.users()
        provider = self.members.provider(str(about.get("customer_uuid") or "")) if resources else ""
        roles = self.members.roles(provider, resources, now) if resources else {}
        service, closed, unsure = self.people.service_users(notes) if modern else ({}, frozenset(), False)
        limits = self.people.limits(notes) if modern else None
        return Facts(
            resources=tuple(resources),
            orders=tuple(order_of(o) for o in pending),
            offering_users=tuple(users),
            members={project: frozenset(people) for project, people in roles.items()},
            roles=roles,
            service_users=service,
            closed_service_users=closed,
            strangers_unsure=unsure,
            notes=tuple(notes),
            user_limits=limits,
            quotas=_quotas(about.get("plans")),
            billing=_billing(about.get("components")),
            writable=True,
            takes_states=modern,
            name_policy=_name_policy(about.get("plugin_options")),
            bad=(*bad, *bad_users, *bad_orders),
            held_names=frozenset(held),
            held_users=frozenset(filter(None, held_users)),
            provider=provider,
        )

    def usage_facts(self) -> Facts:
        """Only what reporting usage needs: resources, who is who, and how components are billed."""
        about = self.lists.about()
        rows = self.lists.checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
        resources, bad, held = self.lists.resources_of(rows)
        users, bad_users, _ = self.people.users()
        return Facts(
            resources=tuple(resources),
            offering_users=tuple(users),
            billing=_billing(about.get("components")),
            writable=True,
            takes_states=_modern(rows),
            bad=(*bad, *bad_users),
            held_names=frozenset(held),
        )

    def _with_slugs(self, resources: list[Resource], pending: list[OrderRow]) -> list[Resource]:
        """Slugs that the resource lacks come from its orders."""
        slugs = {o.marketplace_resource_uuid: o for o in pending if o.project_slug}
        if any(not r.project_slug and r.uuid not in slugs for r in resources):
            # older servers tell slugs on orders alone; one list of all orders, not one call per resource
            slugs |= {o.marketplace_resource_uuid: o for o in self.orders.all() if o.project_slug}
        return [replace(r, **_slugs_change(r, slugs.get(r.uuid))) for r in resources]

    def _restored(self, pending: list[OrderRow], resources: list[Resource]) -> list[Resource]:
        """Ended resources of this offering that an order brings back; they are not among the live ones yet."""
        here = {r.uuid for r in resources}
        found = []
        for uuid in [o.marketplace_resource_uuid for o in pending if o.type == RESTORE]:
            resource = self.lists.resource(uuid, of_offering=True) if uuid not in here else None
            if resource is not None:
                found.append(resource)
        return found


def _modern(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the server lets states be set and months be named: those that do tell of the last sync."""
    return any("last_sync" in row for row in rows)


def _name_policy(options: object) -> str:
    policy = options.get("account_name_generation_policy") if isinstance(options, dict) else None
    return str(policy or "")


def _quotas(plans: object) -> dict[str, dict[str, object]]:
    """Amounts that plans include, by the plan's uuid; a zero is no amount."""
    found: dict[str, dict[str, object]] = {}
    for plan in plans if isinstance(plans, list) else ():
        quotas = plan.get("quotas") if isinstance(plan, dict) else None
        if isinstance(quotas, dict):
            found[str(undashed(plan.get("uuid")))] = {k: v for k, v in quotas.items() if v}
    return found


def _billing(components: object) -> dict[str, Billing]:
    """How the offering's components are billed; what cannot be understood is left to the server to refuse."""
    found: dict[str, Billing] = {}
    for row in components if isinstance(components, list) else ():
        if isinstance(row, dict) and isinstance(row.get("type"), str):
            try:
                amount = None if row.get("limit_amount") is None else decimal(row["limit_amount"])
            except UnitError:
                amount = None
            found[row["type"]] = Billing(str(row.get("billing_type") or ""), amount, str(row.get("limit_period") or ""))
    return found


def _slugs_change(resource: Resource, order: OrderRow | None) -> dict[str, Any]:
    """Slugs that the resource lacks, from its order."""
    if order is None or resource.project_slug:
        return {}
    return {"project_slug": order.project_slug, "customer_slug": order.customer_slug}
