"""Names of accounts and users: how they fold, and which are refused.

SLURM folds account and user names, descriptions and organizations to lower case, byte by byte (so only
ASCII letters change). sacctmgr accepts names that hurt later; those are refused here, before a command.
"""

from __future__ import annotations

import re

# acct_table.name and user_table.name are tinytext: longer names are cut without a word
MAX_NAME = 255
_SAFE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+-]*")
_DROPPED = str.maketrans("", "", "\"'`|\\#")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(text: str) -> str:
    """Lower case as SLURM does it: ASCII letters only."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


def clean_text(text: str) -> str:
    """A description or organization as it can be stored and read back unchanged.

    Quotes become backticks, ``|`` shifts the columns of parsable output, a line break ends its row, a
    backslash vanishes in ``load`` and ``#`` begins a comment there: all of them go; white space collapses.
    """
    # slurmdbd's tables keep three bytes per character; one beyond comes back as a question mark
    printable = "".join("?" if ord(c) > 0xFFFF else c if c.isprintable() else " " for c in text)
    return fold(" ".join(printable.translate(_DROPPED).split()).lstrip("= "))


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same to a database that keeps ``?`` for characters beyond its charset."""
    return one == other or _ascii(one) == _ascii(other)


def _ascii(text: str) -> str:
    return "".join(c if c.isascii() else "?" for c in text)


def name_problem(name: str) -> str | None:
    """Why a name must not reach sacctmgr, or None when it may."""
    if not name:
        return "the name is empty"
    if len(name) > MAX_NAME:
        return f"the name has {len(name)} characters, SLURM cuts at {MAX_NAME}"
    if name.startswith("-"):
        return "the name starts with '-' and would be read as an option"
    if not _SAFE.fullmatch(name):
        bad = next((c for c in name if not re.fullmatch(r"[A-Za-z0-9_.@+-]", c)), name[0])
        return f"the name holds {bad!r}; letters, digits and _ . @ + - are allowed"
    return None
