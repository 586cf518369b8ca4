"""Plots as markup that stands inside a page: no file, no script, no address.

- Drawn by matplotlib without pyplot, so nothing is kept and no window is asked for.
- Colours are roles; the page gives each its value, in light and in dark. What is drawn in `INK`
  takes the colour of text.
- Text stays text, in the font of the page. Equal input gives equal markup.
- Names within a plot are unique on the page: each begins with the plot's number there.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shoal.errors import RequirementError

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing
except ImportError as error:
    _message = "plots are drawn by the package matplotlib, which is not installed"
    raise RequirementError(_message, hint="pip install 'shoal[train]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

# Colours that nobody would choose stand for roles until the markup is done.
INK: Final = "#010101"
MUTED: Final = "#010102"
LINE: Final = "#010103"
ACCENT: Final = "#010104"
SECOND: Final = "#010105"
SERIES: Final = tuple(f"#0101{place:02x}" for place in range(0x10, 0x16))
ROLES: Final = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    ACCENT: "accent",
    SECOND: "second",
    **{colour: f"series-{place}" for place, colour in enumerate(SERIES)},
}
STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shoal",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
}
WIDE_INCHES: Final = 7.6
NARROW_INCHES: Final = 4.2
HIGH_INCHES: Final = 3.6

_NAMES = re.compile(r'(\bid="|xlink:href="#|url\(#)')
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_HEAD = re.compile(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>")
_FONT = re.compile(r"(font: (?:[\w.]+ )*[\d.]+px )[^;\"]*")
_FAMILY = re.compile(r"font-family: [^;\"]*")
_STYLE = re.compile(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL)


@dataclass(frozen=True)
class Plot:
    """A drawing as markup, safe to stand in a page.

    Attributes:
        markup: An `svg` element.
        width_inches: How wide it is where there is room.
    """

    markup: str
    width_inches: float

    def numbered(self, number: int) -> str:
        """Gives the markup with names that only this plot of a page has."""
        return _NAMES.sub(rf"\g<1>plot{number}-", self.markup)


def plot(
    draw: Callable[[Axes], object],
    *,
    width_inches: float = NARROW_INCHES,
    height_inches: float = HIGH_INCHES,
) -> Plot:
    """Draws one plot.

    Args:
        draw: Draws on the axes it is given, in colours that are roles.
        width_inches: How wide it is; the page makes it smaller where there is less room.
        height_inches: How high it is.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # its stub lists every key
        drawing = Drawing(figsize=(width_inches, height_inches), layout="constrained")
        draw(drawing.add_subplot())
        target = io.StringIO()
        with warnings.catch_warnings():
            # The browser has other fonts than matplotlib, which only measures the text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            drawing.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return Plot(_inside_a_page(target.getvalue()), width_inches)


def _inside_a_page(markup: str) -> str:
    """Takes off what only a file needs, and gives colours their roles."""
    for pattern in (_PROLOGUE, _METADATA, _STYLE):
        markup = pattern.sub("", markup)
    markup = _HEAD.sub(r"<svg \1>", markup, count=1)
    markup = _FAMILY.sub("font-family: inherit", _FONT.sub(r"\1inherit", markup))
    for colour, role in ROLES.items():
        markup = markup.replace(colour, f"var(--{role})")
    return markup
