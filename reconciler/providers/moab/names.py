"""Names and texts as MAM takes them: what spoils a list, its SQL or its client is refused or left out."""

from __future__ import annotations

from reconciler.providers.base import NameRules
from reconciler.state.names import name_problem

#: words that stand for many people where a user is named
MANY_PEOPLE = frozenset({"ANY", "MEMBERS", "NONE"})


def problem(name: str) -> str | None:
    """Why a name must not reach a command, or None when it may."""
    if name.upper() in MANY_PEOPLE:
        return f"{name} means many people to MAM"
    if name.startswith("+"):
        return "the name starts with '+', which MAM reads as a sign"
    return name_problem(name)


RULES = NameRules(problem)


def clean_text(text: str) -> str:
    """A description as MAM can keep it: a quote ends its SQL, ``|`` its lists, what is beyond ASCII its client."""
    plain = "".join(c if c.isascii() and c.isprintable() else " " for c in text)
    return " ".join(plain.translate(str.maketrans("", "", "'\"|\\")).split()).lstrip("-= ")
