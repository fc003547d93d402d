"""Patterns of user names, like ``{first_initial}{last_name:.6}``."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

FIELDS = (
    "first_name",
    "last_name",
    "first_initial",
    "last_initial",
    "email_name",
    "email_domain",
    "login",
    "unix_name",
)
_LENGTH = re.compile(r"\.[1-9][0-9]?")
_LITERAL = re.compile(r"[a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Part:
    """Literal text and the field after it, cut to ``length``. The last part of a pattern may have no field."""

    text: str
    field: str = ""
    length: int | None = None


def parse(pattern: str) -> tuple[Part, ...]:
    """The parts of a pattern. Raises ``ValueError`` with everything that is wrong with it.

    Of Python's format language only ``{field}`` and ``{field:.6}`` are understood: the values come from people's
    profiles, and nothing but their first characters is ever wanted.
    """
    try:
        pieces = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f"{pattern!r}: {error}") from None
    parts, problems, unknown = [], [], []
    for text, name, spec, conversion in pieces:
        if not _LITERAL.fullmatch(text):
            problems.append(f"the text {text!r} holds what user names may not: only a-z 0-9 _ - are allowed")
        if name is not None and name not in FIELDS:
            unknown.append(name)
        if conversion:
            problems.append(f"conversions like !{conversion} are not allowed")
        if spec and not _LENGTH.fullmatch(spec):
            problems.append(f"{spec!r} is no length; write {{{name}:.6}} for the first six characters")
        parts.append(Part(text, name or "", int(spec[1:]) if spec and _LENGTH.fullmatch(spec) else None))
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        problems.insert(0, f"unknown field{'s' * (len(unknown) > 1)} {names}; known: {', '.join(FIELDS)}")
    if not problems and not any(part.field for part in parts):
        problems.append("it names no field, so everybody would get the same name")
    if problems:
        raise ValueError(f"{pattern!r}: {'; '.join(problems)}")
    return tuple(parts)
