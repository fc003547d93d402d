"""Periodic limits as tables, CSV and JSON: pure functions of what accounts are allotted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from rich.text import Text

from reconciler.cycle.allowances import Allotted
from reconciler.cycle.simulation import Reached, Simulation
from reconciler.render.policy import amount, balance, facts
from reconciler.render.table import Column, Fit, Table
from reconciler.render.usage import bar, inert, percentage
from reconciler.state.periodic import triggers
from reconciler.state.values import json_value

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
            made.add(
                [row.allocation.account, name, *cells, unit, bar(share), _percentage(row, name), _limit(row, name)]
            )
    return made


def thresholds(rows: Sequence[Allotted]) -> Table:
    """Where each account stands, and when it will be slowed down or blocked."""
    numbers = ("fairshare", "used", "threshold", "grace", "limit", "Waldur %")
    columns = [Column("account"), Column("period"), *(Column(n, Fit.WHOLE, right=True) for n in numbers)]
    made = Table([*columns, Column("unit"), Column("threshold on", Fit.WHOLE), Column("grace on", Fit.WHOLE)])
    for row in rows:
        given = row.allowance
        cells = [str(row.terms.fairshare), _text(row.counted), _text(given.threshold), _text(given.grace)]
        cells.append(_text(given.limits.get(given.unit)))
        cells.append("-" if row.percent is None else f"{round(row.percent)}")
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
            "usage_percentage": None if row.percent is None else amount(row.percent),
            "would_trigger": [] if row.percent is None else list(triggers(row.percent, row.terms.rules)),
            "threshold_on": _iso(row.threshold_on),
            "grace_on": _iso(row.grace_on),
        }
        for row in rows
    ]
    return json.dumps({"format_version": "1.0", "limits": listed, "errors": list(problems)}, indent=2)


def reached(rows: Sequence[Reached]) -> list[str]:
    """Whose usage of now the portal would judge otherwise, a line each."""
    return [
        f"{row.account}: today {round(row.percent)} % are used ({_action(row.action)} in Waldur), "
        f"then {round(row.other_percent)} % ({_action(row.other_action)})"
        for row in rows
    ]


def simulation_document(found: Sequence[Simulation], given: Sequence[str], problems: Sequence[str]) -> str:
    """A simulation as JSON: no plan, so that nobody can apply it."""
    changes = [
        {
            "cluster": one.plan.cluster,
            "address": str(change.address),
            "before": {n: json_value((change.before or {}).get(n)) for n in change.changed()},
            "after": {n: json_value((change.after or {}).get(n)) for n in change.changed()},
            "blocked": change.blocked,
        }
        for one in found
        for change in (*one.plan.changes, *one.plan.blocked)
    ]
    return json.dumps(
        {
            "format_version": "1.0",
            "simulation": list(given),
            "changes": changes,
            "waldur_actions": [r for one in found for r in reached_document(one.reached)],
            "without_rules": [name for one in found for name in one.unruled],
            "errors": list(problems),
        },
        indent=2,
    )


def _action(word: str) -> str:
    return {"pause": "paused", "downscale": "slowed down", "notify": "notified"}.get(word, "nothing is done")


def reached_document(rows: Sequence[Reached]) -> list[dict[str, object]]:
    """The same as JSON."""
    return [
        {
            "account": row.account,
            "usage_percentage": [amount(row.percent), amount(row.other_percent)],
            "action": [row.action, row.other_action],
        }
        for row in rows
    ]


#: a share of which nobody reads the digits
_MOST = Fraction(10**9)


def _used(row: Allotted, name: str) -> str:
    return amount(row.used[name]) if name in row.used else "-"


def _percentage(row: Allotted, name: str) -> Text:
    share = _share(row, name)
    if share is not None:
        return percentage(share)
    return Text("none bought" if not row.terms.balances[name].total else "-", style="dim")


def _share(row: Allotted, name: str) -> float | None:
    total = row.terms.balances[name].total
    return float(min(row.used[name] / total, _MOST)) if total and name in row.used else None


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
