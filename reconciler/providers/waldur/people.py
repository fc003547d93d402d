"""People of one offering: offering users, service accounts, and limits that are a person's own."""

from __future__ import annotations

from collections import defaultdict

from pydantic import ValidationError
from waldur_client import Endpoints

from reconciler.providers.waldur.lists import Lists, fields_of, first_error, uuid_of
from reconciler.providers.waldur.rows import OfferingUserRow, PersonRow, ServiceAccountRow, UserLimitRow
from reconciler.state.facts import OfferingUser
from reconciler.state.model import Address, Note

USER_LIMITS = "component-user-usage-limits"
SERVICE_ACCOUNTS = ("marketplace-project-service-accounts", "marketplace-course-accounts")


class People:
    """Lists of people."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def users(self) -> tuple[list[OfferingUser], list[Note], list[str]]:
        """Offering users, what to say of rows that could not be understood, and the usernames of those."""
        users: list[OfferingUser] = []
        bad: list[Note] = []
        held: list[str] = []
        named = self.lists.offering.username_management_backend == "base"
        model: type[OfferingUserRow] = OfferingUserRow if named else PersonRow
        for row in self.lists.checked(Endpoints.MarketplaceOfferingUsers, {}, model):
            try:
                one = PersonRow.model_validate(row)
            except ValidationError as error:
                text = f"username {row.get('username')!r}: {first_error(error)}"
                address = Address("waldur.offering_user", (str(row.get("uuid") or "?"),))
                bad.append(Note(address, text, self.lists.offering.name))
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

    def named(self) -> list[OfferingUser]:
        """Offering users as whoever writes usage has to name them; a bad row is an error."""
        fields = fields_of(OfferingUserRow)
        filters = {"offering_uuid": self.lists.uuid}
        rows = self.lists.client.rows(Endpoints.MarketplaceOfferingUsers, filters, fields)
        parsed = [self.lists.parsed(Endpoints.MarketplaceOfferingUsers, OfferingUserRow, row) for row in rows]
        return [OfferingUser(r.user_uuid, r.username, r.is_restricted, r.state, r.uuid) for r in parsed]

    # ------------------------------------------------------------------ what newer servers tell besides

    def limits(self, notes: list[Note]) -> dict[str, dict[str, dict[str, object]]] | None:
        """Amounts by resource, person (offering user or user) and component."""
        rows = self.lists.optional(USER_LIMITS, {"offering_uuid": self.lists.uuid}, UserLimitRow, notes)
        if rows is None:
            return None
        found: dict[str, dict[str, dict[str, object]]] = defaultdict(lambda: defaultdict(dict))
        for row in rows:
            if row.limit is not None:
                found[uuid_of(row.resource)][uuid_of(row.user)][row.component_type] = row.limit
        return {resource: dict(people) for resource, people in found.items()}

    def service_users(self, notes: list[Note]) -> tuple[dict[str, dict[str, str]], frozenset[str], bool]:
        """Names of service and course accounts by project, of closed ones, and whether some may be missing."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        closed: set[str] = set()
        unsure = False
        for endpoint in SERVICE_ACCOUNTS:
            rows = self.lists.optional(endpoint, {}, ServiceAccountRow, notes)
            unsure = unsure or rows is None
            for row in rows or ():
                if row.username and row.state == "Closed":
                    closed.add(row.username)
                elif row.username:
                    owner = row.user_uuid or f"{endpoint.removeprefix('marketplace-').replace('-', ' ')[:-1]}"
                    found[row.project_uuid][row.username] = owner
        return dict(found), frozenset(closed), unsure
