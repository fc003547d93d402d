"""Names and texts as SLURM keeps them.

SLURM folds account and user names, descriptions and organizations to lower case, byte by byte (so only
ASCII letters change). sacctmgr accepts names that hurt later; those are refused here, before a command.
"""

from __future__ import annotations

from reconciler.providers.base import NameRules
from reconciler.state.names import fold, name_problem

# acct_table.name and user_table.name are tinytext: longer names are cut without a word
_LONGEST = 255
# acct_table's key is name(42): a second account with the same beginning can never be made
_KEY = 42
_DROPPED = str.maketrans("", "", "\"'`|\\#")


def problem(name: str) -> str | None:
    """Why a name must not reach sacctmgr, or None when it may."""
    if len(name) > _LONGEST:
        return f"the name has {len(name)} characters, SLURM cuts at {_LONGEST}"
    return name_problem(name)


RULES = NameRules(problem, _KEY)


def clean_text(text: str) -> str:
    """A description or organization as it can be stored and read back unchanged.

    Quotes become backticks, ``|`` shifts the columns of parsable output, a line break ends its row, a
    backslash vanishes in ``load`` and ``#`` begins a comment there: all of them go; white space collapses.
    """
    # slurmdbd's tables keep three bytes per character; one beyond comes back as a question mark
    printable = "".join("?" if ord(c) > 0xFFFF else c if c.isprintable() else " " for c in text)
    return fold(" ".join(printable.translate(_DROPPED).split()).lstrip("= "))
