"""What all HTTP clients share: whom they trust, through which proxy they go, and what they never repeat."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_tz
from typing import Any
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from reconciler.config import Config, Offering, Veil

# a server may ask for hours; a cycle that comes again in minutes need not wait that long
_LONGEST_RETRY_AFTER = 60.0  # seconds
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_PIECE = 1 << 16
_LARGEST = 1 << 30
_PATIENCE = 5  # so many timeouts may the body of an answer take


@dataclass(frozen=True)
class Access:
    """How a server is reached."""

    verify: bool | str = True
    proxy: str = ""
    always: bool = False  # the proxy is for this server alone, so NO_PROXY is not asked
    hidden: Veil = field(default_factory=Veil, compare=False)  # what no server's words may hold

    def options(self, url: str) -> dict[str, Any]:
        """What goes with each request: a proxy or authorities of the environment would win over a session's."""
        options: dict[str, Any] = {"verify": self.verify}
        if self.proxy and (self.always or not should_bypass_proxies(url, no_proxy=None)):
            options["proxies"] = {"http": self.proxy, "https": self.proxy}
        return options

    def veil(self, *secrets: str) -> Veil:
        """Hides these secrets too, and the passwords of all proxies."""
        self.hidden.hide(*secrets)
        for address in (self.proxy, *getproxies().values()):
            self.hidden.hide_address(address)
        return self.hidden


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


def pause(retry_after: str, now: float) -> float | None:
    """The seconds that a server wants us to wait, as far as we do; None where its words cannot be understood."""
    text = retry_after.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_tz(text)
        if moment is None:
            return None
        # dates of HTTP are in GMT where they name no zone; what is over asks for nothing
        seconds = calendar.timegm((*moment[:6], 0, 1, 0)) - (moment[9] or 0) - now
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


class Repeat(Retry):
    """Tries again when the server said, or after our own back-off where it said nothing that can be understood."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """The seconds that the server asks for; urllib3 would fail for what it cannot read."""
        said = response.headers.get("Retry-After")
        return None if said is None else pause(said, time.time())


def session(
    retries: int, methods: Iterable[str], statuses: Iterable[int], kind: type[Repeat] = Repeat
) -> requests.Session:
    """A session that sends again what failed in passing, for methods that may be repeated."""
    retry = kind(
        total=retries,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=30,
        status_forcelist=tuple(statuses),
        allowed_methods=frozenset(methods),
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
    proxy = own_proxy or config.global_proxy.get_secret_value()
    return Access(verify, proxy, always=bool(own_proxy), hidden=config.veil)


def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Given as ``auth``, keeps requests from putting credentials of ~/.netrc in place of ours."""
    return request


_DISTRUSTED = (
    "Does this host trust the authority that signed the certificate? ca_bundle of the offering names another list of "
    "them (so does REQUESTS_CA_BUNDLE); verify_ssl: false switches the check off."
)
# how OpenSSL's versions name an answer that is no TLS
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "only use HTTP and not HTTPS")


def speaks_plain_http(error: Exception) -> bool:
    """Whether https was tried at a port that speaks something else."""
    return isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError) and any(
        sign in str(error) for sign in _NO_TLS
    )


def reason(error: Exception) -> str:
    """Why a request had no answer, in a few words; requests nests its errors three deep."""
    if speaks_plain_http(error):
        return "that port speaks plain http, not https"
    deepest: Any = error
    while True:
        args = getattr(deepest, "args", None)
        inner = getattr(deepest, "reason", None) or (args[0] if args else None)
        if not isinstance(inner, Exception):
            break
        deepest = inner
    return str(deepest).split(">: ")[-1].split("): ")[-1] or type(error).__name__


def encryption_hint(error: Exception, keys: str) -> str:
    """What to do where no encrypted connection came about, or nothing; ``keys`` name the address."""
    if speaks_plain_http(error):
        return f"Check the scheme and the port in {keys}: either http:// is meant, or another port."
    if "CERTIFICATE_VERIFY_FAILED" in str(error) or "doesn't match" in str(error):
        return _DISTRUSTED
    if isinstance(error, requests.exceptions.SSLError):
        return f"Is this the port of an https server? Check the scheme and the port in {keys}."
    return ""
