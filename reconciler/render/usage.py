"""Usage and its comparison as tables, bars, CSV and JSON: pure functions of rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from rich.table import Table
from rich.text import Text

from reconciler.figures import By, Figure
from reconciler.render.text import printable
from reconciler.verify import Comparison

_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HIGH, _FULL = 0.8, 1.0


def bar(share: float | None) -> Text:
    """A bar of twenty cells with the percentage: what is used of the limit."""
    if share is None:
        return Text("no limit", style="dim")
    cells = max(0, min(_BAR * 8, round(share * _BAR * 8)))
    whole, part = divmod(cells, 8)
    drawn = ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR)
    style = "red" if share >= _FULL else "yellow" if share >= _HIGH else "green"
    return Text(f"{drawn} {share:>4.0%}", style=style)


def table(rows: Sequence[Figure], by: By) -> Table:
    """Rows with a bar chart of used against limit."""
    made = Table(box=None, pad_edge=False)
    made.add_column("account", no_wrap=True)
    if by is By.MONTH:
        made.add_column("month", no_wrap=True)
    if by is By.USER:
        made.add_column("user", no_wrap=True)
    made.add_column("component", no_wrap=True)
    made.add_column("used", justify="right", no_wrap=True)
    made.add_column("limit", justify="right", no_wrap=True)
    made.add_column("unit", no_wrap=True)
    made.add_column("used of limit", no_wrap=True)
    for row in rows:
        extra = [row.period] if by is By.MONTH else [row.user] if by is By.USER else []
        mark = " (incomplete)" if row.incomplete else ""
        cells = [row.account, *extra, row.component, row.used + mark, row.limit or "-", row.unit]
        made.add_row(*(printable(c) for c in cells), bar(row.share))
    return made


def csv_text(rows: Iterable[Figure]) -> str:
    """The same as comma-separated values with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f.name for f in fields(Figure)])
    for row in rows:
        writer.writerow([_inert(str(v)) for v in asdict(row).values()])
    return out.getvalue()


def _inert(cell: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{cell}" if re.match(r"[=+@\t\r]|-(?!\d)", cell) else cell


def document(rows: Iterable[Figure], problems: Sequence[str]) -> str:
    """The same as JSON."""
    listed = [{**asdict(r), "share": r.share} for r in rows]
    return json.dumps({"format_version": "1.0", "usage": listed, "errors": list(problems)}, indent=2)


def comparison_table(rows: Sequence[Comparison], sources: Sequence[str]) -> Table:
    """Sources side by side; what differs is marked."""
    made = Table(box=None, pad_edge=False)
    for title in ("account", "component", "span"):
        made.add_column(title, no_wrap=True)
    for title in sources:
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("unit", no_wrap=True)
    made.add_column("", no_wrap=True)
    for row in rows:
        amounts = [row.amounts.get(s, "-") for s in sources]
        mark = Text("DIFFERS", style="bold red") if row.differs else Text("ok", style="green")
        cells = (row.account, row.component, row.span, *amounts, row.unit)
        made.add_row(*(printable(c) for c in cells), mark)
    return made


def comparison_document(rows: Iterable[Comparison], notes: Sequence[str], problems: Sequence[str]) -> str:
    """The same as JSON."""
    listed = [asdict(r) for r in rows]
    return json.dumps(
        {"format_version": "1.0", "comparisons": listed, "notes": list(notes), "errors": list(problems)}, indent=2
    )
