"""Tables that never cut a number or a name: where they do not fit, bars go, texts wrap, rows become blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from reconciler.render.text import printable

_GAP = 2


class Fit(Enum):
    """What becomes of a column where the width does not suffice."""

    WHOLE = "whole"  # stays on one line
    WORDS = "words"  # wraps between words
    BAR = "bar"  # goes


@dataclass(frozen=True)
class Column:
    """A column and how it gives way."""

    title: str
    fit: Fit = Fit.WORDS
    right: bool = False


class Table:
    """Rows that fit themselves to the width they are printed at. Cells are texts from anywhere, or styled ones."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = list(columns)
        self._rows: list[tuple[list[Text], str]] = []

    def add(self, cells: Iterable[str | Text], style: str = "") -> None:
        """One row."""
        self._rows.append(([c if isinstance(c, Text) else Text(printable(c)) for c in cells], style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The widest form that fits."""
        everything = range(len(self._columns))
        without_bars = [n for n in everything if self._columns[n].fit is not Fit.BAR]
        for chosen in (list(everything), without_bars):
            widths = {n: self._natural(n) for n in chosen}
            if _total(widths) <= options.max_width:
                yield self._grid(widths)
                return
        least = {n: self._least(n) for n in without_bars}
        if _total(least) <= options.max_width:
            yield self._grid(_shrunk({n: self._natural(n) for n in without_bars}, least, options.max_width))
        else:
            yield from self._blocks(without_bars)

    def _cells(self, number: int) -> list[str]:
        return [self._columns[number].title, *(cells[number].plain for cells, _ in self._rows)]

    def _natural(self, number: int) -> int:
        return max(cell_len(c) for c in self._cells(number))

    def _least(self, number: int) -> int:
        if self._columns[number].fit is Fit.WHOLE:
            return self._natural(number)
        return max(cell_len(word) for c in self._cells(number) for word in (c.split() or [""]))

    def _grid(self, widths: dict[int, int]) -> Grid:
        grid = Grid(box=None, pad_edge=False)
        for number, width in widths.items():
            column = self._columns[number]
            grid.add_column(
                column.title,
                justify="right" if column.right else "left",
                # rich gives a column of width 0 its own idea of a width
                width=max(1, width),
                no_wrap=column.fit is not Fit.WORDS,
                overflow="fold",
            )
        for cells, style in self._rows:
            grid.add_row(*(cells[n] for n in widths), style=style or None)
        return grid

    def _blocks(self, chosen: Sequence[int]) -> Iterable[RenderableType]:
        """Each row as lines of its own; a line that is too long is the terminal's to wrap."""
        wide = max(cell_len(self._columns[n].title) for n in chosen)
        for position, (cells, style) in enumerate(self._rows):
            lines = Text("\n" if position else "", style=style, no_wrap=True, overflow="ignore", end="")
            for number in chosen:
                title = self._columns[number].title
                lines.append(f"{title}{' ' * (wide - cell_len(title))}  ", style="dim")
                lines.append_text(cells[number])
                lines.append("\n")
            yield lines


def _total(widths: dict[int, int]) -> int:
    return sum(max(1, w) for w in widths.values()) + _GAP * (len(widths) - 1)


def _shrunk(natural: dict[int, int], least: dict[int, int], width: int) -> dict[int, int]:
    """The widest columns give way first."""
    widths = dict(natural)
    while _total(widths) > width:
        number = max((n for n in widths if widths[n] > least[n]), key=lambda n: widths[n])
        widths[number] -= 1
    return widths
