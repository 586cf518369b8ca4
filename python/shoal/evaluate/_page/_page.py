"""A page in one file: readable, printable, in light and dark, with nothing to fetch and no script.

- Everything is inside: style, plots, data. A page opened years later, or without a network, is the
  same page.
- Text is escaped (Jinja2's autoescape); a strict content policy stands in the page as well, so that
  even a mistake could fetch and run nothing.
- Headings have an order, tables have captions and headings, plots have descriptions.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from shoal.errors import RequirementError
from shoal.evaluate._page._blocks import Section, Shaded, written

try:
    import jinja2
    import markupsafe
except ImportError as error:
    _message = "pages are made by the package jinja2, which is not installed"
    raise RequirementError(_message, hint="pip install 'shoal[train]'") from error

if TYPE_CHECKING:
    from shoal.evaluate._page._blocks import Cell, Value
    from shoal.evaluate._page._plots import Plot

# Text stays readable on it, in light and in dark.
DEEPEST_PERCENT: Final = 50


@dataclass(frozen=True)
class Page:
    """A page of sections.

    Attributes:
        title: What it is about.
        sections: Its parts, in order; they are listed at its top.
        subtitle: What kind of page it is.
        footer: What stands at its end.
    """

    title: str
    sections: tuple[Section, ...]
    subtitle: str = ""
    footer: str = ""

    def to_html(self) -> str:
        """Gives the page as text, to be written to one file in UTF-8."""
        numbers = itertools.count(1)

        def drawn(plot: Plot) -> markupsafe.Markup:
            return markupsafe.Markup(plot.numbered(next(numbers)))  # noqa: S704 - drawn here

        names = _names([section.title for section in self.sections])
        return _template().render(
            page=self,
            named=list(zip(names, self.sections, strict=True)),
            drawn=drawn,
            written=_cell,
            shade=_shade,
        )


@functools.cache
def _template() -> jinja2.Template:
    source = resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)


def _names(titles: list[str]) -> list[str]:
    """Gives each section a name for links: unique, and the same on every page of such sections."""
    plain = [re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section" for title in titles]
    return [
        name if name not in plain[:place] else f"{name}-{place + 1}"
        for place, name in enumerate(plain)
    ]


def _cell(cell: Cell) -> str:
    value: Value = cell.value if isinstance(cell, Shaded) else cell
    return written(value)


def _shade(cell: Cell) -> int | None:
    """Gives the percentage of the accent in a cell's background."""
    return (
        round(DEEPEST_PERCENT * min(max(cell.share, 0.0), 1.0))
        if isinstance(cell, Shaded)
        else None
    )
