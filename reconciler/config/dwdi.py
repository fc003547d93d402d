"""``backend_settings`` of offerings whose usage comes from DWDI, the usage warehouse of CSCS."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from reconciler.config.block import Section

REPORTING_BACKENDS = ("cscs-dwdi", "cscs-dwdi-compute", "cscs-dwdi-storage", "cscs-dwdi-inference")
PROXIES = ("socks5://", "socks5h://", "http://", "https://")
#: keys whose values may hold credentials, so that no message quotes them
PRIVATE = frozenset({"cscs_dwdi_api_url", "cscs_dwdi_oidc_token_url", "socks_proxy"})
_NEEDED = ("cscs_dwdi_api_url", "cscs_dwdi_client_id", "cscs_dwdi_client_secret", "cscs_dwdi_oidc_token_url")
_NEEDED_FOR_STORAGE = ("storage_filesystem", "storage_data_type")


def _blank(value: object) -> object:
    return "" if value is None else value


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else _blank(value)


def _paths(value: object) -> object:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value or {}


def _proxy(value: object) -> object:
    text = _stripped(value)
    if isinstance(text, str) and text:
        scheme = re.match(r"[a-z0-9]*", text.lower())
        if scheme and scheme[0] in ("socks", "socks4", "socks4a"):
            raise ValueError(f"{scheme[0]} proxies are not supported; use socks5:// (or socks5h://)")
        if not text.lower().startswith(PROXIES):
            raise ValueError(f"must start with {', '.join(PROXIES[:-1])} or {PROXIES[-1]}")
        try:
            whole = bool(parse_url(text).host)
        except (LocationParseError, ValueError):
            whole = False
        if not whole:
            raise ValueError(
                "must be like http://proxy.example.org:3128; special characters of a password are encoded, @ as %40"
            )
    return text


Text = Annotated[str, BeforeValidator(_stripped)]
Secret = Annotated[SecretStr, BeforeValidator(_blank)]
Proxy = Annotated[SecretStr, BeforeValidator(_proxy)]  # an address with a password in it is a secret


class DwdiSettings(Section):
    """The keys of the cscs-dwdi plugins."""

    UNUSED: ClassVar[frozenset[str]] = frozenset({"storage_tenant"})
    cscs_dwdi_api_url: Text = ""
    cscs_dwdi_client_id: Text = ""
    cscs_dwdi_client_secret: Secret = SecretStr("")
    cscs_dwdi_oidc_token_url: Text = ""
    cscs_dwdi_oidc_scope: Text = Field(default="openid", description="Empty means openid")
    cscs_dwdi_cluster: Text = Field(default="", description="For resources without offering_backend_id")
    cscs_dwdi_api_flavour: Literal["legacy", "current"] | None = None
    storage_filesystem: Text = ""
    storage_data_type: Text = ""
    storage_path_mapping: Annotated[dict[str, Text], BeforeValidator(_paths)] = Field(default_factory=dict)
    socks_proxy: Proxy = SecretStr("")

    @field_validator("cscs_dwdi_api_url", "cscs_dwdi_oidc_token_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.lower().startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value


def missing(backend: str, settings: dict[str, Any]) -> list[str]:
    """Keys of ``backend_settings`` that this reporting backend cannot do without and that are not given."""
    if backend not in REPORTING_BACKENDS:
        return []
    needed = _NEEDED + (_NEEDED_FOR_STORAGE if backend == "cscs-dwdi-storage" else ())
    return [key for key in needed if not settings.get(key)]
