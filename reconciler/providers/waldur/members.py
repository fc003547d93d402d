"""Members of projects and their roles: one list of the provider's, or a team at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from waldur_client import Endpoints

from reconciler.errors import ReadError
from reconciler.providers.waldur.errors import ChangedUnderwayError, WaldurError
from reconciler.providers.waldur.lists import Lists, fields_of
from reconciler.providers.waldur.rows import PermissionRow, undashed
from reconciler.state.facts import Resource


class Members:
    """Who is a member of which project."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def provider(self, customer: str) -> str:
        """The provider that an organization is, or nothing where the token may not see it."""
        try:
            return self.lists.provider_uuid(customer)
        except WaldurError as error:
            if not error.withheld:
                raise
            return ""

    def roles(
        self, provider: str, resources: Sequence[Resource], now: datetime
    ) -> dict[str, dict[str, frozenset[str]]]:
        """By project and user: the names of their roles."""
        projects = {r.project_uuid: r.uuid for r in resources}
        try:
            permissions = self._permissions(provider) if provider else None
        except WaldurError as error:
            if not error.withheld:
                raise
            permissions = None
        if permissions is None:
            return {p: self._team(resource, now) for p, resource in projects.items()}
        found: dict[str, dict[str, frozenset[str]]] = {project: {} for project in projects}
        for row in permissions:
            if row.project_uuid in projects and not _expired(row.expiration_time, now):
                people = found[row.project_uuid]
                people[row.user_uuid] = people.get(row.user_uuid, frozenset()) | {row.role}
        return found

    def _permissions(self, provider: str) -> list[PermissionRow]:
        rows = self.lists.client.service_provider_rows(provider, "project_permissions", fields_of(PermissionRow))
        shown = [repr(sorted(row.items())) for row in rows]
        if len(set(shown)) != len(shown):
            raise ChangedUnderwayError("GET project_permissions", 200, "one row came twice, so another may be missing")
        return [self.lists.parsed("project_permissions", PermissionRow, row) for row in rows]

    def _team(self, resource: str, now: datetime) -> dict[str, frozenset[str]]:
        rows = self.lists.client.marketplace_provider_resource_get_team(resource)
        if not isinstance(rows, list) or not all(isinstance(r, dict) and r.get("uuid") for r in rows):
            raise ReadError(f"GET marketplace-provider-resources/{resource}/team/: not a list of users")
        return {
            str(undashed(r["uuid"])): frozenset({str(r.get("role") or "")})
            for r in rows
            if not _expired(_moment(r.get("expiration_time")), now)
        }

    def probe(self) -> None:
        """Ask for one row of the members of all projects. Raises ``ReadError``, ``DeniedError`` without the role."""
        endpoint = f"{Endpoints.MarketplaceServiceProviders}/{self.lists.provider()}/project_permissions"
        url = self.lists.client._build_url(endpoint)
        self.lists.client._get(url, valid_states=[200], params={"page_size": 1, "field": ["role"]})


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
