"""The same usage as several places count it, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from zoneinfo import ZoneInfo

from reconciler.config import Offering
from reconciler.cycle.part import Part, Sources
from reconciler.cycle.usage import Accounting
from reconciler.cycle.world import Progress
from reconciler.errors import ReconcileError
from reconciler.providers.usage import Counter, Metered
from reconciler.state import waldur
from reconciler.state.diff import values_of
from reconciler.state.facts import Facts
from reconciler.state.period import Period
from reconciler.state.usage import Amounts, rounded
from reconciler.store.names import scope_name

WALDUR = "Waldur"
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
    silent: str = ""  # why nothing is compared, although something answered


def verify(
    accounting: Accounting, period: Period, tolerance: float, *, progress: Progress = lambda text: None
) -> Verified:
    """Compare a period's usage between its sources and the portal, and all of it with what the cluster counts beside.

    ``tolerance``: the share of an amount by which two may differ. Raises :class:`ReadError`.
    """
    told, sources = accounting.facts(progress), accounting.sources()
    part = accounting.part(told, [period], sources=sources, progress=progress)
    facts = told.facts
    share = Fraction(str(tolerance))
    problems = [str(e) for e in part.failures]
    notes: list[str] = []
    rows = _periods(sources, part, period, share, problems)
    try:
        rows += _counted(accounting, sources, facts, share, notes, progress)
    except ReconcileError as error:
        problems.append(str(error))
    return Verified(tuple(rows), tuple(dict.fromkeys(notes)), tuple(problems), part.silent)


def _periods(sources: Sources, part: Part, period: Period, share: Fraction, problems: list[str]) -> list[Comparison]:
    found = []
    for account in part.accounts:
        offering = account.offering
        beside: Mapping[str, Amounts] = {}
        cluster = ""  # who tells them
        if offering.cluster_backend and not offering.metered_there:
            metered = [Metered(r, offering.backend_components) for r in account.facts.resources if r.backend_id]
            try:
                own = sources.of_cluster(offering)
                read = own.read(period, metered)
                cluster = own.name
                beside = {uuid: used.total for uuid, used in read.used.items()}
            except ReconcileError as error:
                problems.append(str(error))
        for resource in account.facts.resources:
            used = account.accounted.used.get(resource.uuid)
            if used is None or account.accounted.silent:
                continue
            if used.incomplete:
                problems.append(f"account {resource.backend_id}, {period}: incomplete: {used.incomplete}")
            for name in offering.backend_components:
                amounts: dict[str, Fraction] = {}
                if name in used.total:
                    amounts[account.source] = used.total[name]
                if name in beside.get(resource.uuid, {}):
                    amounts[cluster] = beside[resource.uuid][name]
                held = account.told.get(waldur.usage(resource.uuid, str(period), name))
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
    sources: Sources,
    facts: Mapping[str, Facts],
    share: Fraction,
    notes: list[str],
    progress: Progress,
) -> list[Comparison]:
    """What clusters count beside their accounting. Raises :class:`ReconcileError`; notes until then are kept."""
    today = accounting.clock().astimezone(ZoneInfo(accounting.config.timezone)).date()
    counters: dict[int, Counter | None] = {}
    found = []
    for offering in (o for o in accounting.offerings if o.kind_of_cluster and o.name in facts):
        source = sources.of_cluster(offering)
        if id(source) not in counters:
            counters[id(source)] = made = source.counter()
            if made is not None:
                progress(f"{scope_name(accounting.label)}: reading {made.name}'s counters")
        counter = counters[id(source)]
        if counter is None:
            continue
        metered = [Metered(r, offering.backend_components) for r in facts[offering.name].resources if r.backend_id]
        counted = counter.counted(today, metered)
        notes += counted.notes
        for row in counted.rows:
            account, slack = row.resource.backend_id, max(row.slack, _CENT)
            found.append(
                _comparison(
                    offering, account, row.resource.name, row.component, counted.span, row.amounts, share, slack
                )
            )
    return found
