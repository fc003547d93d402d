"""Answers of Waldur that are no success, as the errors that the core tells apart."""

from __future__ import annotations

import re

from waldur_client import WaldurClientException

from reconciler.errors import ConflictError, DeniedError, GoneError, ReadError, RefusedError

_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class WaldurError(WaldurClientException, ReadError):  # type: ignore[misc]  # the base is untyped
    """An answer that is no success, with status and body, or no answer at all (status 0)."""

    def __init__(self, request: str, status: int, body: str, hint: str = "") -> None:
        answer = f"HTTP {status}: {_readable(body)}" if status else _readable(body)
        ReadError.__init__(self, _CREDENTIALS.sub("//", f"{request}: {answer}"), hint or _advice(status))
        self.status = status
        self.body = body

    @property
    def withheld(self) -> bool:
        """Whether a list is not there, or not for this token: some do without it."""
        return self.status in (403, 404)


class WaldurRefusedError(WaldurError, RefusedError):
    """A request that Waldur understood, and did not take."""


class WaldurDeniedError(WaldurError, DeniedError):
    """A request that the token may not make."""


class WaldurGoneError(WaldurError, GoneError):
    """A request about something that is not there, or that the token may not see."""


class WaldurConflictError(WaldurError, ConflictError):
    """A request that does not fit the state of its object."""


class AbsentError(WaldurError):
    """An action that this server does not know."""

    def __init__(self, request: str) -> None:
        super().__init__(request, 404, "this Waldur has no such action", "Its version may be too old for this.")


class ChangedUnderwayError(WaldurError):
    """A list changed while its pages were read, so rows may be missing or double."""


_ANSWERS: dict[int, type[WaldurError]] = {
    400: WaldurRefusedError,
    403: WaldurDeniedError,
    404: WaldurGoneError,
    409: WaldurConflictError,
}


def answered(request: str, status: int, body: str, hint: str = "") -> WaldurError:
    """The error that an answer means."""
    return _ANSWERS.get(status, WaldurError)(request, status, body, hint)


def _readable(body: str) -> str:
    text = " ".join(_TAGS.sub(" ", body).split())
    return text if len(text) <= 500 else text[:500] + "…"


def _advice(status: int) -> str:
    return {
        0: "Is waldur_api_url right, and does this host reach it?",
        401: "The token (waldur_api_token) is wrong, expired or revoked.",
        403: "The token's user lacks a role: it needs to be an owner or service manager of the provider.",
        404: "Not there, or not visible to the token's user: check waldur_api_url and waldur_offering_uuid.",
        429: "Waldur limits the rate of requests; the next cycle tries again.",
    }.get(
        status,
        "Waldur or the proxy before it is in trouble; the next cycle tries again." if status > 499 else "",
    )
