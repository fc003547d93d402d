"""``backend_settings.moab`` of an offering: what becomes of money, and how its MOAB Accounting Manager is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.config.block import Section
from reconciler.state.names import name_problem

#: what a MAM is called that the configuration does not name: it has no name of its own
UNNAMED = "moab"
#: settings of the accounting manager, which all its offerings share
SHARED = ("period", "create_users", "create_organizations", "sentinel", "queue", "longest_job_days", "bin_path")


class MoabSettings(Section):
    """Funds of accounts, and the accounting manager behind them."""

    funds: Literal["exact", "raise_only", "on_create", "unmanaged"] = Field(
        default="exact",
        description="Whether a fund's allocated amount follows the limit both ways, up only, once, or not at all",
    )
    period: Literal["total", "month", "year"] = Field(
        default="total", description="How long money lasts: for good, or in a window of the calendar"
    )
    customer_accounts: bool = Field(default=False, description="Customers have accounts of their own above projects'")
    project_funds: bool = Field(default=False, description="Accounts of projects have an (empty) fund as well")
    create_users: bool = Field(default=True, description="People are made known to MAM before they become members")
    create_organizations: bool = Field(default=False, description="Organizations are made before accounts name them")
    sentinel: str = Field(
        default="", description="An account that is always there; who does not see it sees too little"
    )
    queue: Literal["auto", "showq", "qstat", "none"] = Field(
        default="auto", description="Which command shows jobs; none: nobody looks at jobs before something is removed"
    )
    longest_job_days: Annotated[int, Field(ge=1, le=3660)] = Field(
        default=31, description="Jobs that began so long before a month are still found in it"
    )
    bin_path: str | None = Field(default=None, description="The directory of the mam-* commands")

    @model_validator(mode="after")
    def _sound(self) -> MoabSettings:
        if self.funds == "on_create" and self.period != "total":
            raise ValueError("funds: on_create deposits once, so it cannot go with a period")
        if self.sentinel and (problem := name_problem(self.sentinel.lower())):
            raise ValueError(f"sentinel {self.sentinel!r} is no name of an account: {problem}")
        return self
