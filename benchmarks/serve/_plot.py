"""A run as a picture: bars of requests per second with least and greatest, written as plain SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.serve._figures import Spread
    from benchmarks.serve._report import Result

LABEL_PX, BAR_PX, FIGURE_PX = 250, 420, 90
ROW_PX, THICKNESS_PX, TOP_PX = 30, 18, 44
NAMESPACE = "http://www.w3.org/2000/svg"
OWN, OTHERS = "#0b7285", "#adb5bd"


def svg(seen: Result) -> str:
    """The picture, readable on light and dark pages."""
    bars = [
        (f"{row.server} ({row.setting})" if row.setting else row.server, row.requests_per_s)
        for row in seen.servers
    ]
    if seen.limit_requests_per_s:
        bars.append(("limit: echo + parse + kernel", seen.limit_requests_per_s))
    greatest = max(rate.maximum for _, rate in bars)
    width, height = LABEL_PX + BAR_PX + FIGURE_PX, TOP_PX + ROW_PX * len(bars) + 12
    drawn = [_bar(place, name, rate, BAR_PX / greatest) for place, (name, rate) in enumerate(bars)]
    view = f"0 0 {width} {height}"
    title = "Requests per second on one core, 64 connections, one row each"
    return "\n".join(
        [
            f'<svg xmlns="{NAMESPACE}" viewBox="{view}" font-family="sans-serif" font-size="13">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            _text(12, 24, title, 'font-size="15" font-weight="bold"'),
            *drawn,
            "</svg>\n",
        ]
    )


def _bar(place: int, name: str, rate: Spread, px_per_request: float) -> str:
    top = TOP_PX + ROW_PX * place
    middle, base = top + THICKNESS_PX / 2, top + THICKNESS_PX - 4
    least, length, greatest = (
        rate.minimum * px_per_request,
        rate.median * px_per_request,
        rate.maximum * px_per_request,
    )
    size = f'width="{length:.1f}" height="{THICKNESS_PX}"'
    whisker = f"M{LABEL_PX + least:.1f} {middle}H{LABEL_PX + greatest:.1f}"
    colour = OWN if name == "shoal" else OTHERS
    return "\n".join(
        [
            _text(LABEL_PX - 8, base, name, 'text-anchor="end"'),
            f'<rect x="{LABEL_PX}" y="{top}" {size} fill="{colour}"/>',
            f'<path d="{whisker}" stroke="#212529" stroke-width="2"/>',
            _text(LABEL_PX + greatest + 8, base, f"{rate.median:,.0f}", ""),
        ]
    )


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#212529" {style}>{escape(words)}</text>'
