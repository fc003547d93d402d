"""Models of the configuration file. Field names and meanings are waldur-site-agent's where they are its.

Keys that the agents know and this program does not use yet are listed in ``UNUSED``, so that they are told
apart from misspelt ones.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from reconciler.config import moab
from reconciler.config.backend import backends, cluster_backends
from reconciler.config.block import ExactNumber, Factor, ReconcileBlock, Runner, Section
from reconciler.config.dwdi import REPORTING_BACKENDS, Proxy
from reconciler.config.secrets import secrets_in
from reconciler.config.settings import BackendSettings
from reconciler.config.veil import Veil
from reconciler.state.names import fold

FILE_SCHEME = "file:"


class TargetComponent(Section):
    """One TRES that a Waldur component is turned into."""

    factor: Factor = Decimal(1)


class Component(Section):
    """A component of an offering, as the site accounts it."""

    UNUSED: ClassVar[frozenset[str]] = frozenset(
        [
            "min_prepaid_duration",
            "max_prepaid_duration",
            "prepaid_duration_step",
            "min_renewal_duration",
            "max_renewal_duration",
            "renewal_duration_step",
        ]
    )
    measured_unit: str = ""
    unit: str = Field(default="", description="Another spelling of measured_unit")
    label: str = ""
    accounting_type: Literal["limit", "usage", "one"] = "usage"
    unit_factor: Factor = Decimal(1)
    unit_factor_reporting: Factor | None = Field(default=None, description="Instead of unit_factor, for usage")
    limit: Annotated[ExactNumber, Field(ge=0)] | None = None
    target_components: dict[str, TargetComponent] = Field(default_factory=dict)
    description: str | None = None
    article_code: str | None = None
    limit_period: Literal["month", "quarterly", "annual", "total"] | None = None
    min_value: Annotated[ExactNumber, Field(ge=0)] | None = None
    max_value: Annotated[ExactNumber, Field(ge=0)] | None = None
    max_available_limit: Annotated[ExactNumber, Field(ge=0)] | None = None
    default_limit: Annotated[ExactNumber, Field(ge=0)] | None = None
    is_boolean: bool | None = None
    is_prepaid: bool | None = None

    @property
    def has_own_limit(self) -> bool:
        """Whether a resource's limit of it in Waldur can be told from the limit of one TRES."""
        return self.accounting_type == "limit" and not self.target_components

    @property
    def fixed(self) -> bool:
        """Whether the configuration says how much of it each resource has, as only usage is billed."""
        return self.accounting_type == "usage"

    def bought(self, name: str, limits: Mapping[str, object]) -> object:
        """How much of it a resource has, whose limits these are; None where nobody says."""
        return self.limit if self.fixed else limits.get(name)

    def place(self, name: str) -> str:
        """Where that stands, for whoever looks for it."""
        return f"backend_components.{name}.limit" if self.fixed else f"limits.{name}"

    def factors(self, name: str) -> dict[str, Decimal]:
        """The TRES that the component of this name is turned into, with the TRES-minutes of one of its units."""
        targets = {fold(tres): target.factor for tres, target in self.target_components.items()}
        return targets or {fold(name): self.unit_factor}

    def reported_factors(self, name: str) -> dict[str, Decimal]:
        """The same for what was used, where the site reports in another unit than it sets limits."""
        if self.unit_factor_reporting is None or self.target_components:
            return self.factors(name)
        return {fold(name): self.unit_factor_reporting}

    @property
    def waldur_unit(self) -> str:
        """The unit of amounts in Waldur."""
        return self.measured_unit or self.unit


class Offering(Section):
    """One Waldur offering and the cluster behind it."""

    UNUSED: ClassVar[frozenset[str]] = frozenset(
        [
            "mqtt_enabled",
            "stomp_enabled",
            "websocket_use_tls",
            "stomp_membership_sync_enabled",
            "stomp_ws_host",
            "stomp_ws_port",
            "stomp_ws_path",
            "oidc_token_url",
            "oidc_client_id",
            "oidc_client_secret",
            "resource_import_enabled",
            "username_reconciliation_enabled",
            "omit_anomalous_usage_components",
        ]
    )
    name: str = Field(min_length=1)
    waldur_api_url: str = Field(min_length=1)
    waldur_api_token: SecretStr = SecretStr("")
    waldur_offering_uuid: str = ""
    backend_type: str = ""
    order_processing_backend: str | None = None
    membership_sync_backend: str | None = None
    reporting_backend: str | None = None
    backend_settings: BackendSettings = Field(default_factory=BackendSettings)
    backend_components: dict[str, Component] = Field(default_factory=dict)
    username_management_backend: str = "base"
    verify_ssl: bool = True
    ca_bundle: Path | None = Field(default=None, description="Authorities to trust instead of the usual ones")

    @field_validator("ca_bundle", mode="before")
    @classmethod
    def _authorities(cls, value: object) -> object:
        if value in (None, ""):
            return None
        path = Path(str(value))
        if not path.is_absolute() or not path.exists():
            raise ValueError("must be the absolute path of a file of certificates (PEM), or of a hashed directory")
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(*((None, path) if path.is_dir() else (path,)))
        except OSError as error:
            reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise ValueError(f"cannot be used: {reason}") from None
        return path

    @field_validator("waldur_api_token")
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        # what is sent as a header; anything else would be quoted in an error of the HTTP library
        if not all("!" <= c <= "~" for c in value.get_secret_value()):
            raise ValueError("holds spaces or characters that no token has; is it the token alone, in one line?")
        return value

    @field_validator("username_management_backend", mode="before")
    @classmethod
    def _no_backend_is_base(cls, value: object) -> object:
        return "base" if value in (None, "") else value

    @field_validator("backend_type", "order_processing_backend", "membership_sync_backend", "reporting_backend")
    @classmethod
    def _known_backend(cls, value: str | None) -> str | None:
        if value and value.lower() not in backends():
            raise ValueError(f"unknown backend {value!r}; allowed: {', '.join(backends())}, or empty (off)")
        return value.lower() if value else value

    @field_validator("waldur_api_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://", FILE_SCHEME)):
            raise ValueError("must start with http:// or https:// (or file:, for a desired state in a file)")
        return value

    @field_validator("waldur_offering_uuid")
    @classmethod
    def _uuid(cls, value: str) -> str:
        if not value:
            return value
        try:
            return UUID(value).hex
        except ValueError:
            raise ValueError(f"{value!r} is no UUID") from None

    @model_validator(mode="after")
    def _on_one_cluster(self) -> Offering:
        kinds = {b for b in (self.order_backend, self.membership_backend, self.reporting) if b in cluster_backends()}
        if len(kinds) > 1:
            raise ValueError(f"an offering is on one cluster, but its backends are {', '.join(sorted(kinds))}")
        return self

    @property
    def key(self) -> str:
        """What the store knows it by: its uuid, or the name of one without."""
        return self.waldur_offering_uuid or self.name

    @property
    def from_file(self) -> bool:
        """The desired state comes from a YAML file instead of a portal."""
        return self.waldur_api_url.startswith(FILE_SCHEME)

    @property
    def api_url(self) -> str:
        """The API root with exactly one ``/api/``, however the file spells it."""
        url = self.waldur_api_url.rstrip("/")
        return f"{url.removesuffix('/api')}/api/"

    @property
    def order_backend(self) -> str:
        """Who owns accounts and their settings."""
        return self._backend(self.order_processing_backend)

    @property
    def membership_backend(self) -> str:
        """Who owns members."""
        return self._backend(self.membership_sync_backend)

    @property
    def reporting(self) -> str:
        """Who tells what was used."""
        return self._backend(self.reporting_backend)

    @property
    def reports(self) -> bool:
        """Whether its usage is reported from a source that is served."""
        return self.metered_there or self.reporting in REPORTING_BACKENDS

    def _backend(self, chosen: str | None) -> str:
        # files older than the three keys name one backend for everything; newer ones leave out what is off
        keys = (self.order_processing_backend, self.membership_sync_backend, self.reporting_backend)
        if all(key is None for key in keys):
            return self.backend_type
        return chosen or ""

    @property
    def owns_accounts(self) -> bool:
        """Whether its accounts and their settings are made here; else somebody else does."""
        return self.order_backend in cluster_backends()

    @property
    def owns_members(self) -> bool:
        """Whether members of its accounts are kept here."""
        return self.membership_backend in cluster_backends()

    @property
    def metered_there(self) -> bool:
        """Whether its cluster itself tells what was used."""
        return self.reporting in cluster_backends()

    @property
    def cluster_backend(self) -> str:
        """The kind of cluster that its accounts or members live on; empty where they live on none."""
        here = (self.order_backend, self.membership_backend)
        return next((word for word in here if word in cluster_backends()), "")

    @property
    def customer_level(self) -> bool:
        """Whether its projects' accounts hang below those of their customers."""
        settings = self.backend_settings
        return not settings.parent_account and (self.kind_of_cluster != "moab" or settings.moab.customer_accounts)

    @property
    def cluster_name(self) -> str:
        """What its cluster is called: as configured, or as its kind where that has no names; else the cluster tells."""
        unnamed = moab.UNNAMED if self.kind_of_cluster == "moab" else ""
        return fold(self.backend_settings.cluster_name or unnamed)

    @property
    def kind_of_cluster(self) -> str:
        """The same, or the kind of cluster that only tells what was used."""
        return self.cluster_backend or (self.reporting if self.metered_there else "")


class Config(Section):
    """The whole file."""

    UNUSED: ClassVar[frozenset[str]] = frozenset(
        [
            "sentry_dsn",
            "elastic_apm_server_url",
            "log_level",
            "expose_backend_error_details",
            "log_shipping",
            "event_processing",
            "observable_object_types",
        ]
    )
    timezone: str = "UTC"
    reporting_periods: Annotated[int, Field(ge=1, le=12)] = 2
    global_proxy: Proxy = SecretStr("")
    offerings: tuple[Offering, ...] = Field(min_length=1)
    reconcile: ReconcileBlock = Field(default_factory=ReconcileBlock)
    _path: Path = PrivateAttr(default=Path())
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _plain: tuple[str, ...] = PrivateAttr(default=())
    _secret_files: tuple[Path, ...] = PrivateAttr(default=())
    _secrets: tuple[str, ...] = PrivateAttr(default=())
    _veil: Veil | None = PrivateAttr(default=None)

    @field_validator("global_proxy", mode="before")
    @classmethod
    def _scheme(cls, value: object) -> object:
        return f"http://{value.strip()}" if isinstance(value, str) and value.strip() and "://" not in value else value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {value!r}; use a name like Europe/Tallinn or UTC") from None
        return value

    @model_validator(mode="after")
    def _coordinated(self) -> Config:
        named = self.reconcile.coordinators
        unknown = sorted(named.keys() - {o.name for o in self.offerings}) if isinstance(named, dict) else []
        if unknown:
            raise ValueError(f"reconcile.coordinators names no offering of this file: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _one_accounting_manager(self) -> Config:
        money = [o for o in self.offerings if o.kind_of_cluster == "moab"]
        for one in money:
            settings, first = one.backend_settings.moab, next(o for o in money if o.cluster_name == one.cluster_name)
            other = next(
                (k for k in moab.SHARED if getattr(settings, k) != getattr(first.backend_settings.moab, k)), ""
            )
            if other:
                raise ValueError(
                    f"offerings {first.name!r} and {one.name!r} are on one accounting manager, and differ in "
                    f"backend_settings.moab.{other}: give both the same, or each a cluster_name"
                )
            if settings.period != "total" and self.reconcile.limits_owner == "cluster":
                raise ValueError(
                    f"offering {one.name!r}: reconcile.limits_owner: cluster cannot go with "
                    "backend_settings.moab.period: the limit would be 0 whenever a period begins"
                )
        return self

    def runner_of(self, offering: Offering) -> Runner:
        """How commands reach the cluster of an offering."""
        settings = offering.backend_settings
        base = self.reconcile.clusters.get(settings.cluster_name or offering.cluster_name, self.reconcile.runner)
        if offering.kind_of_cluster == "moab":  # the runner's key is SLURM's directory
            return base.model_copy(update={"slurm_bin_path": settings.moab.bin_path})
        if settings.slurm_bin_path and not base.slurm_bin_path:
            return base.model_copy(update={"slurm_bin_path": settings.slurm_bin_path})
        return base

    @property
    def path(self) -> Path:
        """The file this was read from."""
        return self._path

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the file says that is accepted and should be known."""
        return self._warnings

    @property
    def plain_secrets(self) -> tuple[str, ...]:
        """Keys whose secrets stand in the file itself."""
        return self._plain

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """The files that other secrets were read from."""
        return self._secret_files

    @property
    def veil(self) -> Veil:
        """Takes every secret of the configuration out of everybody's words; one for all who talk to others."""
        if self._veil is None:
            self._veil = Veil(*secrets_in(self), *self._secrets)
        return self._veil

    @property
    def digest(self) -> str:
        """Identifies the settings a plan was made with. Secrets are masked before hashing."""
        return "sha256:" + hashlib.sha256(self.model_dump_json().encode()).hexdigest()
