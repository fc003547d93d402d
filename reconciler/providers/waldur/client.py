"""Waldur's own REST client with its transport replaced: one session, time limits, retries, real paging.

Facts about the server: X-Result-Count holds the number of rows of a list, pages are linked by ``rel="next"``,
``page_size`` is cut to 300 silently, errors come as JSON objects, JSON lists or HTML pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from urllib3.exceptions import HTTPError
from waldur_client import Endpoints, WaldurClient, verify_ssl

from reconciler.providers.http import (
    Access,
    EndlessError,
    Repeat,
    as_it_is,
    encryption_hint,
    reason,
    session,
    whole,
)
from reconciler.providers.waldur.errors import AbsentError, ChangedUnderwayError, WaldurError, answered

PAGE_SIZE = 300
_POLICY = (
    "uuid",
    "scope_uuid",
    "scope_name",
    "period",
    "period_name",
    "limit_type",
    "tres_billing_enabled",
    "tres_billing_weights",
    "carryover_enabled",
    "carryover_factor",
    "grace_ratio",
    "raw_usage_reset",
    "qos_strategy",
    "actions",
    "apply_to_all",
    "organization_groups",
    "component_limits_set",
)
_RETRIED = (429, 500, 502, 503, 504)


class _Repeat(Repeat):
    """What changes something may be sent again after 429 only: nothing was done then."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether to try again after this answer."""
        if status_code == 429 and self.total:
            return True
        return super().is_retry(method, status_code, has_retry_after)


class ReconcileClient(WaldurClient):  # type: ignore[misc]  # the base is untyped
    """:class:`waldur_client.WaldurClient` over one session. Counts its requests."""

    def __init__(
        self, api_url: str, token: str, *, access: Access | None = None, timeout: int = 60, retries: int = 4
    ) -> None:
        super().__init__(api_url, token, user_agent="waldur-reconcile")
        access = access or Access()
        #: seconds that this host's clock is ahead of the server's, as of the last answer; None: it told no time
        self.ahead: float | None = None
        self._veil = access.veil(token)
        self._access = access if verify_ssl else replace(access, verify=False)
        self.requests_made = 0
        self._absent: set[tuple[str, str]] = set()
        self._timeout = (min(10, timeout), timeout)
        # what changes nothing may be sent twice; a POST may not
        self._session = session(retries, ("GET", "HEAD"), _RETRIED, _Repeat)
        self._retries = retries

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        parameters: dict[str, Any] = {
            "headers": self.headers,
            "timeout": self._timeout,
            "allow_redirects": False,
            "stream": True,
            "auth": as_it_is,
            **self._access.options(url),
            **kwargs,
        }
        shown = self._veil.text(f"{method.upper()} {url}")
        # urllib3 retries until the headers are in; a connection lost within the body is retried here
        for attempt in range(self._retries + 1 if method in ("get", "head") else 1):
            self.requests_made += 1
            try:
                return self._answer(whole(self._session.request(method, url, **parameters), self._timeout[1]))
            except EndlessError as error:
                raise WaldurError(shown, 0, str(error)) from None
            except requests.exceptions.ChunkedEncodingError as error:
                if attempt == self._retries or method not in ("get", "head"):
                    raise WaldurError(shown, 0, self._veil.text(f"the answer was cut: {error}")) from None
            except (requests.exceptions.RequestException, HTTPError, UnicodeError) as error:
                hint = encryption_hint(error, "waldur_api_url")
                raise WaldurError(shown, 0, self._veil.text(f"no answer: {reason(error)}"), hint) from None
        raise WaldurError(shown, 0, "the answer was cut every time")

    def _answer(self, response: requests.Response) -> requests.Response:
        """An answer without our own secrets: what repeats them must not reach a message, a plan or the journal."""
        response._content = self._veil.body(response.content)
        with suppress(TypeError, ValueError):
            told = parsedate_to_datetime(response.headers.get("Date", ""))
            self.ahead = (datetime.now(UTC) - told).total_seconds()
        return response

    def _failed(self, request: str, response: requests.Response, what: str = "", hint: str = "") -> WaldurError:
        text = self._veil.text
        return answered(text(request), response.status_code, what + text(response.text), hint)

    def _make_request(
        self,
        method: str,
        url: str,
        valid_states: Iterable[int],
        retry_count: int = 1,
        prev_response_data: object = None,
        **kwargs: Any,
    ) -> Any:
        kwargs.pop("allow_redirects", None)
        response = self._send(method, url, **kwargs)
        if response.status_code not in valid_states:
            raise self._failed(f"{method.upper()} {response.url}", response)
        if method == "head":
            return response
        return self._json(response) if response.text else ""

    def _json(self, response: requests.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            request = f"{response.request.method} {response.url}"
            hint = "Is waldur_api_url the API and not the web front end?"
            raise self._failed(request, response, "not JSON: ", hint) from None

    def _get_all(self, url: str, **kwargs: Any) -> list[dict[str, Any]]:
        """All rows of a list. Raises :class:`ChangedUnderwayError` when rows and their announced number differ."""
        params: object = kwargs.pop("params", None)
        rows: list[dict[str, Any]] = []
        announced: int | None = None
        while True:
            response = self._send("get", url, params=params, **kwargs)
            request = self._veil.text(f"GET {response.url}")  # what a server linked to
            if response.status_code != 200:
                if response.status_code == 404 and rows:
                    raise ChangedUnderwayError(request, 404, "a page vanished while the list was read")
                raise self._failed(request, response)
            page = self._json(response)
            if not isinstance(page, list) or not all(isinstance(row, dict) for row in page):
                raise WaldurError(request, 200, f"expected a list of objects, found {self._veil.text(str(page))[:200]}")
            rows += page
            count = response.headers.get("X-Result-Count", "")
            if not count.isdigit():
                raise WaldurError(request, 200, "no X-Result-Count header, so nothing tells whether the list is whole")
            if announced is not None and announced != int(count):
                text = f"the list went from {announced} to {count} rows underway"
                raise ChangedUnderwayError(request, 200, text)
            announced = int(count)
            if len(rows) > announced:
                text = f"{announced} rows announced, and pages that go on after {len(rows)}"
                raise ChangedUnderwayError(request, 200, text)
            following = response.links.get("next", {}).get("url")
            if not following:
                break
            if not page:
                raise WaldurError(request, 200, "an empty page that links to a next one")
            # only the query is taken: behind a proxy the host in the link may be another
            params = parse_qsl(urlsplit(self._veil.text(following)).query, keep_blank_values=True)
        if announced is not None and announced != len(rows):
            raise ChangedUnderwayError(f"GET {url}", 200, f"{announced} rows announced, {len(rows)} received")
        uuids = [row["uuid"] for row in rows if "uuid" in row]
        if len(set(uuids)) != len(uuids):
            raise ChangedUnderwayError(f"GET {url}", 200, "one row came twice, so another may be missing")
        return rows

    # ---------------------------------------------------------- actions that the base lacks

    def action(
        self,
        endpoint: str,
        uuid: str,
        action: str,
        body: Mapping[str, object] | None = None,
        valid: Iterable[int] = (200,),
    ) -> Any:
        """POST an action of an object. One that the server does not know is asked for once, then known as absent."""
        if (endpoint, action) in self._absent:
            raise AbsentError(f"POST {endpoint}/…/{action}/")
        try:
            url = self._build_resource_url(endpoint, uuid, action)
            return self._post(url, valid_states=valid, json=None if body is None else dict(body))
        except WaldurError as error:
            # of a missing object Waldur says so in JSON; a missing action is a page of HTML
            if error.status == 404 and error.body.lstrip().startswith("<"):
                self._absent.add((endpoint, action))
                raise AbsentError(f"POST {endpoint}/…/{action}/") from None
            raise

    def ask_anew(self) -> None:
        """Ask again for actions that were absent: the server may be a newer one by now."""
        self._absent.clear()

    def one(self, endpoint: str, uuid: str, fields: Iterable[str]) -> dict[str, Any]:
        """One object, with just these keys."""
        url = self._build_resource_url(endpoint, uuid)
        found = self._get(url, valid_states=[200], params={"field": list(fields)})
        if not isinstance(found, dict):
            raise WaldurError(f"GET {url}", 200, f"expected an object, found {self._veil.text(str(found))[:200]}")
        return found

    # ---------------------------------------------------------- lists that the base lacks or cannot filter

    def rows(self, endpoint: str, filters: Mapping[str, object], fields: Iterable[str]) -> list[dict[str, Any]]:
        """All rows of a list endpoint, with just these keys."""
        query = {**filters, "field": list(fields), "page_size": PAGE_SIZE}
        return self._query_resource_list(endpoint, query)  # type: ignore[no-any-return]  # untyped base

    def service_provider_rows(
        self, service_provider_uuid: str, action: str, fields: Iterable[str]
    ) -> list[dict[str, Any]]:
        """All rows of a list below a service provider: ``project_permissions``, ``projects``."""
        endpoint = f"{Endpoints.MarketplaceServiceProviders}/{service_provider_uuid}/{action}"
        return self.rows(endpoint, {}, fields)

    def periodic_usage_policies(self, offering_uuid: str) -> list[dict[str, Any]]:
        """The periodic usage policies of an offering (at most one)."""
        return self.rows("marketplace-slurm-periodic-usage-policies", {"scope_uuid": offering_uuid}, _POLICY)
