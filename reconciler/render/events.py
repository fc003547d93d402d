"""Terraform's machine-readable event lines: one JSON object per line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from reconciler import __version__
from reconciler.apply.record import Event
from reconciler.plan.document import FORMAT_VERSION
from reconciler.plan.model import Plan
from reconciler.state.diff import Action, Change

_VERB = {Action.CREATE: "create", Action.UPDATE: "update", Action.DELETE: "delete"}


def _line(level: str, message: str, kind: str, **rest: object) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "@level": level,
            "@message": message,
            "@module": "reconcile.ui",
            "@timestamp": now,
            "type": kind,
            **rest,
        }
    )


def version() -> str:
    """The first line of every stream."""
    return _line("info", f"reconcile {__version__}", "version", reconcile=__version__, ui=FORMAT_VERSION)


def _resource(change: Change) -> dict[str, object]:
    return {
        "addr": str(change.address),
        "resource_type": change.address.kind,
        "resource_name": "/".join(change.address.key),
        "resource_key": list(change.address.key),
    }


def planned(change: Change) -> str:
    """A change that the plan holds."""
    message = f"{change.address}: Plan to {_VERB[change.action]}"
    body = {"resource": _resource(change), "action": _VERB[change.action], "reason": change.reason}
    if change.blocked:
        return _line("warn", f"{message} is blocked: {change.blocked}", "planned_change", change=body)
    return _line("info", message, "planned_change", change=body)


def plain(change: Change, kind: str, why: str) -> str:
    """An event of an object that cannot be shown as it should be: what is known of it in any case."""
    address = str(change.address)
    resource = {"addr": address, "resource_type": change.address.kind, "resource_key": list(change.address.key)}
    body = {"resource": resource, "action": change.action.value}
    message = f"{address}: {change.action.value}; the rest cannot be shown, a defect of reconcile: {why}"
    return _line("warn", message, kind, **{"change" if kind == "planned_change" else "hook": body})


def change_summary(operation: str, add: int, change: int, remove: int, failed: int = 0) -> str:
    """Counts, after planning (``plan``) and after applying (``apply``)."""
    words = (
        f"Plan: {add} to add, {change} to change, {remove} to destroy."
        if operation == "plan"
        else f"{outcome_words(failed)} Resources: {add} added, {change} changed, {remove} destroyed."
    )
    counts = {"add": add, "change": change, "remove": remove, "operation": operation}
    return _line("error" if failed else "info", words, "change_summary", changes=counts)


def outcome_words(failed: int) -> str:
    """How an apply ended."""
    return f"Apply failed for {failed} object{'s' * (failed > 1)}." if failed else "Apply complete!"


def plan_summary(plan: Plan) -> str:
    """The counts of a plan."""
    return change_summary("plan", *(plan.count(a) for a in Action))


def hook(event: Event, change: Change, seconds: float, text: str) -> str:
    """One step of one object."""
    level = "error" if event is Event.ERRORED else "info"
    body: dict[str, object] = {"resource": _resource(change), "action": _VERB[change.action]}
    if event is not Event.START:
        body["elapsed_seconds"] = round(seconds, 3)
    message = f"{change.address}: {event.value.removeprefix('apply_').capitalize()}"
    return _line(level, f"{message}: {text}" if text else message, event.value, hook=body)


def diagnostic(severity: str, text: str, detail: str = "") -> str:
    """An error or warning that belongs to no single object."""
    body = {"severity": severity, "summary": text, "detail": detail}
    return _line("error" if severity == "error" else "warn", text, "diagnostic", diagnostic=body)
