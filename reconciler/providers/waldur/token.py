"""Who the token is, and what the offering is called there."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.providers.waldur.errors import WaldurError
from reconciler.providers.waldur.lists import Lists


class Token:
    """The user behind the token."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def ping(self) -> str:
        """Who the token is, and the offering's name there. Raises :class:`WaldurError`."""
        url, me = self._me("username", "is_staff")
        if not isinstance(me, dict):
            raise WaldurError(f"GET {url}", 200, f"expected an object, found {str(me)[:200]}")
        staff = ", staff" if me.get("is_staff") is True else ""
        return f"offering {self.lists.about().get('name')!r} as user {me.get('username')!r}{staff}"

    def staff(self) -> bool:
        """Whether it is a staff user's, who may set any month."""
        _, me = self._me("is_staff")
        return isinstance(me, Mapping) and me.get("is_staff") is True

    def _me(self, *fields: str) -> tuple[str, object]:
        url = self.lists.client._build_url("users/me")
        return url, self.lists.client._get(url, valid_states=[200], params={"field": list(fields)})
