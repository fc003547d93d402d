"""Questions to DWDI: one JSON object each, exact numbers, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import urlencode

from requests import Response

from reconciler.errors import ReadError
from reconciler.providers.dwdi.auth import OidcAuth
from reconciler.providers.dwdi.transport import Transport, shown

#: servers and proxies refuse addresses that are much longer
LONGEST_ADDRESS = 4096
_UNTOUCHED = "Nothing is reported from this answer; the next cycle tries again."


@dataclass(frozen=True, slots=True)
class Query:
    """A question about several objects, and where the answer has its rows."""

    endpoint: str
    parameters: tuple[tuple[str, str], ...]
    repeated: str  # the parameter that names an object
    rows: str  # the list in the answer
    identity: str  # the key of a row that names its object

    def asking(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """All parameters of one request."""
        return [*self.parameters, *((self.repeated, name) for name in names)]


class Client:
    """Asks DWDI. An answer that is not what was asked for is an error, never an empty one."""

    def __init__(self, base: str, transport: Transport, auth: OidcAuth) -> None:
        self._base = base
        self._transport = transport
        self._auth = auth

    @property
    def requests(self) -> int:
        """How many requests were made, those for tokens included."""
        return self._transport.requests

    @property
    def lifetime(self) -> float:
        """How long the present token lasts altogether, in seconds."""
        return self._auth.lifetime

    def batches(self, query: Query, names: Sequence[str]) -> Iterator[list[str]]:
        """The names in as few requests as the length of an address allows."""
        start = len(self._address(query, ()))
        batch: list[str] = []
        length = start
        for name in names:
            more = 1 + len(urlencode([(query.repeated, name)]))
            if batch and length + more > LONGEST_ADDRESS:
                yield batch
                batch, length = [], start
            batch.append(name)
            length += more
        if batch:
            yield batch

    def rows(self, query: Query, names: Sequence[str]) -> list[Any]:
        """The rows of an answer. Raises :class:`ReadError` when it cannot be trusted as a whole."""
        url = self._address(query, names)
        response = self._transport.send("GET", url, auth=self._auth, headers={"Accept": "application/json"})
        if response.status_code == 401:
            # revoked, or the server restarted: one new token, one more try
            self._auth.forget()
            response = self._transport.send("GET", url, auth=self._auth, headers={"Accept": "application/json"})
        what = f"GET {shown(url)} ({', '.join(f'{k} {v}' for k, v in query.parameters)})"
        if response.status_code != 200:
            raise ReadError(f"{what}: HTTP {response.status_code}{self._detail(response)}", _advice(response))
        try:
            answer = json.loads(self._auth.clean(response.content), parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            kind = "an HTML page" if response.content.lstrip()[:1] == b"<" else f"no JSON ({str(error)[:100]})"
            raise ReadError(f"{what}: {kind} instead of an answer", _UNTOUCHED) from None
        rows = answer.get(query.rows) if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            found = (
                f"{', '.join(map(repr, list(answer)[:5])) or 'nothing'}" if isinstance(answer, dict) else "no object"
            )
            text = f"{what}: the answer has no list {query.rows!r} (found {self._auth.scrub(found)[:200]})"
            raise ReadError(
                text, f"{_UNTOUCHED} If it stays so: are cscs_dwdi_api_url and cscs_dwdi_api_flavour right?"
            )
        return rows

    def _address(self, query: Query, names: Sequence[str]) -> str:
        return f"{self._base}/{query.endpoint}?{urlencode(query.asking(names))}"

    def _detail(self, response: Response) -> str:
        """What an error says of itself; of refused credentials nothing is repeated."""
        if response.status_code in (401, 403):
            return ""
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            return ""
        detail = answer.get("detail") if isinstance(answer, dict) else None
        return f": {self._auth.scrub(' '.join(detail.split()))[:200]!r}" if isinstance(detail, str) else ""


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _advice(response: Response) -> str:
    status = response.status_code
    if status == 404:
        return (
            "cscs_dwdi_api_url has to hold the API's prefix, like https://dwdi.example.org/api/v1; "
            "for an API of 2025 set cscs_dwdi_api_flavour: legacy."
        )
    if 300 <= status < 400:
        return "The address redirects, which is not followed: is cscs_dwdi_api_url complete?"
    if status > 499:
        return "DWDI or a proxy before it is in trouble; the next cycle tries again."
    return {
        401: "DWDI refuses new tokens too: is cscs_dwdi_api_url of the same realm as cscs_dwdi_oidc_token_url?",
        403: "The client lacks a scope or role: check cscs_dwdi_oidc_scope.",
        429: "DWDI limits the rate of requests; the next cycle tries again.",
    }.get(status, "DWDI does not take this question: has its API changed? See docs/dwdi.md for what is asked.")
