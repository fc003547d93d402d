"""The top-level ``reconcile:`` block: everything in the file that is ours, with safe defaults."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _as_decimal(value: object) -> object:
    # str() first, so that 0.1 means a tenth and not the nearest binary fraction
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


ExactNumber = Annotated[Decimal, BeforeValidator(_as_decimal)]
Factor = Annotated[ExactNumber, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


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
    max_deletions: Annotated[int, Field(ge=0)] = 5
    max_deletions_share: Share = 0.1
    max_updates_share: Share = 0.3
    updates_above: Annotated[int, Field(ge=0)] = 20
    protected: tuple[str, ...] = ("root",)
    delete_with_jobs: bool = False
    delete_with_children: bool = False
    delete_with_usage: bool = False


class Runner(Section):
    """How commands reach the cluster: locally, in a container, over ssh, with sudo."""

    container: str | None = None
    ssh_host: str | None = None
    sudo: bool = False
    timeout: Annotated[int, Field(gt=0)] = 120
    parallel: Annotated[int, Field(ge=1, le=32)] = 8
    slurm_bin_path: str | None = None
    emulator: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Runner:
        if self.container and self.ssh_host:
            raise ValueError("give container or ssh_host, not both")
        for name in ("container", "ssh_host"):
            value = getattr(self, name)
            if value and (value.startswith("-") or any(c.isspace() for c in value)):
                raise ValueError(f"{name} {value!r} would be read as an option or as two words")
        return self


class QosPolicy(Section):
    """A QoS that reconcile makes and keeps."""

    flags: tuple[str, ...] = ()


def _state_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/reconcile")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "reconcile"


def _share(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value is None or value == "parent" or whole or isinstance(value, dict | FairshareFrom):
        return value
    raise ValueError("must be a whole number from 1, parent, or a mapping with attribute, option or limit")


class ReconcileBlock(Section):
    """The top-level ``reconcile:`` block: everything that is ours."""

    state_dir: Path = Field(default_factory=_state_dir)
    prune: bool = False
    require_unix_user: bool = False
    on_member_removal: Literal["cancel_jobs", "drain"] = "cancel_jobs"
    on_terminate: Literal["cancel_jobs", "wait", "refuse"] = "cancel_jobs"
    empty_customers: Literal["remove", "keep"] = "remove"
    limits_owner: Literal["waldur", "cluster"] = "waldur"
    last_sync_hours: Annotated[int, Field(ge=0)] = 24
    extra_qos: Literal["keep", "remove"] = "keep"
    fairshare: Annotated[int | Literal["parent"] | FairshareFrom | None, BeforeValidator(_share)] = None
    qos: dict[str, QosPolicy] = Field(default_factory=dict)
    guards: Guards = Field(default_factory=Guards)
    runner: Runner = Field(default_factory=Runner)
    clusters: dict[str, Runner] = Field(default_factory=dict)
    http_timeout: Annotated[int, Field(gt=0)] = 60
    http_retries: Annotated[int, Field(ge=0, le=10)] = 4
