"""Runs of the journal as a table, and their actions as blocks of lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from reconciler.faults import Fault, Faults
from reconciler.render.table import Column, Fit, Table
from reconciler.render.text import DEFECT, printable, printable_lines, shown
from reconciler.store.journal import Entry, RunEntry
from reconciler.store.names import USAGE, scope_name

_STYLES = {"done": "green", "failed": "red", "interrupted": "red", "running": "cyan", "": "red"}
_INDENT = " " * 6


def runs_table(runs: Sequence[RunEntry]) -> Table:
    """One row per run."""
    whole, words = Fit.WHOLE, Fit.WORDS
    titles = {"run": whole, "cluster": words, "started (UTC)": words, "state": whole, "actions": whole, "by": words}
    table = Table([Column(title, fit, right=title == "actions") for title, fit in titles.items()])
    for one in runs:
        by = one.holder.partition(" since ")[0]
        cluster = scope_name(one.cluster) if one.cluster.startswith(USAGE) else one.cluster
        cells = [one.id, cluster, one.started[:19].replace("T", " "), one.state, str(one.planned), by]
        table.add(cells, _STYLES.get(one.state, ""))
    return table


def action_text(entry: Entry, faults: Faults) -> Text:
    """What was tried, with before and after; at least a line where the rest cannot be shown."""
    outcome = entry.outcome or "interrupted"
    line = f"{entry.tried[:19].replace('T', ' ')}  {entry.run}  {entry.action} {entry.address}: {outcome}"
    head = Text(printable(line), style=_STYLES.get(entry.outcome, ""))

    def plain(fault: Fault) -> list[str]:
        return [f"({DEFECT}: {printable(fault.why)})"]

    details = faults.attempt(f"{entry.action} {entry.address}", lambda: _details(entry), plain)
    return Text(f"\n{_INDENT}").join([head, *(Text(line) for line in details)])


def _details(entry: Entry) -> list[str]:
    before, after = entry.before or {}, entry.after or {}
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    lines = [f"{printable(name)}: {shown(before.get(name))} -> {shown(after.get(name))}" for name in names]
    commands = [("command" if n == 0 else "then", text) for n, text in enumerate(entry.command.split("\n"))]
    for word, text in (("why", entry.reason), *commands, ("said", entry.text)):
        if text:
            lines.append(f"{word}: {printable_lines(text, _INDENT * 2)}")
    return lines
