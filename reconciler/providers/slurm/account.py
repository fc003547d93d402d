"""What an allocation's account is given: limits, fairshare, QoS, by amounts, flags and policies. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from reconciler.config import BackendSettings, Config
from reconciler.providers.base import Allocation, Allowance, Provision
from reconciler.providers.slurm import kinds, limits, periodic
from reconciler.providers.slurm.periodic import FIELDS, Level, Reckoned
from reconciler.state.names import fold
from reconciler.state.periodic import Terms
from reconciler.state.units import UnitError
from reconciler.state.values import (
    UNMANAGED,
    AtFirst,
    AtLeast,
    Constraint,
    Except,
    OneOf,
    Refused,
    Unless,
    Value,
    Wanted,
    Within,
    numbers_of,
)

# the largest share but one, which means the parent's
_LARGEST_SHARE = 2**31 - 2
MINUTES = FIELDS["GrpTRESMins"]


def provision(allocation: Allocation, config: Config) -> Provision:
    """Everything but its texts and where it hangs."""
    terms, resource = allocation.terms, allocation.resource
    if terms is not None and terms.balances and not resource.limits_unsure:
        return _periodic(allocation, terms, config)
    wanted, notes = limits.of_resource(allocation.offering, resource) if allocation.limited else (UNMANAGED, [])
    held = terms is not None or bool(allocation.unruled)
    if held and not isinstance(wanted, Refused):
        wanted = _held(allocation)
    values = {
        "grp_tres_mins": wanted,
        **({} if held or resource.limits_unsure else _cleared(allocation, MINUTES)),
        "fairshare": UNMANAGED if held else limits.fairshare(config.reconcile.fairshare, resource),
        **qos(allocation, config, level=_unknown(allocation, "its limits are not known")),
    }
    how = () if wanted is UNMANAGED else _arithmetic(allocation)
    return Provision(values, tuple(how), tuple(notes), squeezed=resource.paused or resource.downscaled)


def _held(allocation: Allocation) -> Wanted:
    """What a policy set holds on until it can be reckoned again; an account that has no limit yet is not left without.

    What no policy concerns goes on.
    """
    offering, ours = allocation.offering, {f: n for f, n in allocation.past.limits.items() if n and f != MINUTES}
    resource = replace(allocation.resource, limits_unsure=False)
    sold = [n for n, c in offering.backend_components.items() if c.accounting_type == "limit"]
    plain = limits.of_resource(offering, resource, without=() if allocation.unruled else sold)[0]
    whole = plain.wanted if isinstance(plain, Refused) else plain
    numbers = numbers_of(whole.wanted if isinstance(whole, Except) else whole)
    if allocation.unruled:
        return UNMANAGED if ours or not numbers else AtFirst(numbers)
    return Within(numbers, frozenset(numbers)) if numbers else UNMANAGED


def _periodic(allocation: Allocation, terms: Terms, config: Config) -> Provision:
    """Limits, fairshare and counters as a policy has them, which then owns them."""
    offering, resource, past = allocation.offering, allocation.resource, allocation.past
    plain, notes = limits.of_resource(offering, resource, without=terms.balances)
    limited, found = _limits(allocation, terms, plain)
    level = _unknown(allocation, "its limits cannot be reckoned")
    if level is not None and found is not None:
        level = periodic.level(allocation.account, found, past.counted, past.unknown)
    values: dict[str, Wanted] = {
        **limited,
        "fairshare": _share(terms.fairshare),
        **qos(allocation, config, level=level),
    }
    if terms.rules.reset and terms.span.months:
        values["usage_period"] = str(terms.span)
    if offering.backend_settings.periodic_limits.emulator_mode:  # all of that is somebody else's there
        values |= dict.fromkeys(kinds.EMULATED.by_name.keys() & values.keys(), UNMANAGED)
    notes += found.notes if found else ()
    if past.announced is not None and found is not None:
        with suppress(UnitError):  # what is too large in the portal's own units
            notes += filter(None, [periodic.disagreement(offering, terms, past.announced)])
    squeezed = resource.paused or resource.downscaled or bool(level and level.rank)
    how = [*_arithmetic(allocation), *([level.why] if level is not None and level.rank else [])]
    return Provision(values, tuple(how), tuple(f'resource "{resource.name}": {n}' for n in notes), squeezed)


def by_this_period(allocation: Allocation, config: Config, counted: Mapping[str, int]) -> dict[str, Wanted]:
    """QoS by what was used since the period began, where the counters are of the one before."""
    terms = allocation.terms
    if _unknown(allocation, "") is None or terms is None:
        return {}
    plain, _ = limits.of_resource(allocation.offering, allocation.resource, without=terms.balances)
    found = _limits(allocation, terms, plain)[1]
    if found is None:
        return {}
    return qos(allocation, config, level=periodic.level(allocation.account, found, counted, ""))


def _share(share: int) -> Wanted:
    if share <= _LARGEST_SHARE:
        return share
    return Refused(_LARGEST_SHARE, f"a share of {share} is more than SLURM can hold: sell in larger units")


def emulated(allocation: Allocation, terms: Terms) -> dict[str, Wanted]:
    """The same settings for an emulator: limits of the policy's type, fairshare, and the period."""
    plain, _ = limits.of_resource(allocation.offering, allocation.resource, without=terms.balances)
    field = FIELDS[terms.rules.limit_type]
    limited, found = _limits(allocation, terms, plain)
    wanted = limited.get(field, UNMANAGED)
    values: dict[str, Wanted] = {
        field: wanted if isinstance(wanted, Refused) or found is None else dict(found.limits),
        "fairshare": _share(terms.fairshare),
    }
    if terms.rules.reset and terms.span.months:
        values["usage_period"] = str(terms.span)
    return values


def _limits(allocation: Allocation, terms: Terms, plain: Wanted) -> tuple[dict[str, Wanted], Reckoned | None]:
    """The limit of the policy's type, what becomes of the other types, and the numbers behind.

    ``plain``: limits of components that no policy concerns, which are minutes whatever the type.
    """
    field, past = FIELDS[terms.rules.limit_type], allocation.past.limits
    if plain is UNMANAGED:
        return {}, None
    whole = plain.wanted if isinstance(plain, Refused) else plain
    numbers = numbers_of(whole.wanted if isinstance(whole, Except) else whole)
    try:
        found = periodic.reckoned(allocation.offering, terms, numbers if field == MINUTES else {})
    except UnitError as error:  # until that is mended, what another type set holds on
        return {field: Refused({}, str(error))}, None
    limited = dict(found.limits)
    wanted: Wanted = limited
    if field != MINUTES:  # of these an operator may have set some of their own
        wanted = Within(limited, frozenset(limited) | past.get(field, frozenset()))
    elif isinstance(whole, Except):
        wanted = Except(limited, whole.unmanaged - limited.keys())
    if isinstance(plain, Refused):
        return {field: Refused(limited, plain.why, final=plain.final)}, found
    values = {field: wanted, **_cleared(allocation, field)}
    if field != MINUTES and numbers:
        values[MINUTES] = Within(numbers, frozenset(numbers) | past.get(MINUTES, frozenset()))
    return values, found


def allowance(allocation: Allocation) -> Allowance | None:
    """What a policy gives it; None without one, or where it cannot be reckoned."""
    terms, past, offering = allocation.terms, allocation.past, allocation.offering
    if terms is None:
        return None
    plain, _ = limits.of_resource(offering, allocation.resource, without=terms.balances)
    found = _limits(allocation, terms, plain)[1]
    if found is None:
        return None
    unit = found.thresholds.unit if found.thresholds else ""
    return Allowance(
        terms.rules.limit_type,
        found.limits,
        {name: periodic.part(offering, terms, name) for name in terms.balances},
        unit,
        found.thresholds.slowdown if found.thresholds else None,
        found.thresholds.blocked if found.thresholds else None,
        None if past.counted is None else past.counted.get(unit, 0),
        past.unknown,
    )


def _cleared(allocation: Allocation, owner: str) -> dict[str, Wanted]:
    """What was set here before as a limit of another type goes, and nothing else of it."""
    ours = allocation.past.limits
    return {field: Within({}, ours[field]) for field in FIELDS.values() if field != owner and ours.get(field)}


def _arithmetic(allocation: Allocation) -> list[str]:
    offering, resource, terms = allocation.offering, allocation.resource, allocation.terms
    found: list[str] = []
    for term in limits.terms(offering, resource)[0] if not resource.limits_unsure else ():
        component = offering.backend_components[term.component]
        if terms is not None and term.component in terms.balances:
            found += periodic.arithmetic(offering, terms, component, term)
        else:
            found += limits.arithmetic(term)
    return found


# ---------------------------------------------------------------------- QoS


def _unknown(allocation: Allocation, why: str) -> Level | None:
    """Where QoS follow live usage, that it is not known; None where they do not."""
    ruled = allocation.terms is not None or allocation.unruled
    levels = ruled and allocation.offering.backend_settings.periodic_limits.qos_levels
    return Level(None, f"QoS left as it is: {why}") if levels else None


def qos(allocation: Allocation, config: Config, level: Level | None = None) -> dict[str, Wanted]:
    """QoS list and default QoS: the stricter of the portal's flags and of what live usage calls for.

    SLURM refuses a list that lacks the default in effect, so both are set.
    """
    settings, resource = allocation.offering.backend_settings, allocation.resource
    default, down, paused, slow, blocked = _names(settings, levels=level is not None)
    flag = 2 if resource.paused else 1 if resource.downscaled else 0
    by_flag = {2: paused, 1: down}.get(flag, default)
    if not by_flag:
        word = "paused" if resource.paused else "downscaled"
        why = f"the resource is {word}, but backend_settings.qos_{word} is not set"
        return {"qos": Refused(frozenset(), why)}
    if level is not None and level.error and flag < 2:
        return {"qos": Refused(frozenset({default}), level.why)}
    by_usage = {2: blocked, 1: slow}.get(level.rank or 0, default) if level else default
    rank = level.rank or 0 if level else 0
    strict = frozenset({down, paused, slow, blocked}) - {"", default}
    name = by_usage if rank > flag else by_flag
    keeps = config.reconcile.extra_qos == "keep" and not (flag or rank)
    wanted: dict[str, Wanted] = {"qos": frozenset({name}), "default_qos": name}
    if not (flag or rank):
        wanted["default_qos"] = Unless(default, frozenset(strict))
    if keeps:
        wanted["qos"] = AtLeast(frozenset({default}), strict)
    unsure = level is not None and level.rank is None and flag < 2
    return _or_stricter(wanted, strict | {name}) if unsure else wanted


def _or_stricter(wanted: Mapping[str, Wanted], strict: frozenset[str]) -> dict[str, Wanted]:
    """Nothing is loosened while nobody knows what was used; a flag of the portal's counts all the same."""
    sets: frozenset[Value] = frozenset(frozenset({name}) for name in strict)
    accepted: dict[str, frozenset[Value]] = {"qos": sets, "default_qos": frozenset(strict)}
    return {n: OneOf(v, accepted[n]) if isinstance(v, Constraint | str | frozenset) else v for n, v in wanted.items()}


def _names(settings: BackendSettings, *, levels: bool) -> tuple[str, str, str, str, str]:
    """The QoS of all well, of the portal's two flags, and of the two levels, folded; empty where there is none."""
    default, down, paused = settings.qos_default, settings.qos_downscaled, settings.qos_paused
    slow, blocked = down, paused
    named = settings.periodic_limits.qos_levels
    if levels and named is not None:
        default = named.default or default
        slow, blocked = named.slowdown or down or "slowdown", named.blocked or paused or "blocked"
        down, paused = down or slow, paused or blocked
    elif named is not None:  # what levels set before goes once nobody decides by them
        slow, blocked = named.slowdown or down, named.blocked or paused
    found = tuple(fold(name) if name else "" for name in (default, down, paused, slow, blocked))
    return found[0], found[1], found[2], found[3], found[4]
