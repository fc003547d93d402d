"""Tokens of the OIDC server: client_credentials, kept while they last, never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from reconciler.errors import ReadError
from reconciler.providers.dwdi.transport import Transport, shown
from reconciler.providers.http import as_it_is

_DEFAULT_LIFETIME = 300.0
_MARGIN = 30.0
_CODE = re.compile(r"[a-z_]{1,40}")  # of an OAuth error
_TOKEN = re.compile(r"[\x21-\x7e]+")
_REFUSED = (400, 401, 403)


class OidcAuth(AuthBase):
    """Adds a bearer token to requests, and gets one when there is none that still lasts."""

    def __init__(
        self,
        transport: Transport,
        *,
        url: str,
        client_id: str,
        secret: SecretStr,
        scope: str,
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._clock = clock
        self._transport.veil.hide(secret.get_secret_value())
        self._token = ""
        self._renew_at = 0.0
        self.lifetime = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Send the request with a token that lasts."""
        if not self._token or self._clock() >= self._renew_at:
            self._renew()
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def forget(self) -> None:
        """The token was refused: the next request gets another."""
        self._token = ""

    def scrub(self, text: str) -> str:
        """Text without the token and the secret, should a server repeat them."""
        return self._transport.veil.text(text)

    def clean(self, body: bytes) -> bytes:
        """An answer without them."""
        return self._transport.veil.body(body)

    def _renew(self) -> None:
        asked_at = self._clock()
        response = self._transport.send(
            "POST",
            self._url,
            data={
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._secret.get_secret_value(),
                "scope": self._scope,
            },
            headers={"Accept": "application/json"},
            auth=as_it_is,
        )
        what = f"POST {shown(self._url)}"
        answer = _object(response)
        if response.status_code != 200:
            raise ReadError(*self._refusal(what, response.status_code, answer))
        token = answer.get("access_token")
        bearer = str(answer.get("token_type") or "Bearer").lower() == "bearer"
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or not bearer:
            # the answer may hold a token under another name, so nothing of it is shown
            raise ReadError(f"{what}: the answer holds no bearer token", "Is cscs_dwdi_oidc_token_url right?")
        self._token = token
        self._transport.veil.hide(token)
        self.lifetime = _lifetime(answer.get("expires_in"))
        self._renew_at = asked_at + self.lifetime - min(_MARGIN, self.lifetime / 10)

    def _refusal(self, what: str, status: int, answer: dict[str, Any]) -> tuple[str, str]:
        code = answer.get("error")
        code = self.scrub(code) if isinstance(code, str) and _CODE.fullmatch(code) else ""
        text = f"{what}: HTTP {status}{f' ({code})' if code else ''}, no token for client {self._client_id!r}"
        if code == "invalid_scope":
            return text, f"The client may not have the scope {self._scope!r}: check cscs_dwdi_oidc_scope."
        if status in _REFUSED:
            return text, "Check cscs_dwdi_client_id, cscs_dwdi_client_secret and cscs_dwdi_oidc_token_url."
        if status >= 500 or status == 429:
            return text, "The token server is in trouble; the next cycle tries again."
        return text, "Is cscs_dwdi_oidc_token_url right?"


def _object(response: requests.Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _lifetime(value: object) -> float:
    """Seconds; where the answer has none that make sense, Keycloak's default."""
    try:
        seconds = Decimal(str(value))
    except InvalidOperation:
        return _DEFAULT_LIFETIME
    return float(seconds) if seconds.is_finite() and seconds > 0 else _DEFAULT_LIFETIME
