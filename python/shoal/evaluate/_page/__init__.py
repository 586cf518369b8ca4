"""Pages in one file: what a report, and any other page of Shoal, is made of."""

from shoal.evaluate._page._blocks import (
    Beside,
    Block,
    Cell,
    Facts,
    Figure,
    Notes,
    Section,
    Shaded,
    Table,
    Text,
    Tile,
    Tiles,
    written,
)
from shoal.evaluate._page._page import Page

__all__ = [
    "Beside",
    "Block",
    "Cell",
    "Facts",
    "Figure",
    "Notes",
    "Page",
    "Section",
    "Shaded",
    "Table",
    "Text",
    "Tile",
    "Tiles",
    "written",
]
