"""The same usage as several places count it, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from zoneinfo import ZoneInfo

from reconciler.accounting import Accounting, Part, Progress
from reconciler.config import Component, Offering
from reconciler.errors import ReconcileError
from reconciler.providers.metered import Metered
from reconciler.providers.slurm import counters
from reconciler.providers.slurm.accounting import SacctSource
from reconciler.state import kinds
from reconciler.state.diff import values_of
from reconciler.state.facts import Facts
from reconciler.state.naming import fold
from reconciler.state.period import Period
from reconciler.state.usage import Amounts, count, rounded

WALDUR, SLURMCTLD = "Waldur", "slurmctld"
_CENT = Fraction(1, 100)


@dataclass(frozen=True)
class Comparison:
    """One component of one account over one span, as each source counts it (Waldur's units, two decimals)."""

    offering: str
    account: str
    resource: str
    component: str
    unit: str
    span: str
    amounts: Mapping[str, str]
    differs: bool


@dataclass(frozen=True)
class Verified:
    """All comparisons, what could not be compared and why, and what went wrong."""

    rows: tuple[Comparison, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def verify(
    accounting: Accounting, period: Period, tolerance: float, *, progress: Progress = lambda text: None
) -> Verified:
    """Compare a period's usage between its sources and the portal, and all of it with slurmctld's counters.

    ``tolerance``: the share of an amount by which two may differ. Raises :class:`ReadError`.
    """
    facts = accounting.facts(progress)
    part = accounting.part(facts, [period], progress=progress)
    share = Fraction(str(tolerance))
    problems = [str(e) for e in part.failures]
    notes: list[str] = []
    rows = _periods(accounting, part, period, share, problems)
    slurm = [o for o in accounting.offerings if _on_slurm(o) and o.name in facts]
    if slurm:
        progress(f"{accounting.label}: reading slurmctld's counters")
        try:
            rows += _counted(accounting, slurm, facts, share, notes)
        except ReconcileError as error:
            problems.append(str(error))
    return Verified(tuple(rows), tuple(dict.fromkeys(notes)), tuple(problems))


def _on_slurm(offering: Offering) -> bool:
    return offering.uses_slurm or offering.reporting == "slurm"


def _periods(
    accounting: Accounting, part: Part, period: Period, share: Fraction, problems: list[str]
) -> list[Comparison]:
    found = []
    for account in part.accounts:
        offering = account.offering
        beside: Mapping[str, Amounts] = {}
        if offering.uses_slurm and offering.reporting != "slurm":
            metered = [Metered(r, offering.backend_components) for r in account.facts.resources if r.backend_id]
            try:
                read = accounting.sacct(offering).read(period, metered)
                beside = {uuid: used.total for uuid, used in read.used.items()}
            except ReconcileError as error:
                problems.append(str(error))
        for resource in account.facts.resources:
            used = account.accounted.used.get(resource.uuid)
            if used is None:
                continue
            if used.incomplete:
                problems.append(f"account {resource.backend_id}, {period}: incomplete: {used.incomplete}")
            for name in offering.backend_components:
                amounts: dict[str, Fraction] = {}
                if name in used.total:
                    amounts[account.source] = used.total[name]
                if name in beside.get(resource.uuid, {}):
                    amounts[SacctSource.name] = beside[resource.uuid][name]
                held = account.told.get(kinds.usage(resource.uuid, str(period), name))
                amounts[WALDUR] = Fraction(str(values_of(held)["total"])) if held is not None else Fraction(0)
                found.append(
                    _comparison(offering, resource.backend_id, resource.name, name, str(period), amounts, share, _CENT)
                )
    return found


def _comparison(
    offering: Offering,
    account: str,
    resource: str,
    name: str,
    span: str,
    amounts: Mapping[str, Fraction],
    share: Fraction,
    slack: Fraction,
) -> Comparison:
    low, high = min(amounts.values()), max(amounts.values())
    return Comparison(
        offering.name,
        account,
        resource,
        name,
        offering.backend_components[name].waldur_unit,
        span,
        {source: rounded(amount) for source, amount in amounts.items()},
        high - low > max(high * share, slack),
    )


def _counted(
    accounting: Accounting,
    offerings: Sequence[Offering],
    facts: Mapping[str, Facts],
    share: Fraction,
    notes: list[str],
) -> list[Comparison]:
    today = accounting.clock().astimezone(ZoneInfo(accounting.config.timezone)).date()
    counted = counters.read(accounting.runner, today)
    if counted.since is None:
        notes.append(counted.why_not)
        return []
    since: date = counted.since
    span = "all time" if since == counters.ALL_TIME else f"since {since}"
    found = []
    for offering in offerings:
        resources = [r for r in facts[offering.name].resources if r.backend_id]
        metered = [Metered(r, offering.backend_components) for r in resources]
        if not metered:
            continue
        used = accounting.sacct(offering).since(since, today, metered).used
        for resource in resources:
            name = fold(resource.backend_id)
            minutes, allocated = counted.minutes.get(name), counted.allocated.get(name, {})
            if minutes is None:
                notes.append(f"slurmctld has no account {name!r}")
                continue
            for component, settings in offering.backend_components.items():
                if len(settings.reported_factors(component)) > 1:
                    notes.append(f"component {component!r} of several TRES: slurmctld counts each of them alone")
                    continue
                amounts = {
                    SacctSource.name: used[resource.uuid].total[component],
                    SLURMCTLD: _units(minutes, settings, component),
                }
                # the last minute is not full, and what runs is added up every few minutes only
                late = {t: 1 + n * counted.period for t, n in {**dict.fromkeys(minutes, 0), **allocated}.items()}
                slack = max(_units(late, settings, component), _CENT)
                found.append(
                    _comparison(offering, resource.backend_id, resource.name, component, span, amounts, share, slack)
                )
    return found


def _units(minutes: Mapping[str, int], component: Component, name: str) -> Fraction:
    """TRES-minutes of the component's only TRES in Waldur's units; of a generic resource, of all its types."""
    (tres, factor) = next(iter(component.reported_factors(name).items()))
    known = {t: Fraction(n) for t, n in minutes.items()}
    return count(known, tres) / Fraction(factor)
