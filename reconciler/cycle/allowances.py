"""What periodic policies give each account, how much of it is used, and when it will be, at the present rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from reconciler.config import Offering
from reconciler.cycle.world import Site, World
from reconciler.desired.periodic import terms_of
from reconciler.providers.base import Allocation, Allowance
from reconciler.state.facts import Facts
from reconciler.state.names import fold
from reconciler.state.periodic import Balance, Span, Terms, percent

#: how far ahead a date is told
_HORIZON = timedelta(days=3660)


@dataclass(frozen=True)
class Allotted:
    """One account in one period.

    ``used``: by component, as the portal knows it, in its units; ``counted``: in the unit of the thresholds, by the
    cluster's own counters where they are known, else by the portal's usage; ``threshold_on``, ``grace_on``: the day on
    which these are reached at the present rate, None where they are not in sight; ``percent``: how much is used as
    the portal reckons it, which decides about its flags.
    """

    offering: Offering
    allocation: Allocation
    terms: Terms
    allowance: Allowance
    used: Mapping[str, Fraction] = field(default_factory=dict)
    counted: int | None = None
    threshold_on: date | None = None
    grace_on: date | None = None

    @property
    def percent(self) -> Fraction | None:
        """As the portal's own evaluation; None where usage is not known."""
        return percent(self.terms, self.used) if self.used else None


@dataclass
class Allotments:
    """All accounts under a policy, and why others are left out."""

    rows: list[Allotted] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def allotted(
    site: Site, world: World, allocations: Iterable[Allocation], period: str = "", only: str = ""
) -> Allotments:
    """All accounts under a policy; ``period``: another one than today's. Raises :class:`ReadError`."""
    result = Allotments()
    found = result.rows
    asked: dict[str, tuple[Facts, Mapping[str, Mapping[str, Mapping[str, Fraction]]]] | None] = {}
    for allocation in allocations:
        offering, resource = allocation.offering, allocation.resource
        if allocation.terms is None or (only and not _is(allocation, only)):
            continue
        if offering.name not in asked:
            try:
                asked[offering.name] = _asked(site, world, offering, period)
            except ValueError as error:
                asked[offering.name] = None
                result.problems.append(f"offering {offering.name}: --period {error}")
        about = asked[offering.name]
        if about is None:
            continue
        facts, used = about
        terms = terms_of(offering, resource, facts)
        if terms is None:
            continue
        one = replace(allocation, terms=terms)
        allowance = site.backend.allowance(one)
        if allowance is None or not terms.balances:
            result.problems.append(f"account {allocation.account}: its limits cannot be reckoned; see `reconcile plan`")
            continue
        months = used.get(resource.uuid, {})
        # of no period with an end nobody lists the months; what has no limit counts in Waldur's percentage as well
        names = {n for month in months.values() for n in month} | terms.balances.keys() if terms.span.months else ()
        spent = {
            name: sum((months.get(str(m), {}).get(name, Fraction(0)) for m in terms.span.months), Fraction(0))
            for name in names
        }
        found.append(_projected(site, world, Allotted(offering, one, terms, allowance, spent)))
    return result


def _asked(
    site: Site, world: World, offering: Offering, period: str
) -> tuple[Facts, Mapping[str, Mapping[str, Mapping[str, Fraction]]]]:
    """An offering's facts for a period, and what was used in it. Raises ``ValueError`` for another kind of period."""
    facts, policies = world.facts[offering.name], site.portals[offering.name].policies
    if period and facts.span is not None:
        span = Span.parse(period, facts.span.kind)
        months = span.previous.months if span.previous is not None else ()
        before = policies.used(months).by if policies is not None and months else {}
        facts = replace(facts, span=span, used=before)
    months = facts.span.months if facts.span is not None else ()
    return facts, policies.used(months).by if policies is not None and months else {}


def _is(allocation: Allocation, name: str) -> bool:
    resource = allocation.resource
    return fold(name) in (allocation.account, resource.uuid, fold(resource.name))


def _projected(site: Site, world: World, one: Allotted) -> Allotted:
    """With what is used of its thresholds, and when they are reached."""
    counted = one.allowance.used
    start, end, today = one.terms.span.start, one.terms.span.following, world.today
    present = start is None or (start <= today and (end is None or today < end.first.first))
    if (counted is None or not present) and one.used:
        balances = {name: Balance(amount) for name, amount in one.used.items() if name in one.terms.balances}
        as_used = replace(one.allocation, terms=replace(one.terms, balances=balances))
        reckoned = site.backend.allowance(as_used)
        counted = (reckoned.threshold or 0) if reckoned is not None else 0
    if not present or start is None or counted is None:
        return replace(one, counted=counted)
    zone = ZoneInfo(world.config.timezone)
    elapsed = world.now - datetime(start.year, start.month, start.day, tzinfo=zone)
    last = (end.first.first if end is not None else date.max) - timedelta(days=1)
    reached = [_reached(counted, limit, elapsed, world.now, last) for limit in _limits(one.allowance)]
    return replace(one, counted=counted, threshold_on=reached[0], grace_on=reached[1])


def _limits(allowance: Allowance) -> tuple[int | None, int | None]:
    return allowance.threshold, allowance.grace


def _reached(used: int, limit: int | None, elapsed: timedelta, now: datetime, last: date) -> date | None:
    """The day on which something is used up; None beyond the period."""
    if limit is None:
        return None
    if used >= limit:
        return now.date()
    if not used or elapsed <= timedelta(0):
        return None
    left = elapsed * ((limit - used) / used)
    day = (now + left).date() if left < _HORIZON else date.max
    return day if day <= last else None
