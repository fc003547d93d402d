"""What all of a portal's parts share: lists whose rows are checked against what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from waldur_client import Endpoints

from reconciler.config import Offering
from reconciler.errors import GoneError, ReadError
from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.errors import WaldurError, answered
from reconciler.providers.waldur.rows import ResourceRow, Row, undashed
from reconciler.state import waldur
from reconciler.state.facts import Resource
from reconciler.state.model import Note

R = TypeVar("R", bound=Row)
_FLAGS = ("paused", "downscaled", "restrict_member_access")


def fields_of(row: type[Row]) -> list[str]:
    """The keys that a row needs, to be asked for."""
    return list(row.model_fields)


class Lists:
    """One offering's lists, over the client that all parts of its portal share."""

    def __init__(self, offering: Offering, client: ReconcileClient) -> None:
        self.offering = offering
        self.client = client
        self.uuid = offering.waldur_offering_uuid

    def checked(self, endpoint: str, filters: Mapping[str, object], row: type[Row]) -> list[dict[str, Any]]:
        """Rows of this offering in the states asked for: the server ignores filters it does not know."""
        rows = self.client.rows(endpoint, {"offering_uuid": self.uuid, **filters}, fields_of(row))
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

    def about(self) -> dict[str, Any]:
        """The offering itself."""
        url = self.client._build_resource_url(  # the base's own way to make a URL
            Endpoints.MarketplaceProviderOffering, self.uuid
        )
        fields = ["uuid", "name", "customer_uuid", "plugin_options", "plans", "components"]
        about = self.client._get(url, valid_states=[200], params={"field": fields})
        if not isinstance(about, dict) or undashed(about.get("uuid")) != self.uuid:
            raise ReadError(f"GET {url}: the answer is not about offering {self.uuid}")
        return about

    def provider_uuid(self, customer: str) -> str:
        """The provider that an organization is. Raises :class:`WaldurError` where it is none."""
        rows = self.client.rows(
            Endpoints.MarketplaceServiceProviders, {"customer_uuid": customer}, ["uuid", "customer_uuid"]
        )
        mine = [row for row in rows if undashed(row.get("customer_uuid")) == undashed(customer)]
        if len(mine) != 1:
            raise answered("GET marketplace-service-providers", 404, f"none for customer {customer}")
        return str(mine[0]["uuid"])

    def provider(self) -> str:
        """The provider of this offering, which is asked for first. Raises :class:`WaldurError`."""
        return self.provider_uuid(str(self.about().get("customer_uuid") or ""))

    def parsed(self, endpoint: str, model: type[R], row: dict[str, Any]) -> R:
        """A row as a model. Raises :class:`ReadError`."""
        try:
            return model.model_validate(row)
        except ValidationError as error:
            raise ReadError(f"GET {endpoint}: row {row.get('uuid', '')}: {first_error(error)}") from None

    def optional(
        self, endpoint: str, filters: Mapping[str, object], row: type[R], notes: list[Note] | None = None
    ) -> list[R] | None:
        """Rows of a list that this server may lack, or keep from this token: then None, and a note is added."""
        try:
            rows = self.client.rows(endpoint, filters, fields_of(row))
        except WaldurError as error:
            if not error.withheld:
                raise
            what = "this Waldur has no such list" if error.status == 404 else "this token may not read it"
            address = waldur.offering(self.offering.name)
            if notes is not None:
                notes.append(Note(address, f"GET {endpoint}: {what}: left as it is", self.offering.name))
            return None
        return [self.parsed(endpoint, row, found) for found in rows]

    def resources_of(self, rows: list[dict[str, Any]]) -> tuple[list[Resource], list[Note], list[str]]:
        """Resources, what to say of rows that could not be understood, and the accounts those name."""
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
                text = f"resource {row.get('name')!r}: {first_error(error)}"
                bad.append(Note(waldur.resource(uuid), text, self.offering.name))
                if isinstance(row.get("backend_id"), str):
                    held.append(row["backend_id"])
                elif "backend_id" not in row or row["backend_id"] is not None:
                    raise ReadError(f"GET {Endpoints.MarketplaceProviderResources}: {text}") from None
                continue
            resources.append(resource_of(parsed))
        return resources, bad, held

    def resource(self, uuid: str, *, of_offering: bool = False) -> Resource | None:
        """One resource as it is now, or None when it is gone (or, if asked, is another offering's)."""
        try:
            row = self.client.one(Endpoints.MarketplaceProviderResources, uuid, fields_of(ResourceRow))
        except GoneError:
            return None
        parsed = self.parsed(Endpoints.MarketplaceProviderResources, ResourceRow, row)
        if parsed.uuid != uuid:
            raise ReadError(f"GET {Endpoints.MarketplaceProviderResources}/{uuid}/: the answer is about {parsed.uuid}")
        if of_offering and parsed.offering_uuid != self.uuid:
            return None
        return resource_of(parsed)


def resource_of(row: ResourceRow) -> Resource:
    """A row as a fact."""
    other = {"offering_uuid", "resource_uuid", "backend_metadata", "last_sync"}
    return Resource(
        **{k: v for k, v in row if k not in other},
        told_limits=row.limits,
        scope_uuid=row.resource_uuid,
        metadata=row.backend_metadata,
        last_sync=row.last_sync if "last_sync" in row.model_fields_set else None,
    )


def uuid_of(url: str) -> str:
    """The uuid at the end of an object's URL."""
    return str(undashed(url.rstrip("/").rpartition("/")[2]))


def first_error(error: Exception) -> str:
    """What is wrong with a row, in a line."""
    if isinstance(error, ValidationError):
        detail = error.errors()[0]
        return f"{'.'.join(str(p) for p in detail['loc'])}: {detail['msg']} (found {detail['input']!r})"
    return str(error)
