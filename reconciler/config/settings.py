"""``backend_settings`` of an offering: names of accounts, the cluster, homes, and where its usage is told."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from reconciler.config.dwdi import DwdiSettings
from reconciler.config.moab import MoabSettings
from reconciler.config.periodic import PeriodicSettings


def _umask(value: object) -> object:
    # a number means its digits: whoever writes 27 means a umask of 027
    text = str(value).zfill(4) if isinstance(value, int) and not isinstance(value, bool) else str(value)
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


#: why everybody is a member of a common account, in words
COMMON = "default_account_policy is common"


class SlurmSettings(DwdiSettings):
    """``backend_settings`` of an offering: its SLURM cluster, and where its usage is told."""

    UNUSED: ClassVar[frozenset[str]] = DwdiSettings.UNUSED | frozenset(
        [
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
    moab: MoabSettings = Field(default_factory=MoabSettings)
    periodic_limits: PeriodicSettings = Field(default_factory=PeriodicSettings)

    @property
    def home_mode(self) -> int:
        """The mode of new homes. Old files name a mode where a umask belongs, and mean it as one.

        The owner always has his home to himself: rwx for him, never w for everybody.
        """
        number = int(self.default_homedir_umask or self.homedir_umask or "0077", 8)
        return (number | 0o700 if number & 0o700 else 0o777 & ~number) & ~0o002

    @property
    def common_account(self) -> str:
        """The account that everybody is a member of and starts jobs in; empty where each has one of their own."""
        return self.default_account if self.default_account_policy == "common" else ""

    @property
    def leaves_defaults(self) -> bool:
        """Which account a user's jobs start in is the user's own choice."""
        return self.default_account_policy == "none"

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


#: what other modules call it; the schema keeps the name that it has
BackendSettings = SlurmSettings
