"""Rows of Waldur's lists as models; keys that older servers lack are optional."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def undashed(value: object) -> object:
    """A uuid as Waldur writes it: 32 hex digits; other values as they are."""
    return value.replace("-", "").lower() if isinstance(value, str) else value


def _blank(value: object) -> object:
    return "" if value is None else value


def _mapping(value: object) -> object:
    return {} if value is None else value


def _day(value: object) -> object:
    return value[:10] if isinstance(value, str) else value


Hex = Annotated[str, BeforeValidator(undashed)]
Text = Annotated[str, BeforeValidator(_blank)]
Mapped = Annotated[dict[str, Any], BeforeValidator(_mapping)]
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


class OrderRow(Row):
    """A row of marketplace-orders."""

    uuid: Hex
    offering_uuid: Hex
    state: str
    type: str
    marketplace_resource_uuid: Hex
    limits: Mapped = {}
    project_slug: Text = ""
    customer_slug: Text = ""


class OfferingUserRow(Row):
    """A row of marketplace-offering-users; ``state`` came with newer servers."""

    uuid: Hex
    offering_uuid: Hex
    user_uuid: Hex
    username: Text = ""
    is_restricted: bool = False
    state: Text = ""


class PermissionRow(Row):
    """A row of a service provider's project_permissions: one per role."""

    project_uuid: Hex
    user_uuid: Hex
    role: Text = ""
    created: Text = ""  # with the role it tells two rows of one user apart
    expiration_time: datetime | None = None
