"""The parts of a page: plain values, which know nothing of what they tell.

- Whatever is text is escaped by the template; only a plot, which was drawn here, is markup.
- A table has a caption and headings, a plot a description for who cannot see it.
- Numbers are written with as many digits as they deserve; what is missing is a dash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from shoal.evaluate._page._plots import Plot

MISSING: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
THIN_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"
LARGEST_WHOLE: Final = 10**15
MANY: Final = 10_000
DIGITS: Final = 4


@dataclass(frozen=True)
class Shaded:
    """A cell with a background: the darker, the larger its share from 0 to 1."""

    value: Value
    share: float


Value: TypeAlias = str | int | float | None
Cell: TypeAlias = Value | Shaded


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Notes:
    """What a reader must not miss, as a list."""

    notes: tuple[str, ...]
    kind: str = "notes"


@dataclass(frozen=True)
class Facts:
    """Names and values beside each other."""

    facts: tuple[tuple[str, Value], ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Tile:
    """One number that a reader looks for first, and what it means."""

    label: str
    value: Value
    detail: str = ""


@dataclass(frozen=True)
class Tiles:
    """Numbers in a row."""

    tiles: tuple[Tile, ...]
    kind: str = "tiles"


@dataclass(frozen=True)
class Table:
    """Rows below headings; the first cell of a row is its heading.

    Attributes:
        caption: What the table tells.
        headings: One per column.
        rows: As many cells each.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kind: str = "table"

    def is_numeric(self, column: int) -> bool:
        """Says whether a column holds numbers, which stand at the right."""
        cells = [row[column] for row in self.rows]
        plain = [cell.value if isinstance(cell, Shaded) else cell for cell in cells]
        return not any(isinstance(cell, str) for cell in plain)


@dataclass(frozen=True)
class Figure:
    """A plot.

    Attributes:
        plot: What was drawn.
        description: What a reader sees in it, for who cannot.
        caption: What stands below it.
    """

    plot: Plot
    description: str
    caption: str = ""
    kind: str = "figure"


@dataclass(frozen=True)
class Beside:
    """Plots and tables beside each other, where there is room."""

    blocks: tuple[Figure | Table, ...]
    kind: str = "beside"


Block: TypeAlias = Text | Notes | Facts | Tiles | Table | Figure | Beside


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading."""

    title: str
    blocks: tuple[Block, ...]


def written(value: Value) -> str:
    """Gives a value as a reader wants it: a whole number whole, else four digits that count."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return _number(value).replace("-", MINUS)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < LARGEST_WHOLE:
        return f"{int(value):,}".replace(",", THIN_SPACE)
    if abs(value) >= MANY or abs(value) < 10.0**-DIGITS:
        return f"{value:.{DIGITS - 1}g}"
    whole = max(0, math.floor(math.log10(abs(value))))
    return f"{value:.{max(0, DIGITS - 1 - whole)}f}"
