"""Usage and its comparison as tables, bars, CSV and JSON: pure functions of rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from rich.text import Text

from reconciler.cycle.usage_rows import By, Figure
from reconciler.cycle.verify import Comparison
from reconciler.render.table import Column, Fit, Table

_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HIGH, _FULL = 0.8, 1.0


def bar(share: float | None) -> Text:
    """A bar of twenty cells: what is used of the limit."""
    if share is None:
        return Text("")
    cells = max(0, min(_BAR * 8, round(share * _BAR * 8)))
    whole, part = divmod(cells, 8)
    return Text(("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR), style=_colour(share))


def percentage(share: float | None) -> Text:
    """The same as a number."""
    return Text("no limit", style="dim") if share is None else Text(f"{share:.0%}", style=_colour(share))


def _colour(share: float) -> str:
    return "red" if share >= _FULL else "yellow" if share >= _HIGH else "green"


def table(rows: Sequence[Figure], by: By) -> Table:
    """Rows with a bar chart of used against limit."""
    extra = {By.MONTH: [Column("month", Fit.WHOLE)], By.USER: [Column("user")], By.ACCOUNT: []}[by]
    amounts = [Column("used", right=True), Column("limit", Fit.WHOLE, right=True), Column("unit")]
    drawn = [Column("used of limit", Fit.BAR), Column("", Fit.WHOLE, right=True)]
    made = Table([Column("account"), *extra, Column("component"), *amounts, *drawn])
    for row in rows:
        more = {By.MONTH: [row.period], By.USER: [row.user], By.ACCOUNT: []}[by]
        mark = " (incomplete)" if row.incomplete else ""
        cells = [row.account, *more, row.component, row.used + mark, row.limit or "-", row.unit]
        made.add([*cells, bar(row.share), percentage(row.share)])
    return made


def csv_text(rows: Iterable[Figure]) -> str:
    """The same as comma-separated values with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f.name for f in fields(Figure)])
    for row in rows:
        writer.writerow([inert(str(v)) for v in asdict(row).values()])
    return out.getvalue()


def inert(cell: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{cell}" if re.match(r"[=+@\t\r]|-(?!\d)", cell) else cell


def document(rows: Iterable[Figure], problems: Sequence[str]) -> str:
    """The same as JSON."""
    listed = [{**asdict(r), "share": r.share} for r in rows]
    return json.dumps({"format_version": "1.0", "usage": listed, "errors": list(problems)}, indent=2)


def comparison_table(rows: Sequence[Comparison], sources: Sequence[str]) -> Table:
    """Sources side by side; what differs is marked."""
    named = [Column(title) for title in ("account", "component", "span")]
    told = [Column(title, Fit.WHOLE, right=True) for title in sources]
    made = Table([*named, *told, Column("unit"), Column("", Fit.WHOLE)])
    for row in rows:
        amounts = [row.amounts.get(s, "-") for s in sources]
        mark = Text("DIFFERS", style="bold red") if row.differs else Text("ok", style="green")
        made.add([row.account, row.component, row.span, *amounts, row.unit, mark])
    return made


def comparison_document(rows: Iterable[Comparison], notes: Sequence[str], problems: Sequence[str]) -> str:
    """The same as JSON."""
    listed = [asdict(r) for r in rows]
    return json.dumps(
        {"format_version": "1.0", "comparisons": listed, "notes": list(notes), "errors": list(problems)}, indent=2
    )
