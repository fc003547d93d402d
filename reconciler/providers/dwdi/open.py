"""From an offering's settings to a source of usage."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from reconciler.config import Config, Offering
from reconciler.config.dwdi import REPORTING_BACKENDS, missing
from reconciler.errors import ConfigError
from reconciler.providers.dwdi.auth import OidcAuth
from reconciler.providers.dwdi.client import Client
from reconciler.providers.dwdi.compute import Compute, LegacyCompute
from reconciler.providers.dwdi.inference import Inference
from reconciler.providers.dwdi.service import Service
from reconciler.providers.dwdi.source import DwdiSource
from reconciler.providers.dwdi.storage import LegacyStorage, Storage
from reconciler.providers.dwdi.transport import Transport
from reconciler.providers.http import access_of

_PREFIX = "/api/v1"  # part of the address in the API of 2025; later it belongs to cscs_dwdi_api_url


def source(offering: Offering, config: Config, *, clock: Callable[[], float] = time.monotonic) -> DwdiSource:
    """The source that the offering's reporting backend names. Raises :class:`ConfigError`."""
    _complete(offering)
    settings = offering.backend_settings
    service, legacy = _service(offering)
    transport = Transport(
        timeout=config.reconcile.http_timeout,
        retries=config.reconcile.http_retries,
        access=access_of(offering, config, settings.socks_proxy.get_secret_value()),
    )
    auth = OidcAuth(
        transport,
        url=settings.cscs_dwdi_oidc_token_url,
        client_id=settings.cscs_dwdi_client_id,
        secret=settings.cscs_dwdi_client_secret,
        scope=settings.cscs_dwdi_oidc_scope or "openid",
        clock=clock,
    )
    base = settings.cscs_dwdi_api_url.rstrip("/")
    if legacy:
        base = base.removesuffix(_PREFIX) + _PREFIX
    return DwdiSource(service, Client(base, transport, auth), lambda: datetime.now(ZoneInfo(config.timezone)).date())


def _complete(offering: Offering) -> None:
    backend = offering.reporting
    where = f"offering {offering.name!r}"
    if backend not in REPORTING_BACKENDS:
        raise ConfigError(
            f"{where}: reporting_backend {backend!r} is none of DWDI's", f"DWDI's are {', '.join(REPORTING_BACKENDS)}."
        )
    settings = offering.backend_settings.model_dump()
    if needed := missing(backend, {k: getattr(v, "get_secret_value", lambda v=v: v)() for k, v in settings.items()}):
        raise ConfigError(f"{where}: {', '.join(f'backend_settings.{k}' for k in needed)}: missing, and required")
    proxy = offering.backend_settings.socks_proxy.get_secret_value().lower()
    if proxy.startswith("socks") and importlib.util.find_spec("socks") is None:
        raise ConfigError(
            f"{where}: backend_settings.socks_proxy needs the package PySocks, which is not installed",
            "Install the extra: pip install 'waldur-reconcile[dwdi]'.",
        )


def _service(offering: Offering) -> tuple[Service, bool]:
    """The kind of usage, and whether the API is the one of 2025: as configured, else as the backend's name says."""
    backend, flavour = offering.reporting, offering.backend_settings.cscs_dwdi_api_flavour
    legacy = (flavour or ("legacy" if backend == "cscs-dwdi" else "current")) == "legacy"
    if backend == "cscs-dwdi-inference":
        if legacy:
            raise ConfigError(
                f"offering {offering.name!r}: the legacy API has no inference",
                "Take cscs_dwdi_api_flavour: legacy out of backend_settings.",
            )
        return Inference(), False
    if backend == "cscs-dwdi-storage":
        return (LegacyStorage if legacy else Storage)(offering), legacy
    return (LegacyCompute if legacy else Compute)(offering), legacy
