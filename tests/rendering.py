"""Every way to show a plan, tried on a plan: nothing of it may be missing, and none may break."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from reconciler.cli.interface import Interface
from reconciler.plan.document import document, load, save
from reconciler.plan.model import Plan
from reconciler.providers.base import Cluster
from reconciler.render.script import script
from reconciler.state.diff import Change
from reconciler.state.kinds import on_cluster

WIDTHS = (80, 20, 200, 40, 60, 120)


def shown_everywhere(plan: Plan, cluster: Cluster, width: int, directory: Path) -> None:
    """Text at a width with and without colour, events, document, file and script."""
    _text(plan, width)
    _events(plan)
    told = json.loads(json.dumps(document([plan])))
    assert [c["address"] for c in told["resource_changes"]] == [str(c.address) for c in plan.changes]
    path = directory / "rendered.plan"
    save([plan], path)
    (again,) = load(path)
    path.unlink()
    kept = [f.name for f in fields(Plan) if f.compare and f.name != "partial"]
    pairs = {n: (_saved(getattr(plan, n)), _saved(getattr(again, n))) for n in kept}
    different = {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}
    assert not different, different
    _script(plan, cluster)


def _saved(value: object) -> object:
    """As a file keeps it: that a change is of no offering is said by their absence."""
    if isinstance(value, tuple) and value and isinstance(value[0], Change):
        return tuple(replace(c, offerings=c.offerings - {""}) for c in value)
    return value


def _faults(interface: Interface) -> tuple[Any, ...]:
    """What could not be shown is told beside the plan; nothing of the kind may happen here."""
    found = getattr(interface, "faults", None)
    return () if found is None else (found,)


def _checked(interface: Interface) -> None:
    for faults in _faults(interface):
        assert not faults.found, [f"{f}\n{f.details}" for f in faults.found]


def _text(plan: Plan, width: int) -> None:
    out = io.StringIO()
    interface = Interface(json_output=False, no_color=True)
    interface.console = Console(file=out, width=width, force_terminal=width > 100, color_system="truecolor")
    interface.plan(plan)
    _checked(interface)
    # wrapped or not, in whatever colour, each object is named
    plain = "".join(Text.from_ansi(out.getvalue()).plain.split())
    for change in (*plan.changes, *plan.blocked):
        assert "".join(str(change.address).split()) in plain, (change.address, out.getvalue())
    for note in (*plan.refused, *plan.waiting, *plan.warnings, *plan.orphans):
        assert "".join(str(note.address).split()) in plain, (note, out.getvalue())


def _events(plan: Plan) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        interface = Interface(json_output=True, no_color=True)
        interface.plan(plan)
    _checked(interface)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    planned = [line["change"]["resource"]["addr"] for line in lines if line["type"] == "planned_change"]
    assert planned == [str(c.address) for c in (*plan.changes, *plan.blocked)]
    assert lines[-1]["type"] == "change_summary"


def _script(plan: Plan, cluster: Cluster) -> None:
    interface = Interface(json_output=False, no_color=True)
    text = script(plan, cluster, *_faults(interface))
    _checked(interface)
    for change in (*plan.changes, *plan.blocked):
        assert f"{change.action.value} {change.address}" in text
    commands = [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]
    # a line that does anything is a command of SLURM's, or one of the here-document of such a command
    assert any(on_cluster(c.address) for c in plan.changes) or commands == [["set", "-eu"]], commands
