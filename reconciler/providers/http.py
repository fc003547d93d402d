"""What all HTTP clients share: whom they trust, through which proxy they go, and what they never repeat."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError
from urllib3.util.retry import Retry

from reconciler.config import Config, Offering

#: what is replaced in data, not only in messages, has to be too long to be there by chance
_UNMISTAKABLE = 16
_SHORTEST = 4
# a server may ask for hours; a cycle that comes again in minutes need not wait that long
_LONGEST_RETRY_AFTER = 60  # seconds
_PIECE = 1 << 16
_LARGEST = 1 << 30
_PATIENCE = 5  # so many timeouts may the body of an answer take
_VEILED = "…"


class Veil:
    """Takes secrets out of what a server sent back or a library says."""

    def __init__(self, *secrets: str) -> None:
        self._hidden: list[str] = []
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Never let these through from now on, however they are written."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                forms = (secret, quote(secret, safe=""), html.escape(secret), json.dumps(secret)[1:-1])
                self._hidden += [form for form in dict.fromkeys(forms) if form not in self._hidden]
        self._hidden.sort(key=len, reverse=True)

    def hide_proxy(self, address: str) -> None:
        """Never let the password of a proxy's address through, nor the header it becomes."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return
        if parts.password:
            user, password = unquote(parts.username or ""), unquote(parts.password)
            self.hide(parts.password, password, base64.b64encode(f"{user}:{password}".encode()).decode())

    def text(self, text: str) -> str:
        """A message without them."""
        for secret in self._hidden:
            text = text.replace(secret, _VEILED)
        return text

    def body(self, data: bytes) -> bytes:
        """An answer without them."""
        for secret in self._hidden:
            if len(secret) >= _UNMISTAKABLE:
                data = data.replace(secret.encode(), _VEILED.encode())
        return data


@dataclass(frozen=True)
class Access:
    """How a server is reached."""

    verify: bool | str = True
    proxy: str = ""
    always: bool = False  # the proxy is for this server alone, so NO_PROXY is not asked

    def options(self, url: str) -> dict[str, Any]:
        """What goes with each request: a proxy or authorities of the environment would win over a session's."""
        options: dict[str, Any] = {"verify": self.verify}
        if self.proxy and (self.always or not should_bypass_proxies(url, no_proxy=None)):
            options["proxies"] = {"http": self.proxy, "https": self.proxy}
        return options

    def veil(self, *secrets: str) -> Veil:
        """Hides these secrets and the passwords of all proxies."""
        veil = Veil(*secrets)
        for address in (self.proxy, *getproxies().values()):
            veil.hide_proxy(address)
        return veil


class EndlessError(requests.exceptions.RequestException):
    """An answer that came bit by bit and did not end, or that is larger than any answer may be."""


def whole(response: requests.Response, timeout: float) -> requests.Response:
    """A streamed answer with its body, as ``requests`` reads it, but for an end to it.

    The timeout of a socket begins anew with each byte. Raises what ``requests`` does, and :class:`EndlessError`.
    """
    longest = timeout * _PATIENCE
    began, size, parts = time.monotonic(), 0, []
    try:
        while data := response.raw.read1(_PIECE, decode_content=True):
            parts.append(data)
            size += len(data)
            if time.monotonic() - began > longest or size > _LARGEST:
                raise EndlessError(f"the answer did not end within {longest:g} s, after {size} bytes")
        response._content, response._content_consumed = b"".join(parts), True  # type: ignore[attr-defined]  # as it does
    except ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except ReadTimeoutError as error:
        raise requests.exceptions.ConnectionError(error) from error
    finally:
        response.close()  # of an answer that is whole this keeps the connection
    return response


def session(
    retries: int, methods: Iterable[str], statuses: Iterable[int], kind: type[Retry] = Retry
) -> requests.Session:
    """A session that sends again what failed in passing, for methods that may be repeated."""
    retry = kind(
        total=retries,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=30,
        status_forcelist=tuple(statuses),
        allowed_methods=frozenset(methods),
        retry_after_max=_LONGEST_RETRY_AFTER,
        raise_on_status=False,
    )
    made = requests.Session()
    for scheme in ("https://", "http://"):
        made.mount(scheme, HTTPAdapter(max_retries=retry))
    return made


def access_of(offering: Offering, config: Config, own_proxy: str = "") -> Access:
    """How the configuration wants the servers of an offering to be reached."""
    verify: bool | str = offering.verify_ssl
    if verify and offering.ca_bundle:
        verify = str(offering.ca_bundle)
    return Access(verify, own_proxy or config.global_proxy.get_secret_value(), always=bool(own_proxy))


def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Given as ``auth``, keeps requests from putting credentials of ~/.netrc in place of ours."""
    return request
