"""A diagnosis as text and as JSON, with the sections and keys that operators know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rich.text import Text

from reconciler.diagnose import Comparison, Report
from reconciler.faults import Fault, Faults
from reconciler.providers.base import Cluster
from reconciler.render import policy
from reconciler.render.script import command_lines
from reconciler.render.text import DEFECT, printable, printable_lines
from reconciler.state import compare
from reconciler.state.kinds import KINDS, Kind
from reconciler.state.model import Obj
from reconciler.state.values import json_value, numbers_of, plain

FORMAT_VERSION = "1.0"
_WIDTH = 80
_INDENT = " " * 13
_MARKS = {"ok": ("[OK]", "green"), "mismatch": ("[MISMATCH]", "red"), "blocked": ("[BLOCKED]", "yellow")}
_OVERALL = {"ok": "green", "unmanaged": "cyan"}


def fix_commands(report: Report, cluster: Cluster) -> list[str]:
    """Commands that make the account what it should be; blocked changes are not among them."""
    live = [c for c in report.changes if not c.blocked]
    return command_lines(live, cluster, report.cluster, remote=report.remote)


def as_json(report: Report, cluster: Cluster) -> str:
    """The report for scripts."""
    actual = report.actual
    word, kind = report.backend.name, KINDS[report.backend.shape.account]
    document = {
        "format_version": FORMAT_VERSION,
        "account_name": report.account,
        "overall_status": report.status,
        f"{word}_info": {
            "cluster": report.cluster,
            "account_exists": actual is not None,
            "users": report.users,
            **({kind.field(k).title: json_value(plain(v)) for k, v in actual.values.items()} if actual else {}),
        },
        "waldur_info": {"resource_found": report.resource is not None, **_resource(report)},
        "policy_info": policy.facts(report.allocation, report.allowance),
        "expected_settings": report.expected,
        "comparisons": [
            {
                "field": c.field,
                "expected": c.expected,
                "actual": c.actual,
                "status": c.status,
                "match": c.status == "ok",
                "reason": c.reason,
                "address": c.address,
            }
            for c in report.comparisons
        ],
        "fix_commands": fix_commands(report, cluster),
        "unit_conversions": [
            {
                "component": c.component,
                "waldur_value": c.amount,
                "waldur_unit": c.unit,
                "unit_factor": c.factor,
                "tres": c.limit,
                f"{word}_value": c.value if isinstance(c.value, int) else str(c.value),
                f"{word}_unit": c.cluster_unit,
            }
            for c in report.conversions
        ],
        "notes": report.notes,
    }
    return json.dumps(document, indent=2)


def _resource(report: Report) -> dict[str, object]:
    """The resource as the portal has it; empty where it has none."""
    resource, offering = report.resource, report.offering
    if resource is None:
        return {}
    return {
        "resource_uuid": resource.uuid,
        "resource_name": resource.name,
        "state": resource.state,
        "backend_id": resource.backend_id,
        "limits": dict(resource.limits),
        "paused": resource.paused,
        "downscaled": resource.downscaled,
        "restrict_member_access": resource.restrict_member_access,
        "project_name": resource.project_name,
        "customer_name": resource.customer_name,
        "offering_name": offering.name if offering else "",
        "offering_uuid": offering.waldur_offering_uuid if offering else "",
    }


def as_text(report: Report, cluster: Cluster, faults: Faults, *, verbose: bool = False) -> Text:
    """The report for people; a comparison that cannot be shown is a plain line, and one of ``faults``."""
    out = Text()
    line = "=" * _WIDTH + "\n"
    title = report.backend.title
    out.append(f"{line}{title} Account Diagnostic: {printable(report.account)}\n{line}", style="bold")
    _section(out, f"{title} CLUSTER", _cluster(report))
    _section(out, "WALDUR MASTERMIND", _waldur(report))
    _section(out, f"{title} POLICY", policy.rows(report.allocation, report.allowance))
    _title(out, "EXPECTED vs ACTUAL")
    for comparison in report.comparisons:
        out.append_text(_compared(comparison, faults, verbose=verbose))
    if not report.comparisons:
        out.append("  nothing to compare: no Waldur resource asks for this account\n")
    for note in report.notes:
        out.append(f"  Note: {printable_lines(note, _INDENT)}\n", style="cyan")
    if verbose:
        rows = [(f"{c.component} -> {c.limit}", report.sentence(c)) for c in report.conversions]
        _section(out, "UNIT CONVERSIONS", rows or [("None", "")])
    commands = fix_commands(report, cluster)
    if commands:
        _title(out, "REMEDIATION COMMANDS")
        for command in commands:
            out.append(f"  {printable(command)}\n")
    issues = f" ({report.issues} issue{'s' * (report.issues != 1)} found)" if report.issues else ""
    out.append("\n")
    out.append(f"OVERALL: {report.status.upper()}{issues}\n", style=f"bold {_OVERALL.get(report.status, 'red')}")
    out.append(line, style="bold")
    return out


def _compared(comparison: Comparison, faults: Faults, *, verbose: bool) -> Text:
    mark, style = _MARKS[comparison.status]

    def whole() -> Text:
        sign = "==" if comparison.status == "ok" else "!="
        out = Text.assemble((f"  {mark:<10} ", style), f"{printable(comparison.field)}: ")
        out.append(f"{_short(comparison.expected)} {sign} {_short(comparison.actual)}\n")
        if comparison.units:
            out.append(f"{_INDENT}Units: {printable(comparison.units)}\n", style="dim")
        if comparison.reason and (verbose or comparison.status == "blocked"):
            out.append(f"{_INDENT}{printable_lines(comparison.reason, _INDENT)}\n", style="dim")
        return out

    def plain(fault: Fault) -> Text:
        return Text(f"  {mark:<10} {printable(comparison.field)}: ({DEFECT}: {printable(fault.why)})\n", style=style)

    return faults.attempt(f"{comparison.field} of the account", whole, plain)


def _title(out: Text, title: str) -> None:
    out.append(f"\n{title}\n", style="bold")
    out.append("-" * _WIDTH + "\n")


def _section(out: Text, title: str, rows: Iterable[tuple[str, str]]) -> None:
    _title(out, title)
    for name, value in rows:
        out.append(f"  {name + ':':<19} {printable(value)}\n")


def _short(value: object) -> str:
    if isinstance(value, list):
        return ",".join(printable(str(v)) for v in value) or "(none)"
    return "(none)" if value in (None, "", {}) else printable(str(value))


def _cluster(report: Report) -> list[tuple[str, str]]:
    rows = [("Cluster", report.cluster), ("Account Exists", "Yes" if report.actual else "No")]
    if report.actual is None:
        return rows
    shape = report.backend.shape
    rows += _overview(KINDS[shape.account], report.actual)
    if report.budget is not None:
        rows += _overview(KINDS[shape.budget], report.budget)
    return [*rows, ("Users", ", ".join(report.users) or "(none)")]


def _overview(kind: Kind, present: Obj) -> list[tuple[str, str]]:
    """The fields that an overview has a heading for."""
    rows = []
    for field in (f for f in kind.fields if f.heading):
        value = plain(present.values.get(field.name))
        if field.compare is not compare.NUMBERS:
            rows.append((field.heading, _short(json_value(value))))
        elif isinstance(value, Mapping) and (value or field.name == kind.budget):
            rows.append((field.heading, _numbers(value)))
    return rows


def _numbers(value: Mapping[str, object]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in sorted(numbers_of(value).items())) or "(none)"


def _waldur(report: Report) -> list[tuple[str, str]]:
    resource = report.resource
    if resource is None:
        return [("Resource Found", "No")]
    flags = [f for f in ("paused", "downscaled", "restrict_member_access") if getattr(resource, f)]
    return [
        ("Resource Found", "Yes"),
        ("Resource Name", resource.name),
        ("Resource UUID", resource.uuid),
        ("Offering", report.offering.name if report.offering else ""),
        ("State", resource.state),
        ("Flags", ", ".join(flags) or "(none)"),
        ("Limits", ", ".join(f"{k}={v}" for k, v in sorted(resource.limits.items())) or "(none)"),
        *([("Order", f"{order.type} {order.uuid}, {order.state}")] if (order := resource.order) is not None else []),
    ]
