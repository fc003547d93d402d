"""Parsers of sacctmgr's output: exact, and total for any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ReadError
from reconciler.providers.slurm import kinds, parse
from reconciler.providers.slurm.tres import TresError, format_tres, parse_tres, tres_change

HEAD = "|".join(parse.ASSOCIATION).replace("DefaultQOS", "Def QOS") + "\n"


def table(*rows: str) -> str:
    listed = ("tc|root||||1||||||normal|", "tc|root|root|||1|||||||", *rows)
    return HEAD + "".join(f"{row}|{number}\n" for number, row in enumerate(listed, 1))


def test_values_are_read_exactly() -> None:
    cluster, state, numbers = parse.associations(
        table(
            "tc|PA|||root|10|cpu=1000,gres/gpu=60,mem=7.50T|node=4|cpu=5|7|9|high,normal|normal",
            "tc|pa|Ann|||parent||||||",
        ).replace("parent||||||", "parent|||||||"),
        "cmd",
    )
    assert cluster == "tc"
    assert numbers == {"2": ("root", "root"), "4": ("pa", "ann")}
    assert state[kinds.account("pa")].values == {
        "parent": "root",
        "fairshare": 10,
        "qos": frozenset({"high", "normal"}),
        "default_qos": "normal",
        "grp_tres_mins": {"cpu": 1000, "gres/gpu": 60, "mem": 7864320},
        "grp_tres": {"node": 4},
        "max_tres_mins": {"cpu": 5},
        "grp_submit_jobs": 7,
        "max_submit_jobs": 9,
    }
    assert state[kinds.association("pa", "ann")].values["fairshare"] == "parent"


def test_columns_are_found_by_name_and_more_of_them_are_tolerated() -> None:
    rows = [line.split("|") for line in table("tc|pa|||root|3|||||||").splitlines()]
    turned = "\n".join("|".join([*reversed(r), "extra" if n == 0 else "x"]) for n, r in enumerate(rows)) + "\n"
    _, state, _ = parse.associations(turned, "cmd")
    assert state[kinds.account("pa")].values["fairshare"] == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "printed nothing, not even a header"),
        (HEAD, "the account 'root' is missing"),
        (table("tc|pa|||root|1"), "expected 14 columns, found 7: 'tc|pa|||root|1|3'"),
        (table("tc|pa|||root|x|||||||"), "invalid literal for int() with base 10: 'x': 'tc|pa|||root|x||||||||3'"),
        (table("tc|pa|||root|1|cpu=lots||||||"), "not a TRES value: 'cpu=lots'"),
        (table("tc|pa|||root|1|||||||")[:-5], "cut in the middle of a line"),
        (table("other|pa|||root|1|||||||"), "several clusters: other, tc"),
        ("sacctmgr: error: something\n", "no column 'Cluster' in the header"),
    ],
)
def test_what_is_no_table_is_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(ReadError) as error:
        parse.associations(text, "sacctmgr show assoc")
    assert says in str(error.value)
    assert str(error.value).startswith("sacctmgr show assoc: ")


def test_inherited_values_of_an_emulator_are_told_apart() -> None:
    text = HEAD + (
        "tc|root||||1||||||normal||1\ntc|root|root|||1||||||normal||2\n"
        "tc|pa|||root|1|||||4|normal||3\ntc|pa|ann|||1|||||4|normal||4\ntc|pa|bob|||1|||||0|high||5\n"
    )
    _, state, _ = parse.associations(text, "cmd")
    assert state[kinds.association("pa", "ann")].values["max_submit_jobs"] is None
    assert state[kinds.association("pa", "ann")].values["qos"] == frozenset()
    assert state[kinds.association("pa", "bob")].values["qos"] == frozenset({"high"})
    assert state[kinds.association("pa", "bob")].values["max_submit_jobs"] == 0


def test_qos_is_inherited_down_the_tree() -> None:
    _, state, _ = parse.associations(table("tc|pa|||root|1|||||||", "tc|pb|||pa|1||||||x|", "tc|pc|||pb|1|||||||"), "c")
    parse.inherit_qos(state)
    assert state[kinds.account("pa")].values["qos"] == frozenset({"normal"})
    assert state[kinds.account("pc")].values["qos"] == frozenset({"x"})
    assert state[kinds.account("pc")].inherited == frozenset({"qos"})
    assert state[kinds.account("pb")].inherited == frozenset()


def test_texts_with_separators_and_line_breaks() -> None:
    text = "Account|Org|Descr\nroot|root|default\npa|o|a|b\nsecond line\npb|o2|plain\nghost|g|left behind\n"
    found = parse.texts(text, frozenset({"root", "pa", "pb"}), "cmd")
    assert found == {"root": ("default", "root"), "pa": ("a|b\nsecond line", "o"), "pb": ("plain", "o2")}
    with pytest.raises(ReadError, match="no row for account 'pz'"):
        parse.texts(text, frozenset({"root", "pz"}), "cmd")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_state_or_one_error(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for prefix in ("", HEAD, table()):
        for reader in (
            lambda t: parse.associations(t, "cmd"),
            lambda t: parse.texts(t, frozenset({"root"}), "cmd"),
            lambda t: parse.users(t, "cmd"),
            lambda t: parse.qos(t, "cmd"),
            lambda t: parse.tres(t, "cmd"),
        ):
            try:
                reader(prefix + text)
            except ReadError as error:
                assert str(error).startswith("cmd: ")


TRES = st.dictionaries(
    st.sampled_from(("cpu", "mem", "vmem", "gres/gpu", "gres/gpu:a100", "license/x", "billing")),
    st.integers(-1, 2**62),
)


@given(TRES)
def test_tres_round_trip(tres: dict[str, int]) -> None:
    assert parse_tres(format_tres(tres)) == tres


@given(TRES, TRES)
def test_a_tres_change_merges_into_the_wanted_one(before: dict[str, int], after: dict[str, int]) -> None:
    """What `set GrpTRESMins=` does: values merge, -1 clears."""
    before, after = ({k: abs(v) for k, v in t.items()} for t in (before, after))
    merged = {**before, **tres_change(before, after)}
    assert {k: v for k, v in merged.items() if v != -1} == after


@given(st.integers(1, 2**50), st.sampled_from("KMGTP"))
def test_memory_units(amount: int, unit: str) -> None:
    power = {"K": -1, "M": 0, "G": 1, "T": 2, "P": 3}[unit]
    if power >= 0:
        assert parse_tres(f"mem={amount}{unit}") == {"mem": amount * 1024**power}
    else:
        assert parse_tres(f"mem={amount * 1024}K") == {"mem": amount}


@pytest.mark.parametrize("text", ["cpu", "cpu=", "=5", "cpu=1.5", "mem=0.1M", "cpu=5X", "cpu=1,,mem=2", "mem=16?"])
def test_no_tres(text: str) -> None:
    with pytest.raises(TresError):
        parse_tres(text)
