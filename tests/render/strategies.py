"""Random plans: all kinds, all shapes of values, texts as no one should write them, huge and empty."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconciler.plan.model import Plan, Refusal
from reconciler.state import compare
from reconciler.state.compare import Compare
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Field
from reconciler.state.model import Address, Note

ODD = (
    "",
    "\x00",
    "a\nb",
    "\x1b[2J",
    "\x9b31m",
    "\u2028",
    "\u202e",
    "\ud800",
    "[/red]",
    "{x}",
    "漢字",
    "é" * 300,
    "__x",
)
TRES = ("cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:a100")

#: every character there is, lone surrogates and controls among them
anything = st.text(st.characters(codec=None, categories=None), max_size=20)
texts = st.one_of(st.sampled_from(("", "root", "a_climate", "normal", *ODD)), anything)
names = st.one_of(st.sampled_from(TRES), texts)
numbers = st.one_of(st.integers(0, 5), st.integers(-1, 2**64))

_SHAPES: dict[Compare, st.SearchStrategy[Any]] = {
    compare.TEXT: st.none() | texts,
    compare.STORED_TEXT: st.none() | texts,
    compare.MOMENT: st.none() | texts,
    compare.NUMBERS: st.dictionaries(names, numbers, max_size=6),
    compare.SET: st.frozensets(names, max_size=6),
    compare.NUMBER: st.none() | numbers,
    compare.SHARE: st.none() | numbers | st.just("parent"),
    compare.IF_KNOWN: st.none() | texts,
    compare.GIVEN: st.none() | texts,
    compare.AMOUNT: texts | st.decimals(allow_nan=False).map(str),
    compare.AMOUNTS: st.dictionaries(names, texts | st.decimals(allow_nan=False).map(str), max_size=6),
}


def value(field: Field) -> st.SearchStrategy[Any]:
    """A value that a field of this shape may have."""
    return _SHAPES[field.compare]


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    kind = draw(st.sampled_from(sorted(KINDS)))
    return Address(kind, tuple(draw(texts) for _ in KINDS[kind].key))


def _values(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    known = KINDS[kind].fields  # some kinds have none: that they are there is all
    fields = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    return {f.name: draw(value(f)) for f in fields}


@st.composite
def changes(draw: st.DrawFn, *, blocked: bool = False) -> Change:
    address = draw(addresses())
    action = draw(st.sampled_from(tuple(Action)))
    before = None if action is Action.CREATE else _values(draw, address.kind)
    after = None
    if action is not Action.DELETE:
        after = {**(before or {}), **_values(draw, address.kind)}
    return Change(
        address,
        action,
        before,
        after,
        draw(texts),
        draw(st.frozensets(st.sampled_from(("Cluster A", "Ünicode\x1b")), max_size=2)),
        (draw(texts) or "why") if blocked else "",
        draw(st.sampled_from(((), ("7", "8")))) if address.kind == "slurm.association" else (),
    )


@st.composite
def notes(draw: st.DrawFn) -> Note:
    return Note(draw(addresses()), draw(texts), draw(st.sampled_from(("", "Cluster A"))))


def _some(draw: st.DrawFn, of: st.SearchStrategy[Any]) -> tuple[Any, ...]:
    return tuple(draw(st.lists(of, max_size=3)))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan with one change per address, as plans are."""
    found = {c.address: c for c in draw(st.lists(changes(), max_size=6))}
    return Plan(
        cluster=draw(st.sampled_from(("c1", "usage-c1", "usage-dwdi"))),
        offerings=tuple(draw(st.lists(texts, max_size=2))),
        changes=tuple(found.values()),
        blocked=_some(draw, changes(blocked=True)),
        refusals=tuple(Refusal("max_deletions", t) for t in _some(draw, texts)),
        orphans=_some(draw, notes()),
        refused=_some(draw, notes()),
        waiting=_some(draw, notes()),
        warnings=_some(draw, notes()),
        config_digest="sha256:0",
        created="2026-11-01T00:00:00Z",
        partial=draw(st.booleans()),
        remote=draw(st.booleans()),
        preface=_some(draw, texts),
        terminations=frozenset(a for a in _some(draw, addresses())),
    )
