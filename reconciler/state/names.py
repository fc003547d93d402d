"""Names of accounts and users: how they fold, and which are refused before they reach a command or a path."""

from __future__ import annotations

import re
from collections.abc import Sequence

# what nobody takes for a name
_LONGEST = 255
_SAFE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+-]*")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(text: str) -> str:
    """Lower case, byte by byte: ASCII letters only."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same to a database that keeps ``?`` for characters beyond its charset."""
    return one == other or _ascii(one) == _ascii(other)


def _ascii(text: str) -> str:
    return "".join(c if c.isascii() else "?" for c in text)


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first of many names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if names[shown:] else "")


def name_problem(name: str) -> str | None:
    """Why a name must not reach a command, or None when it may."""
    if not name:
        return "the name is empty"
    if len(name) > _LONGEST:
        return f"the name has {len(name)} characters, more than {_LONGEST}"
    if name.startswith("-"):
        return "the name starts with '-' and would be read as an option"
    if not _SAFE.fullmatch(name):
        bad = next((c for c in name if not re.fullmatch(r"[A-Za-z0-9_.@+-]", c)), name[0])
        return f"the name holds {bad!r}; letters, digits and _ . @ + - are allowed"
    return None
