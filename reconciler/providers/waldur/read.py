"""One offering as Waldur tells it, in a number of requests that does not grow with its resources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError
from waldur_client import Endpoints

from reconciler.config import Offering
from reconciler.errors import ReadError
from reconciler.providers.waldur.client import ChangedUnderwayError, ReconcileClient, WaldurError
from reconciler.providers.waldur.rows import (
    BackendResourceRow,
    ComponentRow,
    OfferingUserRow,
    OrderRow,
    PermissionRow,
    PersonRow,
    ResourceRow,
    Row,
    ServiceAccountRow,
    UserLimitRow,
    undashed,
)
from reconciler.providers.waldur.write import BACKEND_RESOURCES, write
from reconciler.state import kinds
from reconciler.state.diff import Change
from reconciler.state.facts import LIVE_STATES, RESTORE, TERMINATED, Claim, Facts, OfferingUser, Order, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Note, Obj, State, Value
from reconciler.state.naming import fold
from reconciler.state.portal import amounts, resource_values

# a list that changes while it is paged is read again, so often
_ATTEMPTS = 3


R = TypeVar("R", bound=Row)
USER_LIMITS = "component-user-usage-limits"
SERVICE_ACCOUNTS = ("marketplace-project-service-accounts", "marketplace-course-accounts")
# from here on one list is cheaper than one request each
MANY = 20
PENDING_ORDERS = ("pending-provider", "executing")
# kinds that are read one by one
_SINGLE = frozenset({"waldur.resource", "waldur.order", "waldur.offering_user"})
_FLAGS = ("paused", "downscaled", "restrict_member_access")


def _fields(row: type[Row]) -> list[str]:
    return list(row.model_fields)


class WaldurPortal:
    """The portal of one offering."""

    def __init__(self, offering: Offering, client: ReconcileClient) -> None:
        self.offering = offering
        self.client = client
        self.uuid = offering.waldur_offering_uuid
        self._provider = ""
        self.metadata: dict[str, Mapping[str, Any]] = {}  # backend metadata as read, since writing replaces it whole

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self.client.requests_made

    def facts(self, now: datetime) -> Facts:
        """Read everything; a list that changed underway is read again. Raises :class:`ReadError`."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._facts(now)
            except ChangedUnderwayError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    # ------------------------------------------------------------------ lists, checked

    def _checked(self, endpoint: str, filters: Mapping[str, object], row: type[Row]) -> list[dict[str, Any]]:
        """Rows of this offering in the states asked for: the server ignores filters it does not know."""
        rows = self.client.rows(endpoint, {"offering_uuid": self.uuid, **filters}, _fields(row))
        states = filters.get("state")
        for found in rows:
            offering = undashed(found.get("offering_uuid"))
            if offering != self.uuid:
                raise ReadError(
                    f"GET {endpoint}: asked for offering {self.uuid}, got a row of offering {offering}",
                    "The server ignored the filter; nothing was planned.",
                )
            if isinstance(states, tuple) and found.get("state") not in states:
                raise ReadError(
                    f"GET {endpoint}: asked for the states {', '.join(states)}, got a row in state "
                    f"{found.get('state')!r}",
                    "The server ignored the filter; nothing was planned.",
                )
        return rows

    def _facts(self, now: datetime) -> Facts:
        about = self._about()
        rows = self._checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
        resources, bad, held = self._resources(rows)
        pending = self._orders({"state": PENDING_ORDERS})
        resources += self._restored(pending, resources)
        resources = self._with_slugs(resources, pending)
        modern = any("last_sync" in row for row in rows)
        users, bad_users, held_users = self._users()
        provider = str(about.get("customer_uuid") or "")
        members = self._members(resources, provider, users, now) if resources else {}
        options = about.get("plugin_options")
        policy = options.get("account_name_generation_policy") if isinstance(options, dict) else None
        service, closed = self._service_users() if modern else ({}, frozenset())
        return Facts(
            resources=tuple(resources),
            orders=tuple(
                Order(o.uuid, o.type, o.state, o.marketplace_resource_uuid, o.limits, o.plan_uuid) for o in pending
            ),
            offering_users=tuple(users),
            members=members,
            service_users=service,
            closed_service_users=closed,
            user_limits=self._user_limits() if modern else None,
            quotas=_quotas(about.get("plans")),
            writable=True,
            takes_states=modern,
            name_policy=str(policy or ""),
            bad=(*bad, *bad_users),
            held_names=frozenset(held),
            held_users=frozenset(filter(None, held_users)),
        )

    def _about(self) -> dict[str, Any]:
        url = self.client._build_resource_url(  # the base's own way to make a URL
            Endpoints.MarketplaceProviderOffering, self.uuid
        )
        fields = ["uuid", "name", "customer_uuid", "plugin_options", "plans", "components"]
        about = self.client._get(url, valid_states=[200], params={"field": fields})
        if not isinstance(about, dict) or undashed(about.get("uuid")) != self.uuid:
            raise ReadError(f"GET {url}: the answer is not about offering {self.uuid}")
        return about

    def _resources(self, rows: list[dict[str, Any]]) -> tuple[list[Resource], list[Note], list[str]]:
        resources: list[Resource] = []
        bad: list[Note] = []
        held: list[str] = []
        for row in rows:
            missing = [flag for flag in _FLAGS if flag not in row]
            try:
                parsed = ResourceRow.model_validate(row)
                if missing:
                    raise ReadError(f"Waldur did not send {', '.join(missing)}")
            except (ValidationError, ReadError) as error:
                uuid = str(row.get("uuid") or "?")
                text = f"resource {row.get('name')!r}: {_first(error)}"
                bad.append(Note(Address("waldur.resource", (uuid,)), text, self.offering.name))
                if isinstance(row.get("backend_id"), str):
                    held.append(row["backend_id"])
                elif "backend_id" not in row or row["backend_id"] is not None:
                    raise ReadError(f"GET {Endpoints.MarketplaceProviderResources}: {text}") from None
                continue
            resources.append(_resource(parsed))
            self.metadata[parsed.uuid] = parsed.backend_metadata
        return resources, bad, held

    def _with_slugs(self, resources: list[Resource], pending: list[OrderRow]) -> list[Resource]:
        """Slugs that the resource lacks come from its orders."""
        slugs = {o.marketplace_resource_uuid: o for o in pending if o.project_slug}
        if any(not r.project_slug and r.uuid not in slugs for r in resources):
            # older servers tell slugs on orders alone; one list of all orders, not one call per resource
            slugs |= {o.marketplace_resource_uuid: o for o in self._orders({}) if o.project_slug}
        return [replace(r, **_slugs_change(r, slugs.get(r.uuid))) for r in resources]

    def _restored(self, pending: list[OrderRow], resources: list[Resource]) -> list[Resource]:
        """Ended resources that an order brings back; they are not among the live ones yet."""
        here = {r.uuid for r in resources}
        wanted = [o.marketplace_resource_uuid for o in pending if o.type == RESTORE]
        return [self._one_resource(uuid) for uuid in wanted if uuid not in here]

    def _one_resource(self, uuid: str) -> Resource:
        row = self.client.one(Endpoints.MarketplaceProviderResources, uuid, _fields(ResourceRow))
        parsed = self._parsed(Endpoints.MarketplaceProviderResources, ResourceRow, row)
        if parsed.uuid != uuid:
            raise ReadError(f"GET {Endpoints.MarketplaceProviderResources}/{uuid}/: the answer is about {parsed.uuid}")
        self.metadata[uuid] = parsed.backend_metadata
        return _resource(parsed)

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
                text = f"username {row.get('username')!r}: {_first(error)}"
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
        return users, bad, held

    def _parsed(self, endpoint: str, model: type[R], row: dict[str, Any]) -> R:
        try:
            return model.model_validate(row)
        except ValidationError as error:
            raise ReadError(f"GET {endpoint}: row {row.get('uuid', '')}: {_first(error)}") from None

    # ------------------------------------------------------------------ what newer servers tell besides

    def _optional(self, endpoint: str, filters: Mapping[str, object], row: type[R]) -> list[R] | None:
        """Rows of a list that this server may lack or keep from this token; None then."""
        try:
            rows = self.client.rows(endpoint, filters, _fields(row))
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return None
        return [self._parsed(endpoint, row, found) for found in rows]

    def _user_limits(self) -> dict[str, dict[str, dict[str, object]]] | None:
        """Amounts by resource, person (offering user or user) and component."""
        rows = self._optional(USER_LIMITS, {"offering_uuid": self.uuid}, UserLimitRow)
        if rows is None:
            return None
        found: dict[str, dict[str, dict[str, object]]] = defaultdict(lambda: defaultdict(dict))
        for row in rows:
            if row.limit is not None:
                found[_last_part(row.resource)][_last_part(row.user)][row.component_type] = row.limit
        return {resource: dict(people) for resource, people in found.items()}

    def _service_users(self) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
        """Names of service and course accounts by project, and names of closed ones."""
        found: dict[str, set[str]] = defaultdict(set)
        closed: set[str] = set()
        for endpoint in SERVICE_ACCOUNTS:
            for row in self._optional(endpoint, {}, ServiceAccountRow) or ():
                if row.username and row.state == "Closed":
                    closed.add(row.username)
                elif row.username:
                    found[row.project_uuid].add(row.username)
        return {project: frozenset(names) for project, names in found.items()}, frozenset(closed)

    # ------------------------------------------------------------------ writing

    def write(self, change: Change) -> None:
        """Make one change of an order, resource, offering user or component. Raises :class:`WaldurError`."""
        write(self.client, change, self.metadata.get(change.address.key[-1], {}))

    def read(self, addresses: Iterable[Address]) -> State:
        """These objects as they are now, one request each (resources: one list where there are many)."""
        state: State = {}
        wanted = sorted(addresses)
        kinds_here = {a.kind for a in wanted}
        if "waldur.component" in kinds_here:
            state |= self.components()
        if "waldur.backend_resource" in kinds_here:
            state |= self.offered() or {}
        resources = [a for a in wanted if a.kind == "waldur.resource"]
        if len(resources) > MANY:
            rows = self._checked(Endpoints.MarketplaceProviderResources, {"state": LIVE_STATES}, ResourceRow)
            listed = {kinds.resource(r.uuid): r for r in self._resources(rows)[0]}
            state |= {a: Obj(resource_values(listed[a])) for a in resources if a in listed}
        for address in wanted:
            if address not in state and address.kind in _SINGLE and (found := self._now(address)) is not None:
                state[address] = found
        return state

    def components(self) -> State:
        """The offering's components as Waldur has them; built-in ones are Waldur's own and left out."""
        listed = self._about().get("components")
        if not isinstance(listed, list):
            raise ReadError(f"GET {Endpoints.MarketplaceProviderOffering}/{self.uuid}/: no list of components")
        state: State = {}
        for row in listed:
            if isinstance(row, dict) and not row.get("is_builtin"):
                parsed = self._parsed(Endpoints.MarketplaceProviderOffering, ComponentRow, row)
                self.metadata[parsed.type] = {"uuid": parsed.uuid}
                state[kinds.component(self.uuid, parsed.type)] = Obj(_component_values(parsed))
        return state

    def projects(self) -> Mapping[str, tuple[str, str]]:
        """Uuid and name of the provider's projects with resources, by slug; none where the token may not see them."""
        try:
            provider = self._provider_uuid(str(self._about().get("customer_uuid") or ""))
            rows = self.client.service_provider_rows(provider, "projects", ("uuid", "slug", "name"))
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return {}
        return {
            fold(str(r["slug"])): (str(undashed(r["uuid"])), str(r.get("name") or "")) for r in rows if r.get("slug")
        }

    def offered(self) -> State | None:
        """Accounts that were offered for import; None where the server knows no such thing."""
        rows = self._optional(BACKEND_RESOURCES, {"offering_uuid": self.uuid}, BackendResourceRow)
        if rows is None:
            return None
        return {
            kinds.backend_resource(self.uuid, fold(r.backend_id)): Obj(
                {"name": r.name, "project": r.project, "limits": amounts(r.backend_metadata.get("limits") or {})}
            )
            for r in rows
            if r.offering == self.uuid
        }

    def _now(self, address: Address) -> Obj | None:
        uuid = address.key[0]
        try:
            if address.kind == "waldur.resource":
                return Obj(resource_values(self._one_resource(uuid)))
            if address.kind == "waldur.order":
                row = self.client.one(Endpoints.MarketplaceOrder, uuid, ("uuid", "state", "error_message"))
                return Obj({"state": str(row.get("state")), "error_message": str(row.get("error_message") or "")})
            row = self.client.one(Endpoints.MarketplaceOfferingUsers, uuid, ("uuid", "username", "state"))
            return Obj({"username": str(row.get("username") or ""), "state": str(row.get("state") or "")})
        except WaldurError as error:
            if error.status == 404:
                return None
            raise

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

    def _provider_uuid(self, customer: str) -> str:
        if not self._provider:
            rows = self.client.rows(
                Endpoints.MarketplaceServiceProviders, {"customer_uuid": customer}, ["uuid", "customer_uuid"]
            )
            mine = [row for row in rows if undashed(row.get("customer_uuid")) == undashed(customer)]
            if len(mine) != 1:
                raise WaldurError("GET marketplace-service-providers", 404, f"none for customer {customer}")
            self._provider = str(mine[0]["uuid"])
        return self._provider

    def _permissions(self, provider: str) -> list[PermissionRow]:
        rows = self.client.service_provider_rows(provider, "project_permissions", _fields(PermissionRow))
        shown = [repr(sorted(row.items())) for row in rows]
        if len(set(shown)) != len(shown):
            raise ChangedUnderwayError("GET project_permissions", 200, "one row came twice, so another may be missing")
        return [self._parsed("project_permissions", PermissionRow, row) for row in rows]

    def _team(self, resource: str, now: datetime) -> frozenset[str]:
        rows = self.client.marketplace_provider_resource_get_team(resource)
        if not isinstance(rows, list) or not all(isinstance(r, dict) and r.get("uuid") for r in rows):
            raise ReadError(f"GET marketplace-provider-resources/{resource}/team/: not a list of users")
        return frozenset(str(undashed(r["uuid"])) for r in rows if not _expired(_moment(r.get("expiration_time")), now))

    # ------------------------------------------------------------------ questions about single accounts

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """Ask about each account alone, by backend_id; years of terminated resources are never read."""
        return {name: self._claim(name, offerings) for name in names}

    def _claim(self, name: str, offerings: Mapping[str, Offering]) -> Claim:
        fields = [*_fields(ResourceRow)]
        rows = self.client.rows(Endpoints.MarketplaceProviderResources, {"backend_id": name}, fields)
        mine = [r for r in rows if fold(str(r.get("backend_id") or "")) == name]
        if len(mine) < len(rows):
            return Claim("elsewhere", "Waldur ignored the filter by backend_id", offering=self.offering.name)
        for row in mine:
            if row.get("state") != TERMINATED:
                text = f'resource "{row.get("name")}" in state {row.get("state")} has this account'
                return Claim("elsewhere", text, offering=self.offering.name)
        for row in mine or [r for o in offerings.values() for r in self._by_slug(name, o, fields)]:
            offering = offerings.get(str(undashed(row.get("offering_uuid"))))
            if offering is not None:
                parsed = self._parsed(Endpoints.MarketplaceProviderResources, ResourceRow, row)
                return _terminated(parsed, offering)
        return Claim("unknown", offering=self.offering.name)

    def _by_slug(self, name: str, offering: Offering, fields: list[str]) -> list[dict[str, Any]]:
        """Ended resources whose backend_id was never set, by the slug that the account's name was made of."""
        prefix = fold(offering.backend_settings.prefixes[-1])
        slug = name.removeprefix(prefix)
        if not prefix or slug == name or not slug:
            return []
        # one page: a server that ignores the filter would send years of resources
        query: dict[str, object] = {"slug": slug, "state": TERMINATED, "offering_uuid": offering.waldur_offering_uuid}
        query |= {"field": fields, "page_size": 10}
        url = self.client._build_url(Endpoints.MarketplaceProviderResources)
        rows = self.client._get(url, valid_states=[200], params=query)
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            return []
        if any(fold(str(r.get("slug"))) != slug or r.get("state") != TERMINATED for r in rows):
            return []
        return [r for r in rows if not r.get("backend_id")]

    def made(self, containers: Iterable[str]) -> frozenset[str]:
        """Those whose name is our prefix and a slug of a project or customer that the portal knows."""
        names = frozenset(containers)
        if not names:
            return names
        fields = ("uuid", "slug", "customer_slug")
        try:
            provider = self._provider_uuid(str(self._about().get("customer_uuid") or ""))
            rows = self.client.service_provider_rows(provider, "projects", fields)
        except WaldurError as error:
            if error.status not in (403, 404):
                raise
            return frozenset()
        customer, project, _ = self.offering.backend_settings.prefixes
        known = {fold(project + str(r["slug"])) for r in rows if r.get("slug")}
        known |= {fold(customer + str(r["customer_slug"])) for r in rows if r.get("customer_slug")}
        return names & known

    def policy(self) -> Mapping[str, object] | None:
        """The offering's periodic usage policy; None where it has none or the server knows no policies."""
        try:
            rows = self.client.periodic_usage_policies(self.uuid)
        except WaldurError as error:
            if error.status in (403, 404):
                return None
            raise
        return next((r for r in rows if undashed(r.get("scope_uuid")) == self.uuid), None)


def _resource(row: ResourceRow) -> Resource:
    other = {"offering_uuid", "resource_uuid", "backend_metadata", "last_sync"}
    return Resource(
        **{k: v for k, v in row if k not in other},
        told_limits=row.limits,
        scope_uuid=row.resource_uuid,
        metadata=row.backend_metadata,
        last_sync=row.last_sync if "last_sync" in row.model_fields_set else None,
    )


def _component_values(row: ComponentRow) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name in KINDS["waldur.component"].by_name:
        value = getattr(row, name)
        if isinstance(value, bool):
            values[name] = str(value).lower()
        elif isinstance(value, float):
            values[name] = f"{Decimal(str(value)).normalize():f}"
        else:
            values[name] = value
    return {n: v for n, v in values.items() if n in row.model_fields_set}


def _quotas(plans: object) -> dict[str, dict[str, object]]:
    """Amounts that plans include, by the plan's uuid; a zero is no amount."""
    found: dict[str, dict[str, object]] = {}
    for plan in plans if isinstance(plans, list) else ():
        quotas = plan.get("quotas") if isinstance(plan, dict) else None
        if isinstance(quotas, dict):
            found[str(undashed(plan.get("uuid")))] = {k: v for k, v in quotas.items() if v}
    return found


def _slugs_change(resource: Resource, order: OrderRow | None) -> dict[str, Any]:
    """Slugs that the resource lacks, from its order."""
    if order is None or resource.project_slug:
        return {}
    return {"project_slug": order.project_slug, "customer_slug": order.customer_slug}


def _terminated(row: ResourceRow, offering: Offering) -> Claim:
    settings = offering.backend_settings
    customer, project, _ = settings.prefixes
    parents = [fold(project + row.project_slug)] if row.project_slug else []
    if row.customer_slug and not settings.parent_account:
        parents.append(fold(customer + row.customer_slug))
    text = f'resource "{row.name}" {row.uuid} of offering "{offering.name}" is {TERMINATED} in Waldur'
    return Claim("terminated", text, tuple(parents), offering.name)


def _last_part(url: str) -> str:
    """The uuid at the end of an object's URL."""
    return str(undashed(url.rstrip("/").rpartition("/")[2]))


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


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors()[0]
        return f"{'.'.join(str(p) for p in detail['loc'])}: {detail['msg']} (found {detail['input']!r})"
    return str(error)
