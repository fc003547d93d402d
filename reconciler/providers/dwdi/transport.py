"""HTTP to DWDI and its token server: one session, time limits, retries within a budget, proxies."""

from __future__ import annotations

import re
from typing import Any

import requests
from urllib3.exceptions import HTTPError, MaxRetryError

from reconciler.errors import ReadError
from reconciler.providers.http import Access, encryption_hint, reason, session, whole

_RETRIED = (429, 502, 503, 504)
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_UNREACHED = (
    "Is the address right (and socks_proxy or global_proxy, if set), and does this host reach it? The next cycle "
    "tries again."
)


def shown(url: str) -> str:
    """An address for messages: without credentials and without its query."""
    return _CREDENTIALS.sub("//", url.partition("?")[0])


class Transport:
    """Sends requests and reads whole answers. Counts what it sends."""

    def __init__(self, *, timeout: int, retries: int, access: Access) -> None:
        self.requests = 0
        self.veil = access.veil()
        self._retries = retries
        self._timeout = (min(10, timeout), timeout)
        self._access = access
        # the only POST asks for a token, and a token too many does no harm
        self._session = session(retries, ("GET", "POST"), _RETRIED)
        self._session.headers["User-Agent"] = "waldur-reconcile"

    def send(self, method: str, url: str, **parameters: Any) -> requests.Response:
        """An answer with its whole body, whatever its status. Raises :class:`ReadError` when there is none."""
        left = self._retries + 1
        while True:
            try:
                answer = self._session.request(
                    method,
                    url,
                    stream=True,
                    timeout=self._timeout,
                    allow_redirects=False,
                    **self._access.options(url),
                    **parameters,
                )
                response = whole(answer, self._timeout[1])
            except (requests.exceptions.RequestException, HTTPError, UnicodeError) as error:
                # urllib3 retries until the headers are in; what breaks within the body is retried here
                in_body = _in_body(error)
                spent = 1 if in_body else self._retries + 1
                self.requests += spent
                left -= spent
                if not in_body or left <= 0:
                    why = " ".join(reason(error).split())[:300] or type(error).__name__
                    text = f"{method} {shown(url)}: no whole answer: {why}"
                    hint = encryption_hint(error, "cscs_dwdi_api_url and cscs_dwdi_oidc_token_url") or _UNREACHED
                    text = _CREDENTIALS.sub("//", self.veil.text(text))
                    raise ReadError(text, hint) from None
            else:
                self.requests += 1 + len(getattr(response.raw.retries, "history", ()))
                return response


def _in_body(error: Exception) -> bool:
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return True
    final = bool(error.args) and isinstance(error.args[0], MaxRetryError)
    return type(error) is requests.exceptions.ConnectionError and not final
