"""A diagnosis as text and as JSON, with the sections and keys that operators know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rich.text import Text

from reconciler.diagnose import LABELS, Report
from reconciler.render.script import Argv, command_lines
from reconciler.render.text import printable
from reconciler.state.model import json_value, plain, tres_of
from reconciler.state.tres import format_tres

FORMAT_VERSION = "1.0"
_WIDTH = 80
_MARKS = {"ok": ("[OK]", "green"), "mismatch": ("[MISMATCH]", "red"), "blocked": ("[BLOCKED]", "yellow")}
_OVERALL = {"ok": "green", "unmanaged": "cyan"}


def fix_commands(report: Report, argv: Argv) -> list[str]:
    """Commands that make the account what it should be; blocked changes are not among them."""
    return command_lines([c for c in report.changes if not c.blocked], report.cluster, argv)


def as_json(report: Report, argv: Argv) -> str:
    """The report for scripts."""
    resource, offering, actual = report.resource, report.offering, report.actual
    document = {
        "format_version": FORMAT_VERSION,
        "account_name": report.account,
        "overall_status": report.status,
        "slurm_info": {
            "cluster": report.cluster,
            "account_exists": actual is not None,
            "users": report.users,
            **({LABELS.get(k, k): json_value(plain(v)) for k, v in actual.values.items()} if actual else {}),
        },
        "waldur_info": {
            "resource_found": resource is not None,
            **(
                {
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
                if resource
                else {}
            ),
        },
        "policy_info": {"policy_found": report.policy is not None, **(report.policy or {})},
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
        "fix_commands": fix_commands(report, argv),
        "unit_conversions": [
            {
                "component": c.component,
                "waldur_value": c.waldur_value,
                "waldur_unit": c.waldur_unit,
                "unit_factor": c.factor,
                "tres": c.tres,
                "slurm_value": c.slurm_value,
                "slurm_unit": c.slurm_unit,
            }
            for c in report.conversions
        ],
        "notes": report.notes,
    }
    return json.dumps(document, indent=2)


def as_text(report: Report, argv: Argv, *, verbose: bool = False) -> Text:
    """The report for people."""
    out = Text()
    line = "=" * _WIDTH + "\n"
    out.append(f"{line}SLURM Account Diagnostic: {printable(report.account)}\n{line}", style="bold")
    _section(out, "SLURM CLUSTER", _slurm(report))
    _section(out, "WALDUR MASTERMIND", _waldur(report))
    _section(out, "SLURM POLICY", _policy(report))
    _title(out, "EXPECTED vs ACTUAL")
    for comparison in report.comparisons:
        mark, style = _MARKS[comparison.status]
        sign = "==" if comparison.status == "ok" else "!="
        out.append(f"  {mark:<10} ", style=style)
        out.append(f"{comparison.field}: {_short(comparison.actual)} {sign} {_short(comparison.expected)}\n")
        if comparison.units:
            out.append(f"             Units: {comparison.units}\n", style="dim")
        if comparison.reason and (verbose or comparison.status == "blocked"):
            out.append(f"             {printable(comparison.reason)}\n", style="dim")
    if not report.comparisons:
        out.append("  nothing to compare: no Waldur resource asks for this account\n")
    for note in report.notes:
        out.append(f"  Note: {printable(note)}\n", style="cyan")
    if verbose:
        rows = [(f"{c.component} -> {c.tres}", c.text()) for c in report.conversions]
        _section(out, "UNIT CONVERSIONS", rows or [("None", "")])
    commands = fix_commands(report, argv)
    if commands:
        _title(out, "REMEDIATION COMMANDS")
        for command in commands:
            out.append(f"  {printable(command)}\n")
    issues = f" ({report.issues} issue{'s' * (report.issues != 1)} found)" if report.issues else ""
    out.append("\n")
    out.append(f"OVERALL: {report.status.upper()}{issues}\n", style=f"bold {_OVERALL.get(report.status, 'red')}")
    out.append(line, style="bold")
    return out


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


def _slurm(report: Report) -> list[tuple[str, str]]:
    rows = [("Cluster", report.cluster), ("Account Exists", "Yes" if report.actual else "No")]
    if report.actual is None:
        return rows
    values = {name: plain(value) for name, value in report.actual.values.items()}
    for label, name in (
        ("Parent", "parent"),
        ("Description", "description"),
        ("Organization", "organization"),
        ("Fairshare", "fairshare"),
        ("QoS", "qos"),
    ):
        rows.append((label, _short(json_value(values.get(name)))))
    for name in ("grp_tres_mins", "grp_tres", "max_tres_mins"):
        value = values.get(name)
        if isinstance(value, Mapping) and (value or name == "grp_tres_mins"):
            rows.append((LABELS[name], format_tres(tres_of(value)) or "(none)"))
    return [*rows, ("Users", ", ".join(report.users) or "(none)")]


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


def _policy(report: Report) -> list[tuple[str, str]]:
    policy = report.policy
    if policy is None:
        return [("Policy Found", "No")]
    return [
        ("Policy Found", "Yes"),
        ("Period", str(policy.get("period_name", policy.get("period", "")))),
        ("Limit Type", str(policy.get("limit_type", ""))),
        ("TRES Billing", "Enabled" if policy.get("tres_billing_enabled") else "Disabled"),
        ("Grace Ratio", str(policy.get("grace_ratio", ""))),
    ]
