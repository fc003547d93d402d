"""Models of the configuration file. Field names and meanings are waldur-site-agent's where they are its.

Keys that the agents know and this program does not use yet are listed in ``UNUSED``, so that they are told
apart from misspelt ones.
"""

from __future__ import annotations

import hashlib
import ssl
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
)

from reconciler.config.block import ExactNumber, Factor, ReconcileBlock, Section
from reconciler.config.dwdi import REPORTING_BACKENDS, DwdiSettings, Proxy
from reconciler.state.naming import fold

BACKENDS = ("slurm", "moab", "custom", *REPORTING_BACKENDS)
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


def _umask(value: object) -> object:
    text = f"{value:04o}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not text or not set(text) <= set("01234567") or int(text, 8) > 0o777:
        raise ValueError('must be an octal umask from 0000 to 0777, quoted, for example "0077"')
    return text


Umask = Annotated[str, BeforeValidator(_umask)]


def _directory(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value or None
    parts = value.rstrip("/").split("/")
    if not value.startswith("/") or not value.isprintable() or not all(parts[1:]) or {".", ".."} & set(parts):
        raise ValueError("must be the absolute path of a directory, for example /home")
    return value.rstrip("/") or value


Directory = Annotated[str | None, BeforeValidator(_directory)]


class SlurmSettings(DwdiSettings):
    """``backend_settings`` of an offering: its SLURM cluster, and where its usage is told."""

    UNUSED: ClassVar[frozenset[str]] = DwdiSettings.UNUSED | frozenset(
        [
            "periodic_limits",
            "default_partition",
            "enforce_offering_partitions",
            "qos_management",
            "qos_enforcement_enabled",
            "enforce_offering_qos",
            "check_backend_id_uniqueness",
            "check_all_offerings",
            "backend_id_max_retries",
            "homedir_quota",
            "project_directory",
            "ldap",
            "execution_mode",
            "rest_api",
            "cpu_unit_factor",
            "mem_unit_factor",
            "gpu_unit_factor",
        ]
    )
    default_account: str = "root"
    customer_prefix: str | None = None
    project_prefix: str | None = None
    allocation_prefix: str | None = None
    account_prefix: str | None = None
    root_account: str | None = None
    parent_account: str | None = None
    default_account_policy: Literal["individual", "common", "none"] = "individual"
    qos_default: str = "normal"
    qos_downscaled: str | None = None
    qos_paused: str | None = None
    cluster_name: str | None = None
    slurm_bin_path: str | None = None
    soft_delete: bool = False
    legacy_account_names: bool = Field(
        default=False,
        description="Accounts of projects and customers that waldur-slurm-agent named by uuid stay recognised",
    )
    enable_user_homedir_account_creation: bool = True
    homedir_umask: Umask | None = None
    default_homedir_umask: Umask | None = None
    homedir_base_path: Directory = None

    @property
    def home_mode(self) -> int:
        """The mode of new homes. Old files name a mode where a umask belongs, and mean it as one.

        The owner always has his home to himself: rwx for him, never w for everybody.
        """
        number = int(self.default_homedir_umask or self.homedir_umask or "0077", 8)
        return (number | 0o700 if number & 0o700 else 0o777 & ~number) & ~0o002

    @property
    def hierarchy_root(self) -> str:
        """The account below which customers (or, in flat mode, projects) hang."""
        return self.parent_account or self.root_account or self.default_account or "root"

    @property
    def prefixes(self) -> tuple[str, str, str]:
        """Prefixes of customer, project and allocation accounts."""
        base = self.account_prefix or ""
        return (
            base if self.customer_prefix is None else self.customer_prefix,
            base if self.project_prefix is None else self.project_prefix,
            base if self.allocation_prefix is None else self.allocation_prefix,
        )


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
    backend_settings: SlurmSettings = Field(default_factory=SlurmSettings)
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
        if value and value.lower() not in BACKENDS:
            raise ValueError(f"unknown backend {value!r}; allowed: {', '.join(BACKENDS)}, or empty (off)")
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
        return self.reporting in ("slurm", *REPORTING_BACKENDS)

    def _backend(self, chosen: str | None) -> str:
        # files older than the three keys name one backend for everything; newer ones leave out what is off
        keys = (self.order_processing_backend, self.membership_sync_backend, self.reporting_backend)
        if all(key is None for key in keys):
            return self.backend_type
        return chosen or ""

    @property
    def uses_slurm(self) -> bool:
        """Whether accounts or members of this offering live on a SLURM cluster."""
        return "slurm" in (self.order_backend, self.membership_backend)


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
    def digest(self) -> str:
        """Identifies the settings a plan was made with. Secrets are masked before hashing."""
        return "sha256:" + hashlib.sha256(self.model_dump_json().encode()).hexdigest()
