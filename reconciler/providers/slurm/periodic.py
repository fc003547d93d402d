"""A periodic policy in SLURM's terms: limits, billing, and the QoS that live usage calls for. Pure.

Sources: resource_limits.html, tres.html (TRESBillingWeights), Waldur's periodic usage policy. Where Waldur's own
numbers differ, docs/periodic.md says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from reconciler.config import Component, Offering
from reconciler.providers.slurm.counters import Forgetting
from reconciler.providers.slurm.limits import Term
from reconciler.state.names import fold
from reconciler.state.periodic import MINUTES, MONTH, QUARTER, YEAR, Announced, Balance, Terms, graced, shown, weight
from reconciler.state.units import LARGEST, UnitError

#: which field a limit type means
FIELDS = {"GrpTRESMins": "grp_tres_mins", "MaxTRESMins": "max_tres_mins", "GrpTRES": "grp_tres"}
BILLING, NODE = "billing", "node"
#: TRESBillingWeights of memory are per GB, and SLURM counts MB
_PER_WEIGHT = {"mem": 1024}
_DAY = 24 * MINUTES
# the portal's binary fractions, cut off twice
_ROUNDING = 2


@dataclass(frozen=True)
class Thresholds:
    """Minutes of a TRES from which an account is slowed down, and blocked; None: never."""

    unit: str
    slowdown: int
    blocked: int | None


@dataclass(frozen=True)
class Reckoned:
    """What SLURM is to be given: a limit by TRES in ``field``, thresholds, and what should be known."""

    field: str
    limits: Mapping[str, int]
    thresholds: Thresholds | None
    notes: tuple[str, ...] = ()


def reckoned(offering: Offering, terms: Terms, plain: Mapping[str, int] | None = None) -> Reckoned:
    """The limits of an account. ``plain``: those of components that no policy concerns.

    Raises :class:`UnitError` for what SLURM cannot hold, or a limit type that the period has no sense for.
    """
    rules = terms.rules
    notes: list[str] = []
    limits = dict(plain or {})
    minutes: dict[str, int] = {}
    for name, balance in terms.balances.items():
        for tres, amount in _minutes(offering, name, balance).items():
            minutes[tres] = minutes.get(tres, 0) + _whole(amount, offering, terms)
    billing = _billing(offering, terms) if rules.billing else None
    if billing is not None:
        minutes[BILLING] = _whole(billing, offering, terms)
    elif rules.billing and terms.balances:
        names = ", ".join(rules.weights) or "CPU, Mem, GRES/gpu"
        notes.append(f"no billing weight ({names}) is named like a component or its TRES: no limit of billing is set")
    for tres, number in minutes.items():
        limits[tres] = limits.get(tres, 0) + graced(number, rules, binary=as_portal(offering))
    if wrong := next((t for t, n in limits.items() if n > LARGEST), None):
        raise UnitError(f"larger than SLURM can hold: {wrong}={limits[wrong]}")
    return Reckoned(FIELDS[rules.limit_type], limits, _thresholds(offering, terms, billing), tuple(notes))


def _minutes(offering: Offering, name: str, balance: Balance) -> dict[str, Fraction]:
    """TRES-minutes of a component's total, by TRES."""
    return {tres: balance.total * Fraction(factor) for tres, factor in factors(offering, name).items()}


def part(offering: Offering, terms: Terms, name: str) -> dict[str, int]:
    """What a component brings of the limits, without grace."""
    minutes = _minutes(offering, name, terms.balances[name])
    return {tres: _whole(amount, offering, terms) for tres, amount in minutes.items()}


def as_portal(offering: Offering) -> bool:
    """Whether the portal's own numbers are wanted."""
    return offering.backend_settings.periodic_limits.units == "portal"


def factors(offering: Offering, name: str) -> Mapping[str, Decimal]:
    """TRES-minutes of one unit of a component, by TRES; as the portal sees it an hour of a TRES of its name."""
    if as_portal(offering):
        return {name: Decimal(MINUTES)}
    return offering.backend_components[name].factors(name)


def _whole(minutes: Fraction, offering: Offering, terms: Terms) -> int:
    """Whole minutes; of a limit of what is used at one time, how many of it all the period long use that up."""
    if terms.rules.limit_type != "GrpTRES" or as_portal(offering):
        return int(minutes)
    if not terms.span.days:
        raise UnitError("limit_type GrpTRES needs a period with an end, and this policy's is total")
    return ceil(minutes / (terms.span.days * _DAY))


def _billing(offering: Offering, terms: Terms) -> Fraction | None:
    """Billing-minutes of all totals; None where no weight is named like any of them."""
    parts = [_billed(offering, terms, name, balance) for name, balance in terms.balances.items()]
    found = [part for part in parts if part is not None]
    return sum(found, Fraction(0)) if found else None


def _billed(offering: Offering, terms: Terms, name: str, balance: Balance) -> Fraction | None:
    per_unit = factors(offering, name)
    own = weight(terms.rules, [name])
    if as_portal(offering) or (own is not None and len(per_unit) > 1):
        return None if own is None else balance.total * MINUTES * own
    found = None
    for tres, factor in per_unit.items():
        each = own if own is not None else weight(terms.rules, [tres])
        if each is not None:
            part = balance.total * Fraction(factor) / _PER_WEIGHT.get(tres, 1) * each
            found = part if found is None else found + part
    return found


def _thresholds(offering: Offering, terms: Terms, billing: Fraction | None) -> Thresholds | None:
    rules = terms.rules
    if rules.billing:
        whole, unit = billing, BILLING
    else:
        whole, unit = sum((_noded(offering, n, b) for n, b in terms.balances.items()), Fraction(0)), NODE
    if whole is None:
        return None
    blocked = None if rules.grace is None else graced(whole, rules, binary=as_portal(offering))
    return Thresholds(unit, int(whole), blocked)


def disagreement(offering: Offering, terms: Terms, announced: Announced) -> str:
    """Where the portal itself came to other numbers, by more than rounding: both, and the likely reason; or nothing."""
    settings = offering.backend_settings
    about = settings.periodic_limits.model_copy(update={"units": "portal"})
    there = offering.model_copy(update={"backend_settings": settings.model_copy(update={"periodic_limits": about})})
    ours: dict[str, int] = dict(reckoned(there, terms).limits)
    told = dict(announced.limits)
    if announced.fairshare is not None:
        ours["fairshare"], told["fairshare"] = terms.fairshare, announced.fairshare
    other = {n: value for n, value in told.items() if abs(value - ours.get(n, 0)) > _ROUNDING}
    if not other:
        return ""
    words = ", ".join(f"{n} {value} (here {ours.get(n, 'nothing')})" for n, value in sorted(other.items()))
    lacking = [n for n in other if n not in ours and n not in (BILLING, "fairshare")]
    if lacking:
        why = f"backend_components of the configuration lack {', '.join(lacking)}, or sell it otherwise"
    elif terms.rules.carryover and terms.span.previous is not None:
        why = f"the limit, or the usage of {terms.span.previous}, changed since, or components differ"
    else:
        why = "the limit changed since, or components differ"
    return f"Waldur itself reckoned {words} on {announced.day}, in its own units: {why}"


def _noded(offering: Offering, name: str, balance: Balance) -> Fraction:
    """What a component adds to a threshold without weights: node-minutes, or else minutes of its only TRES."""
    per_unit = factors(offering, name)
    if NODE in per_unit or len(per_unit) != 1:
        return balance.total * Fraction(per_unit.get(NODE, Decimal(MINUTES)))
    ((tres, factor),) = per_unit.items()
    return balance.total * Fraction(factor) / (1 if as_portal(offering) else _PER_WEIGHT.get(tres, 1))


# ---------------------------------------------------------------------- the QoS that live usage calls for


@dataclass(frozen=True)
class Level:
    """How far an account is: 0 all well, 1 beyond what it may use, 2 beyond the grace; None: nobody can tell."""

    rank: int | None
    why: str
    error: bool = False


def level(account: str, found: Reckoned, counted: Mapping[str, int] | None, unknown: str) -> Level:
    """By the counters of an account; one that slurmctld has not heard of yet has used nothing."""
    thresholds = found.thresholds
    if thresholds is None:
        return Level(None, "QoS left as it is, since no weight fits what is bought")
    if counted is None:
        return Level(None, f"QoS left as it is, since live usage is unknown: {unknown}")
    if counted and thresholds.unit not in counted:
        return Level(None, f"slurmctld does not count {thresholds.unit!r} for account {account!r}", error=True)
    used = counted.get(thresholds.unit, 0)
    rank = 0 if used < thresholds.slowdown else 1
    if thresholds.blocked is not None and used >= thresholds.blocked:
        rank = 2
    beyond = {0: "below", 1: "at or beyond", 2: "beyond the grace of"}[rank]
    return Level(rank, f"{used} {thresholds.unit}-minutes used, {beyond} {thresholds.slowdown}")


# ---------------------------------------------------------------------- in words


def arithmetic(offering: Offering, terms: Terms, component: Component, term: Term) -> list[str]:
    """How a component's limit comes about."""
    balance, rules = terms.balances[term.component], terms.rules
    amount = f"{number(balance.base)} {component.waldur_unit} ({term.place})"
    if balance.carried:
        amount += f" + {number(balance.carried)} carried over"
    times = f" x (1 + {number(rules.grace)})" if rules.grace else ""
    during = f" / {terms.span.days} days" if rules.limit_type == "GrpTRES" else ""
    return [
        f"{fold(tres)} = {amount} x {number(Fraction(factor))}{times}{during}"
        for tres, factor in factors(offering, term.component).items()
    ]


def number(amount: Fraction | None) -> str:
    """A fraction as people read it, with at most six decimals."""
    return shown(amount or Fraction(0))


def forgotten(kind: str, limit_type: str, by_itself: Forgetting, *, reset: bool) -> list[str]:
    """What follows where SLURM forgets usage by itself, or where nothing ever does although limits are of a period.

    ``kind`` of period; ``reset``: usage is reset with each of them.
    """
    if by_itself.kind and by_itself.kind != "priority/multifactor":
        return [f"slurmctld keeps no usage (PriorityType={by_itself.kind}), so no limit of {limit_type} holds"]
    found = []
    if by_itself.half_life:
        found.append(
            f"usage decays (PriorityDecayHalfLife={by_itself.half_life}), so more than the limit of a period can be "
            "used in it: set it to 0"
        )
    own = {MONTH: "MONTHLY", QUARTER: "QUARTERLY", YEAR: "YEARLY"}.get(kind, "")
    if by_itself.period and by_itself.period != own:
        found.append(
            f"slurmctld itself resets usage {by_itself.period} (PriorityUsageResetPeriod), and limits are for a "
            f"period of kind {kind}"
        )
    if own and not (reset or by_itself.period or by_itself.half_life):
        found.append(
            f"limits are for a period of kind {kind} and nothing ever resets usage (raw_usage_reset is off, "
            "PriorityUsageResetPeriod=NONE): once a limit is reached no job of its account runs again"
        )
    return found
