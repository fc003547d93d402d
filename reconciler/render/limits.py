"""Periodic limits as tables, CSV and JSON: pure functions of what accounts are allotted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date

from reconciler.cycle.allowances import Allotted
from reconciler.cycle.simulation import Reached
from reconciler.render.policy import amount, balance, facts
from reconciler.render.table import Column, Fit, Table
from reconciler.render.usage import bar, inert, percentage
from reconciler.state.periodic import triggers

_COLUMNS = (
    "offering", "account", "resource", "period", "component", "unit", "base", "previous_usage", "carryover", "total",
    "used", "share", "limit", "threshold_unit", "threshold", "grace", "counted", "threshold_on", "grace_on",
)  # fmt: skip


def components(rows: Sequence[Allotted]) -> Table:
    """What each component brings, and how much of it is used."""
    numbers = ("base", "used before", "carried", "total", "used")
    columns = [Column("account"), Column("component"), *(Column(n, Fit.WHOLE, right=True) for n in numbers)]
    made = Table(
        [*columns, Column("unit"), Column("used of total", Fit.BAR), Column("", Fit.WHOLE, right=True), Column("limit")]
    )
    for row in rows:
        for name, one in row.terms.balances.items():
            unit = row.offering.backend_components[name].waldur_unit
            cells = [amount(one.base), amount(one.previous), amount(one.carried), amount(one.total), _used(row, name)]
            share = _share(row, name)
            made.add([row.allocation.account, name, *cells, unit, bar(share), percentage(share), _limit(row, name)])
    return made


def thresholds(rows: Sequence[Allotted]) -> Table:
    """Where each account stands, and when it will be slowed down or blocked."""
    numbers = ("fairshare", "used", "threshold", "grace", "Waldur %")
    columns = [Column("account"), Column("period"), *(Column(n, Fit.WHOLE, right=True) for n in numbers)]
    made = Table([*columns, Column("unit"), Column("threshold on", Fit.WHOLE), Column("grace on", Fit.WHOLE)])
    for row in rows:
        given = row.allowance
        cells = [str(row.terms.fairshare), _text(row.counted), _text(given.threshold), _text(given.grace)]
        cells.append(f"{float(row.percent):.0f}")
        unit = f"{given.unit}-minutes" if given.unit else "-"
        dates = [_day(row.threshold_on), _day(row.grace_on)]
        made.add([row.allocation.account, str(row.terms.span), *cells, unit, *dates])
    return made


def csv_text(rows: Sequence[Allotted]) -> str:
    """One line a component, with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        about = (row.offering.name, row.allocation.account, row.allocation.resource.name, str(row.terms.span))
        given = row.allowance
        ends = (given.unit, given.threshold, given.grace, row.counted, row.threshold_on, row.grace_on)
        for name, one in row.terms.balances.items():
            unit = row.offering.backend_components[name].waldur_unit
            numbers = (amount(one.base), amount(one.previous), amount(one.carried), amount(one.total))
            share = _share(row, name)
            shown = "" if share is None else f"{share:.4f}"
            cells = (*about, name, unit, *numbers, _used(row, name), shown, _limit(row, name), *ends)
            writer.writerow([inert("" if c is None else str(c)) for c in cells])
    return out.getvalue()


def document(rows: Sequence[Allotted], problems: Sequence[str]) -> str:
    """The same as JSON."""
    listed = [
        {
            "offering": row.offering.name,
            "account": row.allocation.account,
            "resource": row.allocation.resource.name,
            "policy": facts(row.allocation, row.allowance),
            "components": {
                name: {
                    **balance(one),
                    "unit": row.offering.backend_components[name].waldur_unit,
                    "used": _used(row, name),
                    "share": _share(row, name),
                    "limits": dict(row.allowance.parts.get(name, {})),
                }
                for name, one in row.terms.balances.items()
            },
            "counted": row.counted,
            "usage_percentage": round(float(row.percent), 2),
            "would_trigger": list(triggers(row.percent, row.terms.rules)),
            "threshold_on": _iso(row.threshold_on),
            "grace_on": _iso(row.grace_on),
        }
        for row in rows
    ]
    return json.dumps({"format_version": "1.0", "limits": listed, "errors": list(problems)}, indent=2)


def reached(rows: Sequence[Reached]) -> list[str]:
    """Whose usage of now the portal would judge otherwise, a line each."""
    return [
        f"{row.account}: today {float(row.percent):.0f} % are used ({_action(row.action)} in Waldur), "
        f"then {float(row.other_percent):.0f} % ({_action(row.other_action)})"
        for row in rows
    ]


def _action(word: str) -> str:
    return {"pause": "paused", "downscale": "slowed down", "notify": "notified"}.get(word, "nothing is done")


def reached_document(rows: Sequence[Reached]) -> list[dict[str, object]]:
    """The same as JSON."""
    return [
        {
            "account": row.account,
            "usage_percentage": [round(float(row.percent), 2), round(float(row.other_percent), 2)],
            "action": [row.action, row.other_action],
        }
        for row in rows
    ]


def _used(row: Allotted, name: str) -> str:
    return amount(row.used.get(name))


def _share(row: Allotted, name: str) -> float | None:
    total = row.terms.balances[name].total
    return float(row.used[name] / total) if total and name in row.used else None


def _limit(row: Allotted, name: str) -> str:
    """Of the component's TRES, what the account as a whole is given."""
    whole = row.allowance.limits
    return ", ".join(f"{tres}={whole[tres]}" for tres in row.allowance.parts.get(name, {}) if tres in whole)


def _text(number: int | None) -> str:
    return "-" if number is None else str(number)


def _day(day: date | None) -> str:
    return "-" if day is None else str(day)


def _iso(day: date | None) -> str | None:
    return None if day is None else str(day)
