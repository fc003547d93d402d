"""What was found, as lines for an operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.doctor import Finding, Level
from reconciler.render.text import printable_lines

_STYLE = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
_WORD = {Level.OK: "ok  ", Level.WARNING: "warn", Level.ERROR: "FAIL"}

_INDENT = " " * 5


def lines(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Each line with its style; what to do stands below."""
    for found in findings:
        text = f"{_WORD[found.level]} {found.subject}: {found.check}: {printable_lines(found.text, _INDENT)}"
        yield text, _STYLE[found.level]
        if found.hint and found.level is not Level.OK:
            yield f"{_INDENT}{printable_lines(found.hint, _INDENT)}", ""


def rows(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """The same for JSON."""
    return [
        {"subject": f.subject, "check": f.check, "level": f.level.value, "ok": f.ok, "text": f.text, "hint": f.hint}
        for f in findings
    ]


def summary(findings: Iterable[Finding]) -> str:
    """How many there are of what."""
    levels = [f.level for f in findings]
    errors, warnings = levels.count(Level.ERROR), levels.count(Level.WARNING)
    if not errors and not warnings:
        return f"All is well ({len(levels)} checks)."
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}, {len(levels)} checks."
