"""``backend_settings.periodic_limits`` of an offering: how much may be used in a period, and what follows beyond it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from reconciler.config.block import ExactNumber, Section

LIMIT_TYPES = ("GrpTRESMins", "MaxTRESMins", "GrpTRES")


def limit_type(value: object) -> object:
    """SLURM takes its own words in any case, and so do the agents."""
    return next((t for t in LIMIT_TYPES if isinstance(value, str) and t.lower() == value.strip().lower()), value)


LimitType = Annotated[Literal["GrpTRESMins", "MaxTRESMins", "GrpTRES"], BeforeValidator(limit_type)]
Ratio = Annotated[ExactNumber, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[ExactNumber, Field(ge=0, allow_inf_nan=False)]


class QosLevels(Section):
    """QoS by how much of the period's allocation is used: all well, beyond it, beyond the grace as well.

    What is left out is the QoS of the portal's own flags: ``qos_default``, ``qos_downscaled``, ``qos_paused``.
    """

    default: str | None = None
    slowdown: str | None = None
    blocked: str | None = None


class PeriodicSettings(Section):
    """Periodic limits. Where the portal has a policy for the offering, that says all that it can say."""

    enabled: bool | None = Field(
        default=None,
        description="false: never; true: also without a policy in Waldur; left out: as Waldur has a policy",
    )
    emulator_mode: bool = Field(default=False, description="Settings go to a SLURM emulator, not to the cluster")
    emulator_base_url: str = Field(default="http://localhost:8080", pattern="^https?://")
    limit_type: LimitType = "GrpTRESMins"
    tres_billing_enabled: bool = True
    billing_weights: dict[str, Weight] = Field(default_factory=dict)
    tres_billing_weights: dict[str, Weight] = Field(default_factory=dict, description="Beside billing_weights")
    qos_levels: QosLevels | None = Field(default=None, description="The engine itself decides about QoS by live usage")
    fairshare_decay_half_life: Annotated[ExactNumber, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Days in which use of the last period counts half: carryover as before Waldur 8"
    )
    raw_usage_reset: bool = True
    default_grace_ratio: Ratio | None = Decimal("0.2")
    default_carryover_enabled: bool = True
    carryover_factor: Annotated[ExactNumber, Field(ge=0, le=100)] = Field(
        default=Decimal(50), description="Percent of the limit that may be carried over"
    )
    period: Literal["month", "quarterly", "annual", "total"] = Field(
        default="month", description="Where components have no limit_period of their own"
    )
    units: Literal["cluster", "portal"] = Field(
        default="cluster", description="portal: amounts are hours and components TRES, as Waldur itself computes"
    )

    @property
    def weights(self) -> dict[str, Decimal]:
        """Billing weights under either name."""
        return {**self.billing_weights, **self.tres_billing_weights}
