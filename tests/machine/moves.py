"""What may happen between two runs, and what an operator does by hand."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.machine.world import KNOWN, NAMES, NEWCOMERS, PEOPLE, PROJECTS

#: amounts that are none
NONSENSE = ("abc", "NaN", None, "-3", "1e400", True, "", "1_000,5")
#: by number, what an operator of that kind of cluster does by hand, and what a run is restricted to (``Product``)
BY_HAND = st.sampled_from(range(39))
TARGETS = st.sampled_from(range(14))
NAME, PROJECT = st.sampled_from(NAMES), st.sampled_from(sorted(PROJECTS))
MOVES = st.one_of(
    st.tuples(st.just("add"), NAME, PROJECT, st.integers(1, 5), st.booleans()),
    st.tuples(st.just("flag"), NAME, st.sampled_from(("paused", "downscaled", "restrict")), st.booleans()),
    st.tuples(st.just("order_other_limits"), NAME, st.integers(0, 9)),
    st.tuples(st.just("spoil"), NAME, st.sampled_from(NONSENSE)),
    st.tuples(st.just("mend"), NAME, st.integers(1, 5)),
    st.tuples(st.just("newcomer"), st.sampled_from(sorted(NEWCOMERS)), PROJECT),
    st.tuples(st.just("host"), st.sampled_from(sorted(KNOWN)), st.booleans()),
    st.tuples(st.just("home_by_hand"), st.sampled_from(PEOPLE), st.sampled_from(("opened", "gone", "stolen"))),
    st.tuples(st.just("namesake"), st.sampled_from(PEOPLE), st.booleans()),
    st.tuples(st.just("order_the_end"), NAME),
    st.tuples(st.just("order_it_back"), NAME),
    st.tuples(st.just("end_without_an_order"), st.sets(NAME, min_size=1)),
    st.tuples(st.just("enter"), st.sampled_from(PEOPLE), PROJECT),
    st.tuples(st.just("leave"), st.sets(st.sampled_from(PEOPLE), min_size=1), PROJECT),
    st.tuples(st.just("by_hand"), BY_HAND),
    st.tuples(st.just("work"), NAME, st.sampled_from(PEOPLE)),
    st.tuples(st.just("use"), NAME),
    st.tuples(st.just("use"), st.just("ghost")),
    st.tuples(st.just("work"), st.just("ghost"), st.just("eve")),
)
#: how a site may want it
CHOICES = st.fixed_dictionaries(
    {
        "prune": st.booleans(),
        "on_member_removal": st.sampled_from(("cancel_jobs", "drain")),
        "on_terminate": st.sampled_from(("cancel_jobs", "wait", "refuse")),
        "require_unix_user": st.booleans(),
        "coordinators": st.sampled_from(("orphans", "managed")),
    }
)
