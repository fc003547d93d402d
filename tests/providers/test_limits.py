"""Amounts become limits in one place, and what diagnose says of it is what is set."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.config import Offering
from reconciler.providers.slurm import limits
from reconciler.providers.slurm.backend import Slurm
from reconciler.state.facts import Resource
from reconciler.state.values import UNMANAGED, Except, Refused

NAMES = ("cpu", "mem", "gpu")
COMPONENT = st.fixed_dictionaries(
    {
        "accounting_type": st.sampled_from(("limit", "one", "usage")),
        "measured_unit": st.just("h"),
        "label": st.just("L"),
        "unit_factor": st.sampled_from((1, 60, 0.5)),
        "limit": st.sampled_from((0, 10, 7)),
    },
    optional={"target_components": st.just({"cpu": {"factor": 60}, "gres/gpu": {"factor": 2}})},
)


def offering(components: dict[str, Any]) -> Offering:
    return Offering.model_validate(
        {
            "name": "O",
            "waldur_api_url": "https://waldur.invalid/api/",
            "backend_type": "slurm",
            "backend_components": components,
        }
    )


@given(
    st.dictionaries(st.sampled_from(NAMES), COMPONENT, min_size=1),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from((0, 3, "2.5", "nonsense", None))),
    st.integers(0, 700),
)
def test_the_sentences_add_up_to_what_is_set(components: dict[str, Any], amounts: dict[str, Any], days: int) -> None:
    """Also for what is paid for in advance, by months: a limit and its explanation come from the same terms."""
    one = offering(components)
    end = date.fromordinal(date(2026, 1, 15).toordinal() + days)
    told = Resource("u", "r", "r", "OK", "a_r", "p", "c", limits=amounts, created=date(2026, 1, 15), end_date=end)
    wanted, _ = limits.of_resource(one, told)
    assert wanted is not UNMANAGED
    plain: Any = wanted.wanted if isinstance(wanted, Refused) else wanted
    plain = plain.wanted if isinstance(plain, Except) else plain
    said: Counter[str] = Counter()
    for conversion in limits.conversions(one, told):
        said[conversion.limit] += int(conversion.value)
        assert conversion.arithmetic().endswith(f"= {conversion.value}")
        assert (conversion.months > 1) == (" months" in conversion.arithmetic())
    assert {t: n for t, n in said.items() if t in plain} == dict(plain)
    assert len([text for term in limits.terms(one, told)[0] for text in limits.arithmetic(term)]) >= len(
        limits.conversions(one, told)
    )


def test_an_amount_that_is_none_is_replaced_by_what_the_cluster_has() -> None:
    """With limits_owner: cluster Waldur is told what is set, whatever stands there now; it spoils nothing else."""
    components = offering({"cpu": {"accounting_type": "limit", "unit_factor": 60, "measured_unit": "h", "label": "C"}})
    told = Slurm().amounts({"grp_tres_mins": {"cpu": 120}}, components.backend_components, {"cpu": "nonsense"})
    assert told == {"cpu": "2"}
