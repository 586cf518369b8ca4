"""How the values of a column lie: quantiles, bars, and fences beyond which a value is an outlier.

- A fence stands so far from the median that of as many normal values one would lie beyond it in one
  of ten thousand columns; never nearer than 5 deviations. The deviation is that of each side:
  1.4826 times the median distance from the median of the values there, so that neither outliers nor
  a long tail on the other side move it. Where half of a side is the median itself there is none.
- Bars are drawn between the fences; what is beyond is counted.

Source: B. Iglewicz, D. Hoaglin, "How to detect and handle outliers"; P. Rousseeuw, C. Croux,
"Alternatives to the median absolute deviation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import norm

from shoal.train._look._facts import Frequent, Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded

    Floats = NDArray[np.float64]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS: Final = 24
MOST_BARS: Final = 12
LEAST_RECORDS: Final = 20
NORMAL: Final = 1.482602218505602
LEAST_DEVIATIONS: Final = 5.0
COLUMNS_WITH_ONE: Final = 10_000
# Nearer, or farther apart, doubles leave no room for edges, or for ticks beside them.
LEAST_SPAN: Final = 1e-12
SMALLEST: Final = 1e-290
LARGEST: Final = 1e290
# Beyond it, half a step is nothing to a double.
LARGEST_WHOLE: Final = 2.0**50


def quantiles(numbers: Floats) -> tuple[float, ...]:
    """Values at 5, 25, 50, 75 and 95 %, each of them one that there is."""
    if not len(numbers):
        return ()
    found = np.quantile(numbers, QUANTILES, method="inverted_cdf")
    return tuple(float(value) for value in found)


def fences(numbers: Floats, records: int, *, are_whole: bool = False) -> tuple[float, float] | None:
    """Between which values there is no outlier; None where that cannot be told.

    Args:
        numbers: Finite values of the sample.
        records: How many values there are in all.
        are_whole: Whether all values are whole: distances are then known to half of one only.
    """
    if len(numbers) < LEAST_RECORDS:
        return None
    middle = _median(numbers)
    with np.errstate(over="ignore"):  # the ends of all doubles are too far apart for a fence
        sides = (middle - numbers[numbers <= middle], numbers[numbers >= middle] - middle)
    middles = [_median(side) for side in sides]
    scales = [NORMAL * (each + 0.5 * (are_whole and each > 0)) for each in middles]
    share = 1 / (2 * COLUMNS_WITH_ONE * max(records, 1))
    deviations = max(LEAST_DEVIATIONS, float(norm.isf(share)))
    low, high = middle - deviations * scales[0], middle + deviations * scales[1]
    if not (min(scales) > 0 and np.isfinite(high - low)):
        return None
    return low, high


def _median(numbers: Floats) -> float:
    """A median that is one of the numbers: the mean of two may be beyond all doubles."""
    return float(np.quantile(numbers, 0.5, method="inverted_cdf"))


def histogram(
    numbers: Floats, between: tuple[float, float] | None, *, are_whole: bool = False
) -> Histogram | None:
    """Bars of finite values; None where there are none, or too near or too far to be told apart.

    Args:
        numbers: Finite values.
        between: The fences that bars do not go beyond.
        are_whole: Whether all values are whole: a bar then holds as many of them as the next one.
    """
    if not len(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if between is not None:
        low, high = max(low, between[0]), min(high, between[1])
    if low != high and not _can_be_cut(low, high):
        return None
    edges = _whole_edges(low, high) if are_whole else _edges(low, high)
    records = np.histogram(numbers, edges)[0]
    return Histogram(
        edges=tuple(edges.tolist()),
        records=tuple(records.tolist()),
        below=int((numbers < edges[0]).sum()),
        above=int((numbers > edges[-1]).sum()),
    )


def _can_be_cut(low: float, high: float) -> bool:
    span = high - low
    is_told_apart = span > LEAST_SPAN * max(abs(low), abs(high))
    return bool(is_told_apart and SMALLEST < span < LARGEST)


def _edges(low: float, high: float) -> Floats:
    if low == high:
        margin = max(abs(low) * 1e-6, 0.5)
        low, high = low - margin, high + margin
    edges: Floats = np.linspace(low, high, BINS + 1)
    return edges


def _whole_edges(low: float, high: float) -> Floats:
    """Edges between whole numbers, so that no bar is empty by the width of bars alone."""
    first, last = np.ceil(low), np.floor(high)
    width = max(1.0, np.ceil((last - first + 1) / BINS))
    bars = int(np.ceil((last - first + 1) / width))
    if max(abs(first), abs(last)) >= LARGEST_WHOLE or bars < 1:
        return _edges(low, high)
    edges: Floats = first - 0.5 + width * np.arange(bars + 1)
    return edges


def frequent(column: Coded) -> tuple[tuple[Frequent, ...], int]:
    """The most frequent values, and how many others there are.

    Of a category the most frequent ones first; of a number all of them in order, or none.
    """
    values = len(column.values)
    if column.kind == "categorical":
        counts = column.counts()
        order = np.argsort(-counts, kind="stable")[:MOST_BARS]
    elif column.kind == "boolean" or (column.kind in {"integer", "float"} and values <= MOST_BARS):
        counts, order = column.counts(), np.arange(values)
    else:
        return (), 0
    shown = tuple(Frequent(column.text(code), int(counts[code])) for code in order)
    return shown, values - len(shown)
