"""Fields say how they compare: what one database cannot keep is no reason to leave another's text wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.providers.registry import backend_of
from reconciler.providers.slurm import kinds
from reconciler.state import compare, waldur
from reconciler.state.diff import diff, same
from reconciler.state.kinds import KINDS, Kind
from reconciler.state.model import Address, Desired, Obj
from reconciler.state.values import json_value
from tests.render.strategies import value

backend_of("slurm")  # whose kinds are declared then


@pytest.mark.parametrize(
    ("address", "there"), [(waldur.component("off", "cpu"), True), (kinds.account("a"), False)], ids=["Waldur", "SLURM"]
)
def test_a_letter_that_only_slurmdbd_loses_reaches_waldur(address: Address, there: bool) -> None:
    """slurmdbd may keep a question mark for it; Waldur keeps the letter, so there it is wrong until it is right."""
    wanted = Desired(objects={address: Obj({"description": "Prix é"})})
    found = diff(wanted, {address: Obj({"description": "Prix ?"})})
    assert [c.after for c in found] == ([{"description": "Prix é"}] if there else [])
    assert same(address, "description", "Prix ?", "Prix é") is not there


@given(st.sampled_from(sorted(KINDS.values(), key=lambda k: k.name)), st.data())
def test_every_field_accepts_what_it_may_have(kind: Kind, data: st.DataObject) -> None:
    """Its own values are valid and the same as themselves; a new object has one of them."""
    for field in kind.fields:
        assert field.compare.valid(field.fresh)
        drawn = data.draw(value(field))
        assert field.compare.valid(drawn)
        if not field.compare.moment:
            assert field.compare.same(drawn, drawn)


@given(st.data())
def test_what_the_portal_is_told_of_an_account_is_read_as_it_was_told(data: st.DataObject) -> None:
    for name in waldur.METADATA:
        field = KINDS["waldur.resource"].field(name)
        how = field.compare
        drawn = data.draw(value(field))
        if how is compare.SET and not all(_plain(n) for n in drawn):
            continue
        assert how.told(how.tell(drawn)) == drawn or json_value(drawn) == how.tell(drawn)


def _plain(name: str) -> bool:
    """A name as the cluster has it: folded, and no list of its own."""
    return name == name.lower() and name.isascii() and "," not in name and bool(name)
