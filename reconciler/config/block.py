"""The top-level ``reconcile:`` block: everything in the file that is ours, with safe defaults."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from reconciler.config.pattern import parse


def _as_decimal(value: object) -> object:
    # str() first, so that 0.1 means a tenth and not the nearest binary fraction
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


ExactNumber = Annotated[Decimal, BeforeValidator(_as_decimal)]
Factor = Annotated[ExactNumber, Field(gt=0, allow_inf_nan=False)]


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number from 0 to 1")
    return value


Share = Annotated[float, BeforeValidator(_no_switch), Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the file. Unknown keys are judged by the loader, which knows their lines."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)
    UNUSED: ClassVar[frozenset[str]] = frozenset()


class FairshareFrom(Section):
    """Fairshare read from a key of the Waldur resource, times a factor."""

    attribute: str | None = None
    option: str | None = None
    limit: str | None = None
    factor: Factor = Decimal(1)

    @model_validator(mode="after")
    def _one(self) -> FairshareFrom:
        if sum(v is not None for v in (self.attribute, self.option, self.limit)) != 1:
            raise ValueError("give exactly one of attribute, option, limit")
        return self


class Guards(Section):
    """What a plan may never do unasked. Each refusal names its key here and its flag of ``apply``."""

    allow_empty_portal: bool = False
    min_resources_share: Share = 0.7
    min_read_share: Share = 0.7
    prune_grace: Annotated[int, Field(ge=0)] = 7  # days
    prevent_downgrade: bool = False
    limit_cuts: Share = 0.9
    late_reset: Share = 0.05  # of what an account may use in the period
    max_deletions: Annotated[int, Field(ge=0)] = 5
    max_deletions_share: Share = 0.1
    max_updates_share: Share = 0.3
    updates_above: Annotated[int, Field(ge=0)] = 20
    protected: tuple[str, ...] = ("root",)
    delete_with_jobs: bool = False
    delete_with_children: bool = False
    delete_with_usage: bool = False
    allow_decrease: bool = False
    max_deposit: Annotated[ExactNumber, Field(ge=0)] | None = None  # in one run
    max_deposit_share: Annotated[ExactNumber, Field(gt=0)] | None = None  # of all that is allocated
    retry_money: bool = False
    rollback_money: bool = False


#: the key for the directory of a cluster's own programs, below ``runner`` as below ``backend_settings``
DIRECTORY_KEY = "slurm_bin_path"


class Runner(Section):
    """How commands reach the cluster: locally, in a container, over ssh, with sudo."""

    container: str | None = None
    ssh_host: str | None = None
    sudo: bool = False
    timeout: Annotated[int, Field(gt=0)] = 120
    parallel: Annotated[int, Field(ge=1, le=32)] = 8
    slurm_bin_path: str | None = None
    emulator: bool = False
    pass_environment: tuple[str, ...] = ()  # variables that commands of the cluster get beside the usual ones

    @model_validator(mode="after")
    def _one_way(self) -> Runner:
        if self.container and self.ssh_host:
            raise ValueError("give container or ssh_host, not both")
        for name in ("container", "ssh_host"):
            value = getattr(self, name)
            if value and (value.startswith("-") or any(c.isspace() for c in value)):
                raise ValueError(f"{name} {value!r} would be read as an option or as two words")
        return self

    @property
    def directory(self) -> str:
        """Where the cluster's own programs lie; empty where they are found as usual."""
        return self.slurm_bin_path or ""

    @property
    def way(self) -> str:
        """How commands get from this host to the cluster, in words to tell ways apart by."""
        return f"{self.ssh_host or self.container or ''} {self.directory}"


class QosPolicy(Section):
    """A QoS that reconcile makes and keeps."""

    flags: tuple[str, ...] = ()


def _pattern(value: object) -> object:
    if isinstance(value, dict):  # what YAML makes of an unquoted {last_name}
        raise ValueError('must be in quotes, like "{first_initial}{last_name}"')
    if isinstance(value, str):
        parse(value)
    return value


NamePattern = Annotated[str, BeforeValidator(_pattern)]


class Usernames(Section):
    """How user names are made. ``options`` are for backends of other packages, all else is the generator's."""

    pattern: NamePattern = "{first_initial}{last_name}"
    fallbacks: tuple[NamePattern, ...] = ("{last_name}", "{first_name}", "{email_name}")
    prefix: str = ""
    min_length: Annotated[int, Field(ge=1, le=32)] = 2
    max_length: Annotated[int, Field(ge=1, le=32)] = 32  # useradd refuses more
    count_from: Annotated[int, Field(ge=0, le=9999)] = 2
    reserved: tuple[str, ...] = ()
    options: dict[str, object] = Field(default_factory=dict)

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not re.fullmatch(r"[a-z][a-z0-9_-]*", value):
            raise ValueError(f"{value!r} must begin with a letter and hold nothing but a-z 0-9 _ -")
        return value

    @model_validator(mode="after")
    def _room(self) -> Usernames:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is more than max_length {self.max_length}")
        if len(self.prefix) >= self.max_length:
            raise ValueError(f"prefix {self.prefix!r} leaves no room in max_length {self.max_length}")
        return self


#: where the state is without reconcile.state_dir: root's place, and a user's, below home
SYSTEM_STATE = Path("/var/lib/reconcile")
USER_STATE = Path(".local/state/reconcile")


def _of_systemd() -> Path | None:
    """What StateDirectory= of a unit names; of several the first."""
    named = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(named) if named.startswith("/") else None


def _of_user() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")
    return Path(base) / "reconcile" if base.startswith("/") else Path("~").expanduser() / USER_STATE


def _state_dir() -> Path:
    return _of_systemd() or (SYSTEM_STATE if os.geteuid() == 0 else _of_user())


def usual_state_dirs() -> tuple[Path, ...]:
    """All places that another run on this host may use, as far as this process knows."""
    named = _of_systemd()
    return (*((named,) if named else ()), SYSTEM_STATE, _of_user())


class Maintenance(Section):
    """A time in which nothing is applied: it begins by cron (minute hour day month weekday) and lasts some minutes."""

    cron: str
    minutes: Annotated[int, Field(gt=0, le=60 * 24 * 31)]
    timezone: str | None = None
    reason: str = ""

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        try:
            CronSim(value, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"{value!r} is no cron expression ({error}); like 0 22 * * 5") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        try:
            return value if value is None or ZoneInfo(value) else None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {value!r}") from None


def _member_share(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value in (None, "parent", "keep") or whole:
        return value
    raise ValueError("must be a whole number from 1, parent, or keep")


def _coordinators(value: object) -> object:
    if value in ("orphans", "managed") or isinstance(value, dict):
        return value
    raise ValueError("must be orphans, managed, or a mapping of offerings to roles, like {Cluster A: [manager]}")


def _share(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value is None or value == "parent" or whole or isinstance(value, dict | FairshareFrom):
        return value
    raise ValueError("must be a whole number from 1, parent, or a mapping with attribute, option or limit")


class ReconcileBlock(Section):
    """The top-level ``reconcile:`` block: everything that is ours."""

    state_dir: Path = Field(default_factory=_state_dir)
    store: SecretStr | None = None  # a postgresql:// URL, which may hold a password
    maintenance: tuple[Maintenance, ...] = ()
    history_days: Annotated[int, Field(ge=1)] = 90
    prune: bool = False
    require_unix_user: bool = False
    on_member_removal: Literal["cancel_jobs", "drain"] = "cancel_jobs"
    on_terminate: Literal["cancel_jobs", "wait", "refuse"] = "cancel_jobs"
    empty_customers: Literal["remove", "keep"] = "remove"
    limits_owner: Literal["waldur", "cluster"] = "waldur"
    last_sync_hours: Annotated[int, Field(ge=0)] = 24
    usage_minutes: Annotated[int, Field(ge=0)] = 30
    extra_qos: Literal["keep", "remove"] = "keep"
    fairshare: Annotated[int | Literal["parent"] | FairshareFrom | None, BeforeValidator(_share)] = None
    member_fairshare: Annotated[int | Literal["parent", "keep"] | None, BeforeValidator(_member_share)] = None
    coordinators: Annotated[
        Literal["orphans", "managed"] | dict[str, tuple[str, ...]], BeforeValidator(_coordinators)
    ] = "orphans"
    qos: dict[str, QosPolicy] = Field(default_factory=dict)
    guards: Guards = Field(default_factory=Guards)
    runner: Runner = Field(default_factory=Runner)
    clusters: dict[str, Runner] = Field(default_factory=dict)
    usernames: Usernames = Field(default_factory=Usernames)
    http_timeout: Annotated[int, Field(gt=0)] = 60
    http_retries: Annotated[int, Field(ge=0, le=10)] = 4

    @field_validator("store")
    @classmethod
    def _url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        try:
            parts = urlsplit(value.get_secret_value())
            whole = parts.scheme.partition("+")[0] == "postgresql" and (parts.port or 1) > 0
            # the rest of a password would count as host or database
            whole = whole and value.get_secret_value().partition("?")[0].count("@") < 2
        except ValueError:
            whole = False
        if not whole:
            raise ValueError("must be like postgresql://user:password@host:5432/database, special characters as %40")
        return value
