"""One offering as Waldur tells it, in a number of requests that does not grow with its resources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from waldur_client import Endpoints

from reconciler.errors import ReadError
from reconciler.providers.waldur.client import ChangedUnderwayError, WaldurError
from reconciler.providers.waldur.lists import Lists, fields_of, first_error, uuid_of
from reconciler.providers.waldur.rows import (
    OfferingUserRow,
    OrderRow,
    PermissionRow,
    PersonRow,
    ResourceRow,
    ServiceAccountRow,
    UserLimitRow,
    undashed,
)
from reconciler.state import kinds
from reconciler.state.facts import LIVE_STATES, RESTORE, Billing, Facts, OfferingUser, Order, Resource
from reconciler.state.model import Address, Note
from reconciler.state.naming import fold
from reconciler.state.units import UnitError, decimal

# a list that changes while it is paged is read again, so often
_ATTEMPTS = 3
USER_LIMITS = "component-user-usage-limits"
SERVICE_ACCOUNTS = ("marketplace-project-service-accounts", "marketplace-course-accounts")
PENDING_ORDERS = ("pending-provider", "executing")


class Reading(Lists):
    """Everything the desired state is built from."""

    def facts(self, now: datetime) -> Facts:
        """Read everything; a list that changed underway is read again. Raises :class:`ReadError`."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._facts(now)
            except ChangedUnderwayError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _facts(self, now: datetime) -> Facts:
        about = self._about()
        rows = self._checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
        resources, bad, held = self.resources_of(rows)
        self.notes = []
        pending, bad_orders = self._pending()
        resources += self._restored(pending, resources)
        resources = self._with_slugs(resources, pending)
        modern = self.dated = any("last_sync" in row for row in rows)
        users, bad_users, held_users = self._users()
        provider = str(about.get("customer_uuid") or "")
        members = self._members(resources, provider, users, now) if resources else {}
        options = about.get("plugin_options")
        policy = options.get("account_name_generation_policy") if isinstance(options, dict) else None
        service, closed, unsure = self._service_users() if modern else ({}, frozenset(), False)
        limits = self._user_limits() if modern else None
        return Facts(
            resources=tuple(resources),
            orders=tuple(
                Order(o.uuid, o.type, o.state, o.marketplace_resource_uuid, o.limits, o.plan_uuid) for o in pending
            ),
            offering_users=tuple(users),
            members=members,
            service_users=service,
            closed_service_users=closed,
            strangers_unsure=unsure,
            notes=tuple(self.notes),
            user_limits=limits,
            quotas=_quotas(about.get("plans")),
            billing=_billing(about.get("components")),
            writable=True,
            takes_states=modern,
            name_policy=str(policy or ""),
            bad=(*bad, *bad_users, *bad_orders),
            held_names=frozenset(held),
            held_users=frozenset(filter(None, held_users)),
        )

    def usage_facts(self) -> Facts:
        """Only what reporting usage needs: resources, who is who, and how components are billed."""
        about = self._about()
        rows = self._checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
        resources, bad, held = self.resources_of(rows)
        users, bad_users, _ = self._users()
        self.dated = any("last_sync" in row for row in rows)
        return Facts(
            resources=tuple(resources),
            offering_users=tuple(users),
            billing=_billing(about.get("components")),
            writable=True,
            takes_states=self.dated,
            bad=(*bad, *bad_users),
            held_names=frozenset(held),
        )

    def _with_slugs(self, resources: list[Resource], pending: list[OrderRow]) -> list[Resource]:
        """Slugs that the resource lacks come from its orders."""
        slugs = {o.marketplace_resource_uuid: o for o in pending if o.project_slug}
        if any(not r.project_slug and r.uuid not in slugs for r in resources):
            # older servers tell slugs on orders alone; one list of all orders, not one call per resource
            slugs |= {o.marketplace_resource_uuid: o for o in self._orders({}) if o.project_slug}
        return [replace(r, **_slugs_change(r, slugs.get(r.uuid))) for r in resources]

    def _restored(self, pending: list[OrderRow], resources: list[Resource]) -> list[Resource]:
        """Ended resources of this offering that an order brings back; they are not among the live ones yet."""
        here = {r.uuid for r in resources}
        found = []
        for uuid in [o.marketplace_resource_uuid for o in pending if o.type == RESTORE]:
            resource = self._one_resource(uuid, of_offering=True) if uuid not in here else None
            if resource is not None:
                found.append(resource)
        return found

    def _pending(self) -> tuple[list[OrderRow], list[Note]]:
        """Orders to be fulfilled, and what to say of those that cannot be understood."""
        orders: list[OrderRow] = []
        bad: list[Note] = []
        for row in self._checked(Endpoints.MarketplaceOrder, {"state": PENDING_ORDERS}, OrderRow):
            try:
                orders.append(OrderRow.model_validate(row))
            except ValidationError as error:
                text = f"{row.get('type')} order: {first_error(error)}"
                bad.append(Note(kinds.order(str(row.get("uuid") or "?")), text, self.offering.name))
        return orders, bad

    def _orders(self, filters: Mapping[str, object]) -> list[OrderRow]:
        rows = self._checked(Endpoints.MarketplaceOrder, filters, OrderRow)
        return [self._parsed(Endpoints.MarketplaceOrder, OrderRow, row) for row in rows]

    def _users(self) -> tuple[list[OfferingUser], list[Note], list[str]]:
        users: list[OfferingUser] = []
        bad: list[Note] = []
        held: list[str] = []
        named = self.offering.username_management_backend == "base"
        model: type[OfferingUserRow] = OfferingUserRow if named else PersonRow
        for row in self._checked(Endpoints.MarketplaceOfferingUsers, {}, model):
            try:
                one = PersonRow.model_validate(row)
            except ValidationError as error:
                text = f"username {row.get('username')!r}: {first_error(error)}"
                address = Address("waldur.offering_user", (str(row.get("uuid") or "?"),))
                bad.append(Note(address, text, self.offering.name))
                held.append(str(row.get("username") or ""))
                continue
            users.append(
                OfferingUser(
                    one.user_uuid,
                    one.username,
                    one.is_restricted,
                    one.state,
                    one.uuid,
                    login=one.user_username,
                    first_name=one.user_first_name,
                    last_name=one.user_last_name,
                    full_name=one.user_full_name,
                    email=one.user_email,
                )
            )
        self.people = {fold(u.username): (u.username, u.uuid) for u in users if u.username}
        return users, bad, held

    # ------------------------------------------------------------------ what newer servers tell besides

    def _user_limits(self) -> dict[str, dict[str, dict[str, object]]] | None:
        """Amounts by resource, person (offering user or user) and component."""
        rows = self._optional(USER_LIMITS, {"offering_uuid": self.uuid}, UserLimitRow)
        if rows is None:
            return None
        found: dict[str, dict[str, dict[str, object]]] = defaultdict(lambda: defaultdict(dict))
        for row in rows:
            if row.limit is not None:
                found[uuid_of(row.resource)][uuid_of(row.user)][row.component_type] = row.limit
        return {resource: dict(people) for resource, people in found.items()}

    def _service_users(self) -> tuple[dict[str, dict[str, str]], frozenset[str], bool]:
        """Names of service and course accounts by project, of closed ones, and whether some may be missing."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        closed: set[str] = set()
        unsure = False
        for endpoint in SERVICE_ACCOUNTS:
            rows = self._optional(endpoint, {}, ServiceAccountRow)
            unsure = unsure or rows is None
            for row in rows or ():
                if row.username and row.state == "Closed":
                    closed.add(row.username)
                elif row.username:
                    owner = row.user_uuid or f"{endpoint.removeprefix('marketplace-').replace('-', ' ')[:-1]}"
                    found[row.project_uuid][row.username] = owner
        return dict(found), frozenset(closed), unsure

    # ------------------------------------------------------------------ members

    def _members(
        self, resources: list[Resource], customer: str, users: list[OfferingUser], now: datetime
    ) -> dict[str, frozenset[str]]:
        projects = {r.project_uuid: r.uuid for r in resources}
        try:
            permissions = self._permissions(self._provider_uuid(customer))
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return {p: self._team(resource, now) for p, resource in projects.items()}
        found: dict[str, set[str]] = defaultdict(set)
        for row in permissions:
            if row.project_uuid in projects and not _expired(row.expiration_time, now):
                found[row.project_uuid].add(row.user_uuid)
        return {project: frozenset(found.get(project, ())) for project in projects}

    def _permissions(self, provider: str) -> list[PermissionRow]:
        rows = self.client.service_provider_rows(provider, "project_permissions", fields_of(PermissionRow))
        shown = [repr(sorted(row.items())) for row in rows]
        if len(set(shown)) != len(shown):
            raise ChangedUnderwayError("GET project_permissions", 200, "one row came twice, so another may be missing")
        return [self._parsed("project_permissions", PermissionRow, row) for row in rows]

    def _team(self, resource: str, now: datetime) -> frozenset[str]:
        rows = self.client.marketplace_provider_resource_get_team(resource)
        if not isinstance(rows, list) or not all(isinstance(r, dict) and r.get("uuid") for r in rows):
            raise ReadError(f"GET marketplace-provider-resources/{resource}/team/: not a list of users")
        return frozenset(str(undashed(r["uuid"])) for r in rows if not _expired(_moment(r.get("expiration_time")), now))


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


def _expired(moment: datetime | None, now: datetime) -> bool:
    if moment is None:
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= now


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise ReadError(f"team: expiration_time {value!r} is no time") from None
