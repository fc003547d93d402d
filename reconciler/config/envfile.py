"""Files of environment variables: ``KEY=value``, quotes, comments, ``export``, as systemd, Docker and shells do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.errors import ConfigError

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_QUOTED = re.compile(r"""\s*(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*(?:\#.*)?""", re.DOTALL)
_COMMENT = re.compile(r"\s+#.*", re.DOTALL)


@dataclass(frozen=True)
class Variables:
    """Environment variables, where they come from, and where each one is set."""

    values: Mapping[str, str]
    source: str = "environment"
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Where a variable is set, or would be."""
        return self.places.get(name, self.source)


def parse(text: str, name: str) -> Variables:
    """The variables of one file. Raises :class:`ConfigError` that lists every line that is none."""
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for number, line in _logical_lines(text):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        match = _ASSIGNMENT.fullmatch(line)
        value = _value(match[2]) if match else None
        if match is None:
            problems.append(f"{name}:{number}: expected NAME=value")
        elif value is None:
            problems.append(f"{name}:{number}: {match[1]}: the quotes do not match")
        else:
            values[match[1]] = value  # the last one counts, as it does for systemd and shells
            places[match[1]] = f"{name}:{number}"
    if problems:
        raise ConfigError("\n".join(problems))
    return Variables(values, name, places)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers; one that ends in a backslash goes on in the next."""
    result: list[tuple[int, str]] = []
    open_ = False
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        comment = not open_ and line.lstrip()[:1] in ("#", ";")
        more = not comment and (len(line) - len(line.rstrip("\\"))) % 2 == 1
        part = line[:-1] if more else line
        if open_:
            first, before = result[-1]
            result[-1] = (first, before + part)
        else:
            result.append((number, part))
        open_ = more
    return result


def _value(raw: str) -> str | None:
    """A value without quotes and comment, or nothing if its quotes do not match."""
    if raw.lstrip()[:1] in ("'", '"'):
        match = _QUOTED.fullmatch(raw)
        if match is None:
            return None
        single = match["single"]
        return single if single is not None else re.sub(r'\\(["\\`$])', r"\1", match["double"])
    return _COMMENT.sub("", raw).strip()


def read(path: Path) -> Variables:
    """The variables of a file on disk."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file of environment variables") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def merge(files: Sequence[Variables], *, may_differ: frozenset[str], silent: frozenset[str]) -> Variables:
    """Several files of one site as one. What differs, and is not of ``may_differ``, is a problem.

    A variable of ``may_differ`` is left out when it differs; of a ``silent`` one the first is taken.
    """
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    dropped: set[str] = set()
    for file in files:
        for name, value in file.values.items():
            if name not in values:
                values[name], places[name] = value, file.place(name)
            elif values[name] != value and name in may_differ:
                dropped.add(name)
            elif values[name] != value and name not in silent:
                problems.append(f"{file.place(name)}: {name}: not the same as at {places[name]}")
    if problems:
        raise ConfigError("\n".join(problems), "Both files have to describe the same offering and cluster.")
    kept = {name: value for name, value in values.items() if name not in dropped}
    return Variables(kept, ", ".join(file.source for file in files), places)
