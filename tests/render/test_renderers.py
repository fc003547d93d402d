"""Whatever a plan holds, every renderer shows all of it; where one cannot, that changes nothing of what is applied."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from reconciler.apply.record import Event, Outcome, Record
from reconciler.cli.interface import Interface
from reconciler.cycle.inverse import inverse
from reconciler.diagnose import Comparison, Report
from reconciler.faults import Faults
from reconciler.plan.document import document, load, save
from reconciler.plan.model import Plan
from reconciler.providers.slurm.kinds import account
from reconciler.render import diagnosis, events
from reconciler.render.history import action_text
from reconciler.render.script import script
from reconciler.render.text import nested, plan_text
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Note, Obj
from reconciler.store import Journal, Store
from reconciler.store.journal import Entry
from tests.pure import BACKEND, cluster
from tests.render.strategies import changes, names, numbers, plans, texts

WIDTHS = st.integers(20, 200)


def printed(what: Any, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False).print(what)
    return out.getvalue()


def controls(text: str) -> set[str]:
    """What a terminal would obey."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"}


# ---------------------------------------------------------------------- maps by key


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"gres/gpu": 5}, {"cpu": 1, "mem": 2}, ["+ cpu = 1", "- gres/gpu = 5", "+ mem = 2"]),
        ({"billing": 1000}, {"cpu": 60}, ["- billing = 1000", "+ cpu = 60"]),
        ({"cpu": 6000, "mem": 5}, {}, ["- cpu = 6000", "- mem = 5"]),
        ({"ann": "1.00"}, dict.fromkeys(("ann", "bob", "cyd", "dee"), "2.00"), None),
        ({"__x": 1}, {"__x": 2}, ["~ __x = 1 -> 2"]),
        ({"cpu": 1}, {"cpu": "1"}, ['~ cpu = 1 -> "1"']),
        (frozenset({"a"}), frozenset({"b", "\ud800"}), ['- "a"', '+ "b"', '+ "\\ud800"']),
    ],
)
def test_maps_are_compared_by_key(before: Any, after: Any, lines: list[str] | None) -> None:
    signs = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
    found = [f"{signs[action]} {line}" for action, line in nested(before, after)]
    if lines is None:
        lines = ['~ ann = "1.00" -> "2.00"', '+ bob = "2.00"', '+ cyd = "2.00"', '+ dee = "2.00"']
    assert found == lines


MAPS = st.dictionaries(names, numbers | texts, max_size=6)


@settings(max_examples=300)
@given(MAPS, MAPS)
@example({"gres/gpu": 5}, {"cpu": 1, "mem": 2})
def test_one_line_per_key_that_differs(before: Any, after: Any) -> None:
    found = sorted(action.value for action, _ in nested(before, after))
    created, gone = after.keys() - before.keys(), before.keys() - after.keys()
    updated = [k for k in before.keys() & after.keys() if before[k] != after[k]]
    assert found == sorted(["create"] * len(created) + ["delete"] * len(gone) + ["update"] * len(updated))


# ---------------------------------------------------------------------- all renderers


@settings(max_examples=150)
@given(plans(), WIDTHS)
def test_text_shows_every_object_and_obeys_nothing(plan: Plan, width: int) -> None:
    faults = Faults()
    shown = printed(plan_text(plan, faults), width)
    assert not faults.found
    assert not controls(shown)
    for change in (*plan.changes, *plan.blocked):
        assert f"{change.address.kind} " in shown
    assert shown.count("\n  # ") + shown.startswith("  # ") >= len(plan.changes) + len(plan.blocked)


@settings(max_examples=150)
@given(plans())
def test_json_comes_back_as_the_plan_it_was(plan: Plan) -> None:
    faults = Faults()
    assert json.dumps(document([plan], (), faults)) == json.dumps(document([plan]))
    assert not faults.found


@settings(max_examples=100)
@given(plan=plans())
def test_a_saved_plan_is_the_plan(tmp_path: Path, plan: Plan) -> None:
    save([plan], tmp_path / "p")
    kept = load(tmp_path / "p")[0]
    named = [replace(c, offerings=c.offerings - {""}) for c in plan.changes]
    assert list(kept.changes) == named
    assert (kept.blocked, kept.orphans, kept.warnings) == (plan.blocked, plan.orphans, plan.warnings)


@settings(max_examples=150)
@given(plans(), st.sampled_from(Event), texts)
def test_events_are_a_json_object_per_line(plan: Plan, event: Event, text: str) -> None:
    for change in (*plan.changes, *plan.blocked):
        for line in (events.planned(change), events.hook(event, change, 1.5, text), events.plain(change, "x", text)):
            assert json.loads(line)["@message"]
            assert "\n" not in line
    assert json.loads(events.plan_summary(plan))["changes"]["add"] == plan.count(Action.CREATE)


@settings(max_examples=150)
@given(plans())
def test_a_script_names_every_object_in_a_comment(plan: Plan) -> None:
    ours = [c for c in plan.changes if not c.address.kind.startswith("waldur.")]
    faults = Faults()
    made = script(plan, cluster(), faults)
    # names and values that sacctmgr could not take are refused long before; none of them ends the script's making
    assert made.count("\n# ") >= len(plan.changes) + len(plan.blocked)
    assert "exit 1" in made or not faults.found
    assert ours or not faults.found


@settings(max_examples=60)
@given(change=changes(), text=texts, width=WIDTHS)
def test_history_shows_what_the_journal_kept(tmp_path: Path, change: Change, text: str, width: int) -> None:
    journal = Journal(Store(tmp_path), "c1")
    with journal.run("sha256:0", 1) as run:
        run.tried([change], text)
        run.ended(change, "failed", 0.5, text)
        run.left = False
    assert not run.faults.found
    (entry,) = journal.entries(run=run.id)
    faults = Faults()
    shown = printed(action_text(entry, faults), width)
    assert not faults.found and not controls(shown)
    assert f"{change.action.value} {change.address.kind}[" in shown


@settings(max_examples=100)
@given(st.lists(changes(), max_size=4), texts, WIDTHS)
def test_a_diagnosis_shows_every_comparison(found: list[Change], text: str, width: int) -> None:
    report = Report(text, "c1", BACKEND, changes=[c for c in found if c.address.kind == "slurm.account"], notes=[text])
    for change in found:
        for name in change.changed():
            before, after = (change.before or {}).get(name), (change.after or {}).get(name)
            status = "blocked" if text else "mismatch"
            report.comparisons.append(Comparison(name, after, before, status, text, str(change.address), text))
    faults = Faults()
    report.changes = []
    shown = printed(diagnosis.as_text(report, cluster(), faults, verbose=True), width)
    assert not faults.found and not controls(shown)
    assert shown.count("  [") >= len(report.comparisons)


# ---------------------------------------------------------------------- what cannot be shown


class Stubborn:
    """A value that no renderer expects, and that cannot even be described."""

    def __repr__(self) -> str:
        raise RuntimeError("no words for it")


def broken(name: str = "a_odd") -> Change:
    return Change(account(name), Action.UPDATE, {"grp_tres_mins": {}}, {"grp_tres_mins": Stubborn()})  # type: ignore[dict-item]


def good(name: str = "a_good") -> Change:
    return Change(account(name), Action.UPDATE, {"fairshare": 1}, {"fairshare": 5}, "because")


def test_one_object_that_cannot_be_shown_is_a_plain_line_and_the_others_are_whole() -> None:
    plan = Plan("c1", ("O",), changes=(broken(), good()))
    faults = Faults()
    shown = printed(plan_text(plan, faults), 100)
    assert 'slurm.account["a_odd"] will be updated in-place' in shown and "defect of reconcile" in shown
    assert "~ fairshare = 1 -> 5" in shown and "Plan: 0 to add, 2 to change" in shown
    assert [f.what for f in faults.found] == ['slurm.account["a_odd"]']
    found = document([plan], (), faults := Faults())
    assert json.loads(json.dumps(found))["errored"] is True
    assert [c["address"] for c in found["resource_changes"]] == ['slurm.account["a_odd"]', 'slurm.account["a_good"]']
    assert len(found["reconcile"]["errors"]) == len(faults.found) == 1
    odd = replace(broken(), before={"fairshare": 1}, after={"fairshare": Stubborn()})  # type: ignore[dict-item]
    faults = Faults()
    made = script(replace(plan, changes=(odd, good())), cluster(), faults)
    assert len(faults.found) == 1 and made.rstrip().endswith("exit 1")
    assert "update slurm.account" not in made and 'slurm.account["a_good"] will be updated in-place' in made


def test_such_a_document_is_not_applied(tmp_path: Path) -> None:
    kept = tmp_path / "p"
    kept.write_text(json.dumps(document([Plan("c1", ("O",), changes=(broken(),))], (), Faults())))
    with pytest.raises(Exception, match="made with errors"):
        load(kept)
    with pytest.raises(TypeError):
        save([Plan("c1", ("O",), changes=(broken(),))], tmp_path / "q")
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_value_that_cannot_be_written_down_is_described_and_the_action_is_tried(tmp_path: Path) -> None:
    journal = Journal(Store(tmp_path), "c1")
    with journal.run("sha256:0", 2) as run:
        record = Record(Plan("c1", ("O",), changes=(broken(), good())), None, run)
        record.begin([broken(), good()], "sacctmgr")
        record.complete(broken())
        record.complete(good())
    entries = {e.address: e for e in journal.entries(run=run.id)}
    assert "cannot be written down" in json.dumps(entries['slurm.account["a_odd"]'].after)
    assert entries['slurm.account["a_good"]'].after == {"fairshare": 5}
    assert len(record.outcome.applied) == 2
    assert any("a_odd" in f.what for f in record.outcome.faults)


def test_a_listener_that_fails_stops_nothing() -> None:
    def listener(*step: object) -> None:
        raise RuntimeError("nobody listens")

    record = Record(Plan("c1", ("O",), changes=(good(),)), listener)
    record.start(good())
    record.complete(good())
    assert record.outcome.applied == [good()]
    assert {f.why for f in record.outcome.faults} == {"RuntimeError: nobody listens"}


def working(plan: Plan) -> Any:
    """An apply of all of a plan."""

    def work(listener: Any) -> Outcome:
        record = Record(plan, listener)
        for change in plan.changes:
            record.start(change)
            record.progress(change)
            record.complete(change)
        return record.outcome

    return work


@pytest.mark.parametrize("json_output", [False, True])
@pytest.mark.parametrize("what", ["plan_text", "printable_lines", "address_text", "events", "Progress"])
def test_an_interface_whose_renderers_all_fail_still_does_the_work(
    monkeypatch: pytest.MonkeyPatch, what: str, json_output: bool
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise IndexError("list index out of range")

    plan = Plan("c1", ("O",), changes=(good("a_1"), good("a_2")))
    interface = Interface(json_output=json_output, no_color=True)
    if what == "events":
        for name in ("planned", "hook", "diagnostic", "change_summary"):
            monkeypatch.setattr(f"reconciler.render.events.{name}", fail)
    elif what == "Progress":
        monkeypatch.setattr(interface.console, "_force_terminal", True)
        monkeypatch.setattr("reconciler.cli.interface.Progress", fail)
    else:
        monkeypatch.setattr(f"reconciler.cli.interface.{what}", fail)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        interface.plan(plan)
        outcome = interface.run(plan, working(plan))
        interface.warn("w")
        interface.problem("p", "h")
        interface.result(outcome)
    assert len(outcome.applied) == 2
    if interface.faults.found:
        assert "IndexError: list index out of range" in err.getvalue()
        assert "defect of reconcile" in err.getvalue()
    if json_output:
        assert all(json.loads(line) for line in out.getvalue().splitlines())
    elif what in ("printable_lines", "address_text"):
        assert 'slurm.account["a_1"]' in out.getvalue()


def test_a_fault_has_a_traceback_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_DEBUG", "1")
    interface = Interface(json_output=False, no_color=True)
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        interface.plan(Plan("c1", ("O",), changes=(broken(),)))
    assert "Traceback" in err.getvalue() and "change_text" in err.getvalue()


def test_names_that_look_like_markup_stop_no_spinner() -> None:
    from reconciler.cli import options

    err = io.StringIO()
    with contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TERM", "xterm")
        with options.progress(verbose=False) as progress:
            progress("cluster c1: reading offering [/red] {x}")
    assert "cannot be shown" not in err.getvalue()


def test_a_huge_plan_is_shown_whole() -> None:
    people = {f"user{n}": f"{n}.00" for n in range(5_000)}
    few = dict(list(people.items())[:1])
    usage = Change(Address("waldur.usage", ("r", "2026-11", "cpu")), Action.UPDATE, {"users": few}, {"users": people})
    found = [replace(good(f"a_{n}"), reason="x" * 1_000) for n in range(2_000)]
    plan = Plan("c1", ("O",), changes=(usage, *found), warnings=(Note(account("a"), "w" * 100_000),))
    faults = Faults()
    shown = printed(plan_text(plan, faults), 80)
    assert not faults.found
    assert shown.count("\n          + user") == len(people) - 1
    assert shown.count("will be updated in-place") == 2_001 and "w" * 100_000 in shown


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_with_nothing_in_it(kind: str) -> None:
    key = tuple("" for _ in KINDS[kind].key)
    empty = [Change(Address(kind, key), Action.CREATE, None, {}), Change(Address(kind, key), Action.DELETE, {}, None)]
    plan = Plan("c1", (), changes=(*empty, Change(Address(kind, key), Action.UPDATE, {}, {})))
    assert plan_text(plan, Faults()).plain.count(f"{kind} ") == 3
    assert len(document([plan])["resource_changes"]) == 3


def test_a_rollback_leaves_alone_what_the_journal_does_not_hold_whole() -> None:
    odd = {"fairshare": [{"cannot be written down": "<object>"}]}
    entries = [
        Entry("r", str(account(name)), "update", before, {"fairshare": 5}, "", "", "", "done", "", 0.0)
        for name, before in (("a_odd", odd), ("a_good", {"fairshare": 1}))
    ]
    present = {account(n): Obj({"fairshare": 5}) for n in ("a_odd", "a_good")}
    wanted = inverse(entries, present, "r")
    assert list(wanted.objects) == [account("a_good")]
    assert [n.address for n in wanted.refused] == [account("a_odd")]
