"""Bars and curves as plain SVG, on a white sheet: light and dark pages show them."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.serve._figures import Spread

LABEL_PX, BAR_PX, FIGURE_PX = 370, 420, 90
ROW_PX, THICKNESS_PX, TOP_PX = 30, 18, 44
NAMESPACE = "http://www.w3.org/2000/svg"
OWN, OTHERS = "#0b7285", "#adb5bd"
INK, GRID = "#212529", "#dee2e6"
COLOURS = (OWN, "#e8590c", "#7048e8", "#2f9e44", "#c2255c", "#f08c00", "#846358", "#495057")
"""For curves, in their order."""

SHEET_PX = (640.0, 360.0)
LEFT_PX, KEY_PX, FOOT_PX = 70, 190, 52


class Bar(NamedTuple):
    """One line of a picture of bars."""

    name: str
    value: Spread
    is_own: bool = False


class Curve(NamedTuple):
    """One line of a picture of curves: points (x, y), both above 0."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(title: str, seen: Sequence[Bar]) -> str:
    """Bars of medians with least and greatest."""
    greatest = max(bar.value.maximum for bar in seen)
    height = TOP_PX + ROW_PX * len(seen) + 12
    drawn = [_bar(place, bar, BAR_PX / greatest) for place, bar in enumerate(seen)]
    return _sheet((LABEL_PX + BAR_PX + FIGURE_PX, height), title, drawn)


def _bar(place: int, bar: Bar, px_per_unit: float) -> str:
    top = TOP_PX + ROW_PX * place
    middle, base = top + THICKNESS_PX / 2, top + THICKNESS_PX - 4
    rate = bar.value
    least, length, greatest = (
        each * px_per_unit for each in (rate.minimum, rate.median, rate.maximum)
    )
    size = f'width="{length:.1f}" height="{THICKNESS_PX}"'
    whisker = f"M{LABEL_PX + least:.1f} {middle}H{LABEL_PX + greatest:.1f}"
    return "\n".join(
        [
            _text(LABEL_PX - 8, base, bar.name, 'text-anchor="end"'),
            f'<rect x="{LABEL_PX}" y="{top}" {size} fill="{OWN if bar.is_own else OTHERS}"/>',
            f'<path d="{whisker}" stroke="{INK}" stroke-width="2"/>',
            _text(LABEL_PX + greatest + 8, base, f"{rate.median:,.0f}", ""),
        ]
    )


class _Axis(NamedTuple):
    """A logarithmic axis: powers of ten from `first` to `last`, drawn from `start_px` on."""

    first: int
    last: int
    start_px: float
    length_px: float

    def px(self, value: float) -> float:
        """Where a value lies."""
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return self.start_px + share * self.length_px

    def ticks(self) -> list[tuple[float, str]]:
        """(place, words) of each power of ten."""
        powers = range(self.first, self.last + 1)
        return [(self.px(10.0**power), f"{10.0**power:,g}") for power in powers]


def axis(values: Sequence[float], start_px: float, length_px: float) -> _Axis:
    """The powers of ten around `values`, all above 0."""
    first = math.floor(math.log10(min(values)))
    last = max(math.ceil(math.log10(max(values))), first + 1)
    return _Axis(first, last, start_px, length_px)


def curves(title: str, x_words: str, y_words: str, seen: Sequence[Curve]) -> str:
    """Curves over two logarithmic axes."""
    width, height = SHEET_PX
    points = [point for curve in seen for point in curve.points]
    across = axis([x for x, _ in points], LEFT_PX, width - LEFT_PX)
    up = axis([y for _, y in points], TOP_PX + height, -height)
    base = TOP_PX + height
    drawn = [_grid(across, up)]
    drawn += [_curve(place, curve, across, up) for place, curve in enumerate(seen)]
    drawn += [_text(LEFT_PX + 8, TOP_PX + 14, y_words, 'font-style="italic"')]
    drawn += [_text(LEFT_PX + (width - LEFT_PX) / 2, base + 40, x_words, 'text-anchor="middle"')]
    return _sheet((width + KEY_PX, TOP_PX + height + FOOT_PX), title, drawn)


def _grid(across: _Axis, up: _Axis) -> str:
    top, base = up.start_px + up.length_px, up.start_px
    left, right = across.start_px, across.start_px + across.length_px
    lines = []
    for x, words in across.ticks():
        lines.append(f'<path d="M{x:.1f} {top:.1f}V{base:.1f}" stroke="{GRID}"/>')
        lines.append(_text(x, base + 18, words, 'text-anchor="middle"'))
    for y, words in up.ticks():
        lines.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{GRID}"/>')
        lines.append(_text(left - 8, y + 4, words, 'text-anchor="end"'))
    return "\n".join(lines)


def _curve(place: int, curve: Curve, across: _Axis, up: _Axis) -> str:
    colour = COLOURS[place % len(COLOURS)]
    places = [(across.px(x), up.px(y)) for x, y in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    style = f'fill="none" stroke="{colour}" stroke-width="2.5"'
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places
    )
    right, top = across.start_px + across.length_px + 14, TOP_PX + 14 + 20 * place
    key = f'<rect x="{right:.1f}" y="{top - 9}" width="12" height="10" fill="{colour}"/>'
    name = _text(right + 18, top, curve.name, "")
    return "\n".join([f'<polyline points="{path}" {style}/>', dots, key, name])


def _sheet(size: tuple[float, float], title: str, drawn: Sequence[str]) -> str:
    width, height = size
    view = f"0 0 {width:g} {height:g}"
    return "\n".join(
        [
            f'<svg xmlns="{NAMESPACE}" viewBox="{view}" font-family="sans-serif" font-size="13">',
            f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
            _text(12, 24, title, 'font-size="15" font-weight="bold"'),
            *drawn,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" {style}>{escape(words)}</text>'
