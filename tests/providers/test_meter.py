"""Sums of runs: exact, in any order, whole however a period is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.providers.slurm.meter import Aggregation, Meter
from reconciler.providers.slurm.tres import TresError, format_tres, parse_tres, quantities
from reconciler.state.usage import Used, rounded

METER = Meter.of(
    {
        "cpu": {"cpu": Decimal(60)},
        "mem": {"mem": Decimal(61440)},
        "gpu": {"gres/gpu": Decimal(60)},
        "node": {"cpu": Decimal(64 * 60), "gres/gpu": Decimal(8 * 60)},
        "third": {"cpu": Decimal("0.7")},
    }
)


@dataclass(frozen=True)
class Run:
    job: int
    user: str
    tres: str
    start: int
    seconds: int


@st.composite
def runs(draw: st.DrawFn) -> list[Run]:
    """Runs with distinct keys; memory in any spelling that SLURM uses."""
    memory = st.one_of(
        st.integers(1, 10**6).map(lambda n: f"{n}M"),
        st.builds(lambda n, u: f"{n / 4:.2f}{u}", st.integers(1, 4000), st.sampled_from("KMGT")),
    )
    tres = st.builds(
        lambda c, m, g: f"billing=1,cpu={c},{f'gres/gpu={g},' if g else ''}mem={m},node=1",
        st.integers(1, 256),
        memory,
        st.integers(0, 8),
    )
    keys = draw(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 10**5)), unique=True, max_size=30))
    user = st.sampled_from(["alice", "bob", ""])
    return [Run(job, draw(user), draw(tres), start, draw(st.integers(1, 10**6))) for job, start in keys]


def total(listed: Sequence[Run], meter: Meter = METER) -> Used:
    sums = Aggregation({"acct": meter})
    for run in listed:
        sums.add("acct", run.user, run.tres, run.seconds, run.job, run.start)
    return sums.result()["acct"]


@given(runs(), st.randoms())
def test_the_order_of_records_never_matters(listed: list[Run], random: object) -> None:
    mixed = list(listed)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert total(mixed) == total(listed)


@given(runs())
def test_a_run_that_is_told_twice_counts_once(listed: list[Run]) -> None:
    assert total([*listed, *listed]) == total(listed)


@given(runs())
def test_the_sum_over_users_is_the_total(listed: list[Run]) -> None:
    used = total(listed)
    for name, amount in used.total.items():
        assert sum((u[name] for u in used.users.values()), Fraction(0)) == amount


def apart(listed: list[Run]) -> list[Run]:
    """Runs of one job follow each other."""
    ends: dict[int, int] = {}
    found = []
    for run in sorted(listed, key=lambda r: r.start):
        if run.start >= ends.get(run.job, 0):
            ends[run.job] = run.start + run.seconds
            found.append(run)
    return found


def added(one: Mapping[str, Fraction], two: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {n: one.get(n, Fraction(0)) + two.get(n, Fraction(0)) for n in one.keys() | two.keys()}


@given(runs(), st.integers(0, 10**6 + 10**5))
def test_cutting_a_period_never_changes_totals(listed: list[Run], cut: int) -> None:
    """Each run is cut where the window is, as sacct does, half-open."""
    listed = apart(listed)
    before, after = [], []
    for run in listed:
        end = run.start + run.seconds
        if run.start < cut:
            before.append(Run(run.job, run.user, run.tres, run.start, min(end, cut) - run.start))
        if end > cut:
            begins = max(run.start, cut)
            after.append(Run(run.job, run.user, run.tres, begins, end - begins))
    whole = total(listed)
    one, two = total(before), total(after)
    assert added(one.total, two.total) == whole.total
    users = {u: added(one.users.get(u, {}), two.users.get(u, {})) for u in one.users.keys() | two.users.keys()}
    assert {u: a for u, a in users.items() if any(a.values())} == whole.users


@given(st.dictionaries(st.sampled_from(["cpu", "mem", "gres/gpu", "gres/gpu:a100", "billing"]), st.integers(0, 2**62)))
def test_parse_is_the_inverse_of_format(tres: dict[str, int]) -> None:
    assert parse_tres(format_tres(tres)) == tres


@given(runs())
def test_exact_sums(listed: list[Run]) -> None:
    """The same by the definition: seconds × what was allocated, in fractions."""
    expected = sum((quantities(r.tres)["cpu"] * r.seconds for r in listed), Fraction(0)) / 3600
    assert total(listed).total["cpu"] == expected
    memory = sum((quantities(r.tres)["mem"] * r.seconds for r in listed), Fraction(0)) / 60 / 61440
    assert total(listed).total["mem"] == memory


def test_memory_is_not_floored_job_by_job() -> None:
    # ten jobs of half a MB-minute are five MB-minutes, not nothing
    small = Meter.of({"mem": {"mem": Decimal(1)}})
    listed = [Run(n, "a", "cpu=1,mem=512K", n, 60) for n in range(1, 11)]
    assert total(listed, small).total["mem"] == 5


def test_fractions_that_slurm_prints() -> None:
    # 7864320 MiB come as 7.50T
    assert total([Run(1, "a", "mem=7.50T", 1, 60)]).total["mem"] == Fraction(7864320, 61440)
    assert total([Run(1, "a", "mem=1P", 1, 60)]).total["mem"] == Fraction(1024**3, 61440)


def test_several_tres_of_a_component_are_one_node() -> None:
    # a whole node for an hour: its cpus and its gpus are the same node-hour
    assert total([Run(1, "a", "cpu=64,gres/gpu=8", 1, 3600)]).total["node"] == 1
    # a quarter of the gpus with one cpu is a quarter of the node
    assert total([Run(1, "a", "cpu=1,gres/gpu=2", 1, 3600)]).total["node"] == Fraction(1, 4)


def test_types_of_gres() -> None:
    both = total([Run(1, "a", "cpu=1,gres/gpu=4,gres/gpu:a100=4", 1, 3600)])
    assert both.total["gpu"] == 4  # the type is beside the sum, not on top of it
    typed = total([Run(1, "a", "cpu=1,gres/gpu:a100=1,gres/gpu:h100=2", 1, 3600)])
    assert typed.total["gpu"] == 3
    only = Meter.of({"a100": {"gres/gpu:a100": Decimal(60)}})
    assert total([Run(1, "a", "gres/gpu=3,gres/gpu:a100=1", 1, 3600)], only).total["a100"] == 1


def test_factors_of_any_size() -> None:
    assert total([Run(1, "a", "cpu=7", 1, 60)]).total["third"] == 10


def test_runs_of_a_requeued_job_each_count() -> None:
    used = total([Run(7, "a", "cpu=1", 100, 3600), Run(7, "a", "cpu=1", 9000, 1800), Run(7, "a", "cpu=1", 9000, 1800)])
    assert used.total["cpu"] == Fraction(3, 2)


def test_a_run_that_is_told_in_two_lengths_is_not_believed() -> None:
    for first, second in ((3600, 7200), (7200, 3600)):
        sums = Aggregation({"acct": METER})
        sums.add("acct", "a", "cpu=1", first, 7, 100)
        with pytest.raises(TresError, match="told twice"):
            sums.add("acct", "a", "cpu=1", second, 7, 100)


@pytest.mark.parametrize("tres", ["cpu=one", "cpu", "cpu=1,,mem=1M", "mem=1X", "cpu=-4", "mem=0.001K"])
def test_what_is_no_tres_is_refused(tres: str) -> None:
    sums = Aggregation({"acct": METER})
    with pytest.raises(TresError):
        sums.add("acct", "a", tres, 60, 1, 1)
    assert not sums.result()["acct"].users


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("1/200", "0.01"), ("1/201", "0.00"), ("-1/200", "-0.01"), ("5/3", "1.67"), ("12.345", "12.35"), ("7", "7.00")],
)
def test_rounding_half_away_from_zero(amount: str, shown: str) -> None:
    assert rounded(Fraction(amount)) == shown


def test_amounts_are_rounded_once_at_the_end() -> None:
    listed = [Run(n, f"u{n}", "cpu=1", n, 12) for n in range(1, 4)]  # 0.00333 each
    used = total(listed)
    assert rounded(used.total["cpu"]) == "0.01"
    assert {rounded(u["cpu"]) for u in used.users.values()} == {"0.00"}
