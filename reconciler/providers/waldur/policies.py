"""Policies of an offering: how much may be used in a period, what was used, and what was done about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction

from reconciler.errors import ReadError, RulesError
from reconciler.providers.waldur.errors import AbsentError, WaldurError, answered
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.rows import CommandRow, PolicyRow, UsageRow, undashed
from reconciler.providers.waldur.usages import USAGES
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.periodic import MONTH, QUARTER, TOTAL, YEAR, Announced, Rules, Spent

POLICIES = "marketplace-slurm-periodic-usage-policies"
#: Waldur's PolicyPeriod
_PERIODS = {1: TOTAL, 2: MONTH, 3: QUARTER, 4: YEAR}
_LIMIT_TYPES = ("GrpTRESMins", "MaxTRESMins", "GrpTRES")


class Policies:
    """Policies that bound what may be used."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def rules(self) -> Rules | None:
        """The offering's periodic usage policy; None where it has none or the server knows no policies.

        Raises :class:`WaldurDeniedError` where this token may not know, :class:`RulesError` for one that is unusable.
        """
        try:
            rows = self.lists.client.periodic_usage_policies(self.lists.uuid)
        except WaldurError as error:
            if error.status == 404:
                return None
            if error.status == 403:
                raise answered(f"GET {POLICIES}", 403, error.body) from None
            raise
        mine = [r for r in rows if undashed(r.get("scope_uuid")) == self.lists.uuid]
        if not mine:
            return None
        if len(mine) > 1:
            listed = ", ".join(sorted(str(r.get("uuid")) for r in mine))
            raise RulesError(
                f"GET {POLICIES}: the offering has several policies ({listed}): nobody knows which one rules"
            )
        try:
            row = self.lists.parsed(POLICIES, PolicyRow, mine[0])
        except ReadError as error:
            raise RulesError(error.message) from None
        return _rules(row)

    def used(self, months: Sequence[Period]) -> Spent:
        """What resources used, by resource, month and component: one list, all of one year.

        A server that ignores the filter sends more months, and no fewer. A bad row spoils only its resource.
        """
        by = {"billing_period": str(months[0].first)} if len(months) == 1 else {"billing_period_year": months[0].year}
        found: dict[str, dict[str, dict[str, Fraction]]] = defaultdict(lambda: defaultdict(dict))
        bad: dict[str, str] = {}
        for raw in self.lists.checked(USAGES, by, UsageRow):
            try:
                row = self.lists.parsed(USAGES, UsageRow, raw)
                amount = Fraction(row.usage)
            except (ReadError, ValueError, OverflowError) as error:
                owner = undashed(raw.get("resource_uuid"))
                if not isinstance(owner, str) or not owner:
                    raise
                bad[owner] = str(error)
                continue
            month = found[row.resource_uuid][str(Period(row.billing_period.year, row.billing_period.month))]
            month[row.type] = month.get(row.type, Fraction(0)) + amount
        return Spent(found, bad)

    def announced(self, policy: str, since: date) -> Mapping[str, Announced]:
        """What the portal itself told agents of accounts since a day: its last hundred commands, oldest first."""
        url = self.lists.client._build_resource_url(POLICIES, policy, "command-history")
        rows = self.lists.client._get(url, valid_states=[200])
        found: dict[str, Announced] = {}
        known = [r for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []
        for raw in sorted(known, key=lambda r: str(r.get("executed_at"))):
            row = self.lists.parsed(f"{POLICIES}/…/command-history", CommandRow, raw)
            if row.executed_at is None or row.executed_at < since:
                continue
            account, about = fold(str(row.parameters.get("account"))), found
            share, limits = row.parameters.get("fairshare"), row.parameters.get("limits")
            before = about.get(account, Announced(row.executed_at))
            if row.command_type == "fairshare" and isinstance(share, int):
                about[account] = replace(before, day=row.executed_at, fairshare=share)
            elif row.command_type == "limits" and isinstance(limits, dict):
                whole = {str(k): n for k, n in limits.items() if isinstance(n, int)}
                about[account] = replace(before, day=row.executed_at, limits=whole)
        return found

    def report(self, policy: str, resource: str, commands: Sequence[str], error: str) -> None:
        """Tell what was run. Raises :class:`WaldurError`; of a server that takes none, that it is gone."""
        body = {
            "resource_uuid": resource,
            "success": not error,
            "error_message": error,
            "mode": "production",
            "commands_executed": list(commands),
        }
        try:
            self.lists.client.action(POLICIES, policy, "report-command-result", body)
        except AbsentError as absent:
            raise answered(f"POST {POLICIES}/…/report-command-result/", 404, absent.message) from None


def _rules(row: PolicyRow) -> Rules:
    about = f"periodic usage policy {row.uuid}"
    kind = next((t for t in _LIMIT_TYPES if t.lower() == row.limit_type.lower()), None)
    if kind is None:
        raise RulesError(f"{about}: limit_type {row.limit_type!r} is none of {', '.join(_LIMIT_TYPES)}")
    if row.period not in _PERIODS:
        raise RulesError(f"{about}: period {row.period} is none of {', '.join(map(str, _PERIODS))}")
    weights = {name: Fraction(value) for name, value in (row.tres_billing_weights or {}).items()}
    if wrong := sorted(name for name, value in weights.items() if value < 0):
        raise RulesError(f"{about}: the billing weight of {', '.join(wrong)} is less than nothing")
    if not row.apply_to_all:
        raise RulesError(
            f"{about}: it concerns some organization groups alone, and who is in them cannot be told",
            "Set apply_to_all in Waldur, or backend_settings.periodic_limits.enabled: false here.",
        )
    return Rules(
        f"policy {row.uuid}",
        row.uuid,
        _PERIODS[row.period],
        row.carryover_enabled,
        Fraction(row.carryover_factor) / 100,
        None,
        None if row.grace_ratio is None else Fraction(row.grace_ratio),
        row.tres_billing_enabled,
        weights,
        kind,
        row.raw_usage_reset,
    )
