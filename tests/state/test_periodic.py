"""How much may be used in a period: the portal's own worked examples, and what holds for all policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.config import Config, Offering
from reconciler.config.periodic import QosLevels
from reconciler.desired.periodic import terms_of
from reconciler.providers.base import Allocation, Past
from reconciler.providers.slurm import kinds
from reconciler.providers.slurm.account import provision
from reconciler.providers.slurm.periodic import Reckoned, Thresholds, level, reckoned
from reconciler.state.diff import diff
from reconciler.state.facts import Facts, Resource
from reconciler.state.model import Desired, Obj
from reconciler.state.periodic import MONTH, QUARTER, TOTAL, YEAR, Rules, Span, Terms, decay, percent, terms
from reconciler.state.units import UnitError
from reconciler.state.values import UNMANAGED, Refused

Amounts = Mapping[str, float]
NOVEMBER, FOURTH = Span.of(MONTH, date(2026, 11, 21)), Span.of(QUARTER, date(2026, 11, 21))
POLICY = Rules("policy", limit_type="GrpTRESMins")
HOUR = {"accounting_type": "limit", "unit_factor": 60, "measured_unit": "Hours"}


def offering(units: str = "portal", **components: Mapping[str, object]) -> Offering:
    return Offering(
        name="Cluster A",
        waldur_api_url="file:x.yaml",
        backend_type="slurm",
        backend_settings={"periodic_limits": {"units": units}},
        backend_components=components or dict.fromkeys(("cpu", "mem", "gpu"), HOUR),
    )


def amounts(**given_: object) -> dict[str, Fraction]:
    return {name: Fraction(str(value)) for name, value in given_.items()}


def of(rules: Rules, limits: Amounts, used: Mapping[str, Amounts], span: Span = NOVEMBER) -> Terms:
    months = {month: amounts(**row) for month, row in used.items()}
    return terms(rules, span, amounts(**limits), months)


# (rules, limits, use of the last period) → (fairshare, limits in minutes, threshold, grace), by the portal's calculator
EXAMPLES: dict[str, tuple[dict[str, Any], Amounts, Amounts, int, dict[str, int], int, int]] = {
    "700 of 1000": ({}, {"cpu": 1000}, {"cpu": 700}, 433, {"cpu": 93600, "billing": 1461}, 1218, 1462),
    "nothing": ({}, {"cpu": 1000}, {}, 500, {"cpu": 108000, "billing": 1687}, 1406, 1687),
    "more than all": ({}, {"cpu": 1000}, {"cpu": 1400.5}, 333, {"cpu": 72000, "billing": 1124}, 937, 1125),
    "odd grace": (
        {"grace": Fraction("0.15")}, {"cpu": 100}, {"cpu": 100}, 33, {"cpu": 6899, "billing": 106}, 93, 107,
    ),
    "no billing": (
        {"billing": False}, {"cpu": 1000, "mem": 4000}, {"cpu": 1000, "mem": 4000},
        1666, {"cpu": 72000, "mem": 288000}, 300000, 360000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_portals_worked_examples(name: str) -> None:
    changed, limits, used, share, minutes, threshold, grace = EXAMPLES[name]
    found = of(Rules("policy", limit_type="GrpTRESMins", **changed), limits, {"2026-10": used})
    assert found.fairshare == share
    given_ = reckoned(offering(), found)
    assert dict(given_.limits) == minutes
    unit = "node" if name == "no billing" else "billing"
    assert given_.thresholds == Thresholds(unit, threshold, grace)


def test_in_the_clusters_units_nothing_is_lost_to_binary_fractions() -> None:
    """100 x 60 x 1.15 is 6900, where the portal says 6899."""
    rules = Rules("policy", limit_type="GrpTRESMins", grace=Fraction("0.15"), carryover=False)
    assert reckoned(offering("cluster"), of(rules, {"cpu": 100}, {})).limits["cpu"] == 6900


def test_a_quarter_counts_its_three_months() -> None:
    used = {"2026-07": {"cpu": 100}, "2026-08": {"cpu": 250}, "2026-09": {"cpu": 350}, "2026-06": {"cpu": 999}}
    found = of(POLICY, {"cpu": 1000}, used, FOURTH)
    assert found.fairshare == 433 and dict(reckoned(offering(), found).limits) == {"cpu": 93600, "billing": 1461}


def test_what_has_no_limit_counts_in_percent_all_the_same() -> None:
    """The portal pauses a resource whose component without limit or weight was used."""
    found = of(POLICY, {"cpu": 100}, {"2026-10": {"cpu": 100}})
    assert round(percent(found, amounts(cpu=10, gpu=50))) == 3210
    assert reckoned(offering(), found).thresholds == Thresholds("billing", 93, 112)
    assert dict(reckoned(offering(), found).limits) == {"cpu": 7200, "billing": 111}


@pytest.mark.parametrize(
    ("kind", "name", "before", "start", "following"),
    [
        (MONTH, "2026-11", "2026-10", date(2026, 11, 1), "2026-12"),
        (QUARTER, "2026-Q4", "2026-Q3", date(2026, 10, 1), "2027-Q1"),
        (YEAR, "2026", "2025", date(2026, 1, 1), "2027"),
        (TOTAL, "total", "None", None, "None"),
    ],
)
def test_periods(kind: str, name: str, before: str, start: date | None, following: str) -> None:
    span = Span.of(kind, date(2026, 11, 21))
    assert (str(span), str(span.previous), span.start, str(span.following)) == (name, before, start, following)


def test_carryover_by_decay_as_older_releases_have_it() -> None:
    """A fully used 1000 of a quarter still carries 984: 2^(-90/15) of its use counts."""
    older = Rules("config", limit_type="GrpTRESMins", half_life=Fraction(15))
    found = of(older, {"cpu": 1000}, {"2026-07": {"cpu": 1000}}, FOURTH)
    assert found.balances["cpu"].total == 1000 + 1000 - Fraction(1000, 64)
    assert decay(Fraction(30), 30) == Fraction(1, 2)


def test_the_month_of_the_documents() -> None:
    """docs/periodic.md, "One month, from order to reset"."""
    rules, one = Rules("policy", limit_type="GrpTRESMins", weights={"cpu": Fraction(1)}), offering("cluster")
    month = {
        (1000, 0): (500, 108_000, 90_000),
        (1000, 700): (433, 93_600, 78_000),
        (2000, 700): (1000, 216_000, 180_000),
        (2000, 1560): (813, 175_680, 146_400),
    }
    for (bought, before), (share, limit, threshold) in month.items():
        found = of(rules, {"cpu": bought}, {"2026-10": {"cpu": before}})
        given_ = reckoned(one, found)
        assert given_.thresholds is not None
        assert (found.fairshare, given_.limits["cpu"], given_.limits["billing"]) == (share, limit, limit)
        assert given_.thresholds.slowdown == threshold


# ---------------------------------------------------------------------- in the cluster's units


def test_amounts_are_converted_as_all_other_limits_are() -> None:
    """gpu becomes gres/gpu, k-hours thousands of hours, GB-hours MB-minutes; billing is what SLURM would count."""
    one = offering(
        "cluster",
        cpu={**HOUR, "unit_factor": 60000, "measured_unit": "k-Hours"},
        mem={**HOUR, "unit_factor": 61440, "measured_unit": "GB-Hours"},
        gpu={**HOUR, "target_components": {"gres/gpu": {"factor": 60}}},
    )
    weights = {"cpu": Fraction(1), "mem": Fraction(1, 10), "gpu": Fraction(10)}
    rules = Rules("policy", limit_type="GrpTRESMins", weights=weights, grace=Fraction(0), carryover=False)
    found = reckoned(one, of(rules, {"cpu": 2, "mem": 100, "gpu": 5}, {}))
    assert dict(found.limits) == {
        "cpu": 120_000, "mem": 6_144_000, "gres/gpu": 300, "billing": 120_000 + 600 + 3000,
    }  # fmt: skip


def test_at_one_time_a_limit_is_what_uses_it_up_all_the_period_long() -> None:
    rules = Rules("policy", limit_type="GrpTRES", billing=False, carryover=False)
    assert dict(reckoned(offering("cluster"), of(rules, {"cpu": 7200}, {})).limits) == {"cpu": 12}
    with pytest.raises(UnitError, match="total"):
        reckoned(offering("cluster"), of(rules, {"cpu": 7200}, {}, Span.of(TOTAL, date(2026, 11, 1))))


def test_weights_that_fit_nothing_set_no_limit_of_nothing() -> None:
    rules = Rules("policy", limit_type="GrpTRESMins", weights={"node": Fraction(1)})
    found = reckoned(offering("cluster"), of(rules, {"cpu": 100}, {}))
    assert "billing" not in found.limits and found.thresholds is None and "billing weight" in found.notes[0]
    assert level("a", found, {"billing": 0}, "").rank is None, "so nobody knows how far it is"


def beyond(unit: str, grace: int | None) -> Reckoned:
    return Reckoned("grp_tres_mins", {}, Thresholds(unit, 100, grace))


@pytest.mark.parametrize(
    ("used", "grace", "rank"),
    [(99, 120, 0), (100, 120, 1), (119, 120, 1), (120, 120, 2), (10**9, None, 1)],
)
def test_levels_of_usage(used: int, grace: int | None, rank: int) -> None:
    assert level("a", beyond("billing", grace), {"billing": used}, "").rank == rank


def test_a_unit_that_is_not_counted_is_an_error_and_no_zero() -> None:
    found = level("a", beyond("node", 120), {"billing": 5}, "")
    assert found.error and found.rank is None and "'node'" in found.why
    assert level("a", beyond("node", 120), None, "slurmctld is down").rank is None


# ---------------------------------------------------------------------- what always holds

share = st.fractions(0, 1, max_denominator=100)
hours = st.fractions(0, 10**6, max_denominator=100)
policies = st.builds(
    Rules,
    source=st.just("policy"),
    limit_type=st.sampled_from(["GrpTRESMins", "MaxTRESMins"]),
    factor=share,
    grace=st.none() | share,
    billing=st.booleans(),
    half_life=st.none() | st.fractions(1, 100, max_denominator=10),
)
spans = st.builds(Span.of, st.sampled_from([MONTH, QUARTER, YEAR]), st.dates(date(2020, 1, 1), date(2030, 12, 31)))


def last(span: Span) -> Span:
    before = span.previous
    assert before is not None
    return before


@given(policies, spans, hours, hours, hours)
def test_more_use_before_never_raises_a_limit_and_carryover_keeps_below_its_cap(
    rules: Rules, span: Span, base: Fraction, used: Fraction, more: Fraction
) -> None:
    month = str(last(span).months[-1])
    one = terms(rules, span, {"cpu": base}, {month: {"cpu": used}})
    other = terms(rules, span, {"cpu": base}, {month: {"cpu": used + more}})
    assert one.balances["cpu"].carried <= one.balances["cpu"].cap <= base
    before, after = reckoned(offering(), one).limits, reckoned(offering(), other).limits
    assert all(after.get(tres, 0) <= limit for tres, limit in before.items())
    assert other.fairshare <= one.fairshare


@given(policies, spans, hours, st.lists(hours, min_size=1, max_size=6), st.data())
def test_how_use_is_spread_over_months_does_not_matter(
    rules: Rules, span: Span, base: Fraction, parts: list[Fraction], data: st.DataObject
) -> None:
    months = [str(m) for m in last(span).months]
    spread: dict[str, dict[str, Fraction]] = {}
    for part in parts:
        row = spread.setdefault(data.draw(st.sampled_from(months)), {})
        row["cpu"] = row.get("cpu", Fraction(0)) + part
    whole = {months[0]: {"cpu": sum(parts, Fraction(0))}}
    assert terms(rules, span, {"cpu": base}, spread) == terms(rules, span, {"cpu": base}, whole)


@given(policies, spans, hours, hours, st.integers(0, 400))
def test_any_two_moments_of_a_period_give_the_same(
    rules: Rules, span: Span, base: Fraction, used: Fraction, offset: int
) -> None:
    day = date.fromordinal(span.first.first.toordinal() + offset % span.days)
    again = Span.of(span.kind, day)
    usage = {str(last(span).months[0]): {"cpu": used}}
    assert again == span and terms(rules, again, {"cpu": base}, usage) == terms(rules, span, {"cpu": base}, usage)


# ---------------------------------------------------------------------- as fields of an account

numbers = st.dictionaries(st.sampled_from(["cpu", "mem", "gres/gpu", "billing", "node"]), st.integers(0, 10**6))
names = st.sampled_from(["normal", "slowdown", "paused", "other"])
present = st.fixed_dictionaries(
    {
        "fairshare": st.integers(1, 1000),
        "grp_tres_mins": numbers,
        "max_tres_mins": numbers,
        "grp_tres": numbers,
        "qos": st.frozensets(names, min_size=1),
        "default_qos": names | st.just(""),
        "usage_period": st.none() | st.sampled_from(["earlier", "2026-10", "2026-11"]),
    }
)


@given(
    policies,
    hours,
    hours,
    present,
    st.none() | st.integers(0, 10**9),
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.sampled_from(["max_tres_mins", "grp_tres"]), st.frozensets(st.sampled_from(["cpu", "mem"]))),
)
def test_a_second_apply_has_nothing_to_do(
    rules: Rules,
    base: Fraction,
    used: Fraction,
    there: Mapping[str, Any],
    counted: int | None,
    paused: bool,
    downscaled: bool,
    ours: Mapping[str, frozenset[str]],
) -> None:
    """From whatever an account has, one change makes it so, whatever counts and whichever flags are set."""
    about = offering("cluster", cpu=HOUR)
    levels = about.backend_settings.periodic_limits.model_copy(update={"qos_levels": QosLevels()})
    settings = about.backend_settings.model_copy(
        update={"periodic_limits": levels, "qos_paused": "paused", "qos_downscaled": "slowdown"}
    )
    resource = Resource("u", "one", "one", "OK", "a", "p", "c", limits={"cpu": float(base)})
    resource = replace(resource, paused=paused, downscaled=downscaled)
    counts = None if counted is None else {"billing": counted, "node": counted}
    found = provision(
        Allocation(
            about.model_copy(update={"backend_settings": settings}), resource, "a", "p",
            terms=of(rules, {"cpu": float(base)}, {"2026-10": {"cpu": float(used)}}),
            past=Past(limits=ours, counted=counts, unknown="" if counts else "down"),
        ),
        Config(offerings=(about,)),
    )  # fmt: skip
    address = kinds.account("a")
    wanted = Desired({address: Obj(found.values)})
    for present_ in (there, {"parent": "p"}):
        changes = diff(wanted, {address: Obj(present_)})
        after = next((c.after for c in changes if not c.blocked), None) or present_
        assert diff(wanted, {address: Obj(dict(after))}) == []


NOTHING = Past()


def given_to(type_: str, span: Span, past: Past = NOTHING) -> Mapping[str, Any]:
    """An account with a component of a policy, and one of which the configuration says how much there is."""
    about = offering("cluster", cpu=HOUR, mem={**HOUR, "accounting_type": "usage", "limit": 7, "unit_factor": 1})
    resource = Resource("u", "one", "one", "OK", "a", "p", "c", limits={"cpu": 7200})
    rules = Rules("policy", limit_type=type_, billing=False, carryover=False, grace=Fraction(0))
    allocation = Allocation(about, resource, "a", "p", terms=of(rules, {"cpu": 7200}, {}, span), past=past)
    return provision(allocation, Config(offerings=(about,))).values


def test_what_no_policy_concerns_stays_minutes_whatever_the_type() -> None:
    assert given_to("GrpTRESMins", NOVEMBER)["grp_tres_mins"] == {"cpu": 432000, "mem": 7}
    values = given_to("GrpTRES", NOVEMBER, Past(limits={"grp_tres_mins": frozenset({"cpu", "mem"})}))
    assert values["grp_tres"].target({}) == {"cpu": 10}
    assert values["grp_tres_mins"].target({"cpu": 432000, "mem": 7, "node": 1}) == {"mem": 7, "node": 1}


def test_a_limit_that_cannot_be_reckoned_frees_nobody_of_the_one_before() -> None:
    past = Past(limits={"grp_tres_mins": frozenset({"cpu"})})
    values = given_to("GrpTRES", Span.of(TOTAL, date(2026, 11, 1)), past)
    assert isinstance(values["grp_tres"], Refused) and "grp_tres_mins" not in values


def held(past: Past = NOTHING, *, unruled: str = "", limits: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The same account where its policy cannot be used, or it has no amounts to reckon with."""
    about = offering("cluster", cpu=HOUR, mem={**HOUR, "accounting_type": "usage", "limit": 7, "unit_factor": 1})
    resource = Resource("u", "one", "one", "OK", "a", "p", "c", limits=limits or {}, limits_unsure=bool(unruled))
    terms_ = None if unruled else of(Rules("policy", limit_type="GrpTRESMins"), {}, {})
    allocation = Allocation(about, resource, "a", "p", terms=terms_, unruled=unruled, past=past)
    return provision(allocation, Config(offerings=(about,))).values


def test_under_a_policy_that_cannot_be_used_nobody_is_without_a_limit() -> None:
    values = held(unruled="it is odd", limits={"cpu": 100})
    assert values["grp_tres_mins"].accepts({"cpu": 9000, "billing": 5}), "what is there holds on"
    assert values["grp_tres_mins"].target({}) == {"cpu": 6000, "mem": 7}, "a new account gets what was bought"
    other = held(Past(limits={"max_tres_mins": frozenset({"cpu"})}), unruled="it is odd", limits={"cpu": 100})
    assert other["grp_tres_mins"] is UNMANAGED and other["fairshare"] is UNMANAGED


def test_without_amounts_what_no_policy_concerns_goes_on() -> None:
    values = held()
    assert values["grp_tres_mins"].target({"cpu": 9000, "billing": 5}) == {"cpu": 9000, "billing": 5, "mem": 7}


def test_a_policy_on_an_offering_that_sells_no_limits_concerns_nothing() -> None:
    about = offering("cluster", mem={**HOUR, "accounting_type": "usage", "limit": 7})
    facts = Facts(rules=POLICY, span=NOVEMBER)
    assert terms_of(about, Resource("u", "one", "one", "OK", "a", "p", "c"), facts) is None
