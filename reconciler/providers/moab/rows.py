"""What ``mam-list-*`` and ``mam-balance`` print with ``--raw``: a header, then rows whose cells nobody escapes.

Source: MAM 9 administrator's guide, client commands. A result without rows prints nothing at all, not even a header.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Context, Decimal, localcontext

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state.units import UnitError, decimal

#: exit codes of an answer: all well, and all well with a remark about the schema
WELL = (0, 8)
_QUOTED = 200
_DIGITS = 60
ADVICE = {
    22: "Does the accounting manager run, and can this host reach it?",
    44: "The account that runs the commands needs the role of a system administrator in MAM.",
}

Row = dict[str, str]


def listed(runner: CommandRunner, program: str, columns: Sequence[str], *arguments: str) -> list[Row]:
    """The rows of a list, by column. Raises :class:`ReadError` for an answer that is not whole."""
    return rows(runner.run(program, "--raw", "--show", ",".join(columns), *arguments), columns)


def require(result: Result) -> None:
    """Raise :class:`CommandError` where a command failed."""
    if result.code not in WELL:
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", ADVICE.get(result.code, ""))


def rows(result: Result, columns: Sequence[str]) -> list[Row]:
    """The rows of an answer. Raises :class:`ReadError`; what is short, long or cut spoils the whole."""
    require(result)
    text = result.stdout
    if not text:
        return []
    header, *lines = text.split("\n")
    if header != "|".join(columns):
        raise ReadError(f"{result.command}: expected the header {'|'.join(columns)!r}, found {header[:_QUOTED]!r}")
    if not lines or lines.pop():
        raise ReadError(f"{result.command}: its answer ends within a line: {text[-_QUOTED:]!r}")
    found = []
    for line in lines:
        cells = line.split("|")
        if len(cells) != len(columns):
            raise ReadError(
                f"{result.command}: a row of {len(cells)} cells instead of {len(columns)}: {line[:_QUOTED]!r}",
                "A name with | or a line break in it spoils the list: rename it in MAM.",
            )
        found.append(dict(zip(columns, (c.strip() for c in cells), strict=True)))
    return found


def amount(text: str, what: str) -> Decimal:
    """A sum of money as it is printed, with its decimals. Raises :class:`ReadError`."""
    try:
        number = decimal(text)
    except UnitError as error:
        raise ReadError(f"{what}: {error}") from None
    if number.adjusted() > _DIGITS:
        raise ReadError(f"{what}: an amount of {number.adjusted()} digits")
    return number


def exact() -> AbstractContextManager[Context]:
    """Sums are exact within, whatever somebody wrote into a pool."""
    return localcontext(Context(prec=120))


def money(number: Decimal) -> str:
    """A sum with the decimals that it has, without an exponent."""
    return f"{number:f}"
