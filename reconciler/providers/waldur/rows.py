"""Rows of Waldur's lists as models; keys that older servers lack are optional."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def undashed(value: object) -> object:
    """A uuid as Waldur writes it: 32 hex digits; other values as they are."""
    return value.replace("-", "").lower() if isinstance(value, str) else value


def _blank(value: object) -> object:
    return "" if value is None else value


def _mapping(value: object) -> object:
    return {} if value is None else value


def _day(value: object) -> object:
    return value[:10] if isinstance(value, str) else value


def _hexed(value: object) -> object:
    return "" if value is None else undashed(value)


def _moment(value: object) -> object:
    """A time in UTC as it is compared; nothing yet is the empty text, a key that is not there is None."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    when = datetime.fromisoformat(value)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _exact(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Hex = Annotated[str, BeforeValidator(undashed)]
Text = Annotated[str, BeforeValidator(_blank)]
Mapped = Annotated[dict[str, Any], BeforeValidator(_mapping)]
Hexed = Annotated[str, BeforeValidator(_hexed)]
Moment = Annotated[str | None, BeforeValidator(_moment)]
Amount = Annotated[Decimal, BeforeValidator(_exact)]
Day = Annotated[date | None, BeforeValidator(_day)]


class Row(BaseModel):
    """A row of a list; keys that were not asked for are dropped."""

    model_config = ConfigDict(extra="ignore", strict=False)


class ResourceRow(Row):
    """A row of marketplace-provider-resources; keys that older servers lack are optional."""

    uuid: Hex
    offering_uuid: Hex
    state: str
    project_uuid: Hex
    customer_uuid: Hex
    name: Text = ""
    slug: Text = ""
    backend_id: Text = ""
    project_name: Text = ""
    project_slug: Text = ""
    customer_name: Text = ""
    customer_slug: Text = ""
    limits: Mapped = {}
    attributes: Mapped = {}
    options: Mapped = {}
    paused: bool = False
    downscaled: bool = False
    restrict_member_access: bool = False
    created: Day = None
    end_date: Day = None
    plan_uuid: Hexed = ""
    resource_uuid: Hexed = ""
    backend_metadata: Mapped = {}
    error_message: Text = ""
    last_sync: Moment = None
    offering_backend_id: Text = ""


class OrderRow(Row):
    """A row of marketplace-orders."""

    uuid: Hex
    offering_uuid: Hex
    state: str
    type: str
    marketplace_resource_uuid: Hex
    limits: Mapped = {}
    plan_uuid: Hexed = ""
    project_slug: Text = ""
    customer_slug: Text = ""
    created: Text = ""


class OfferingUserRow(Row):
    """A row of marketplace-offering-users; ``state`` came with newer servers."""

    uuid: Hex
    offering_uuid: Hex
    user_uuid: Hex
    username: Text = ""
    is_restricted: bool = False
    state: Text = ""


class PersonRow(OfferingUserRow):
    """The same with what names are made of; asked for only where they are made."""

    user_username: Text = ""
    user_first_name: Text = ""
    user_last_name: Text = ""
    user_full_name: Text = ""
    user_email: Text = ""


class PermissionRow(Row):
    """A row of a service provider's project_permissions: one per role."""

    project_uuid: Hex
    user_uuid: Hex
    role: Text = ""
    created: Text = ""  # with the role it tells two rows of one user apart
    expiration_time: datetime | None = None


class UserLimitRow(Row):
    """A row of component-user-usage-limits; ``resource`` and ``user`` are URLs."""

    resource: str
    user: str
    component_type: str
    limit: str | int | float | None = None


class ServiceAccountRow(Row):
    """A row of marketplace-project-service-accounts or marketplace-course-accounts."""

    uuid: Hex
    project_uuid: Hex
    username: Text = ""
    state: Text = ""
    user_uuid: Hexed = ""  # course accounts may be somebody's


class BackendResourceRow(Row):
    """A row of backend-resources: an account offered for import."""

    uuid: Hex
    offering: Hex
    name: Text = ""
    project: Hexed = ""
    backend_id: Text = ""
    backend_metadata: Mapped = {}


class ComponentRow(Row):
    """A component of an offering as the offering itself lists it."""

    uuid: Hex
    type: str
    name: Text = ""
    measured_unit: Text = ""
    billing_type: Text = ""
    limit_amount: float | None = None
    limit_period: Text = ""
    unit_factor: int | None = None
    description: Text = ""
    article_code: Text = ""
    min_value: float | None = None
    max_value: float | None = None
    max_available_limit: float | None = None
    default_limit: float | None = None
    is_boolean: bool | None = None
    is_prepaid: bool | None = None


class UsageRow(Row):
    """A row of marketplace-component-usages: one component of a resource in one period (and of one plan)."""

    uuid: Hex
    offering_uuid: Hex
    resource_uuid: Hex
    type: str
    billing_period: date
    usage: Amount


class PolicyRow(Row):
    """A periodic usage policy of an offering."""

    uuid: Hex
    scope_uuid: Hex
    period: int
    limit_type: str
    tres_billing_enabled: bool
    tres_billing_weights: dict[str, Amount] | None = None
    carryover_enabled: bool
    carryover_factor: Annotated[Amount, Field(ge=0, le=100)]
    grace_ratio: Annotated[Amount, Field(ge=0)] | None = None
    raw_usage_reset: bool
    apply_to_all: bool = True


class CommandRow(Row):
    """A row of a policy's command-history: what the portal told agents to do for a resource."""

    command_type: Text = ""
    parameters: Mapped = {}
    executed_at: Day = None


class UserUsageRow(Row):
    """A row of marketplace-component-user-usages; ``component_usage`` is the URL of the row it is part of."""

    uuid: Hex
    offering_uuid: Hex
    component_usage: str
    username: Text = ""
    usage: Amount
