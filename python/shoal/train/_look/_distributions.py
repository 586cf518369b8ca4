"""How the values of a column lie: quantiles, bars, and fences beyond which a value is an outlier.

- A fence stands so far from the median that of as many normal values one would lie beyond it in one
  of a thousand columns; never nearer than 5 deviations. The deviation is that of each side: 1.4826
  times the median distance from the median of the values there, so that neither outliers nor a long
  tail on the other side move it. Where half of a side is the median itself there is no fence.
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
COLUMNS_WITH_ONE: Final = 1000
# Beyond it, half a step is nothing to a double.
LARGEST_SPAN: Final = 2.0**50


def quantiles(numbers: Floats) -> tuple[float, ...]:
    """Values at 5, 25, 50, 75 and 95 %, each of them one that there is."""
    if not len(numbers):
        return ()
    found = np.quantile(numbers, QUANTILES, method="inverted_cdf")
    return tuple(float(value) for value in found)


def fences(numbers: Floats, records: int) -> tuple[float, float] | None:
    """Between which values there is no outlier; None where that cannot be told.

    Args:
        numbers: Finite values of the sample.
        records: How many values there are in all.
    """
    if len(numbers) < LEAST_RECORDS:
        return None
    middle = float(np.median(numbers))
    sides = (middle - numbers[numbers <= middle], numbers[numbers >= middle] - middle)
    scales = [NORMAL * float(np.median(side)) for side in sides]
    share = 1 / (2 * COLUMNS_WITH_ONE * max(records, 1))
    deviations = max(LEAST_DEVIATIONS, float(norm.isf(share)))
    low, high = middle - deviations * scales[0], middle + deviations * scales[1]
    if not (min(scales) > 0 and np.isfinite(high - low)):
        return None
    return low, high


def histogram(
    numbers: Floats, between: tuple[float, float] | None, *, are_whole: bool = False
) -> Histogram | None:
    """Bars of finite values; None where there are none, or their ends are too far apart.

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
    if not np.isfinite(high - low):
        return None
    edges = _whole_edges(low, high) if are_whole else _edges(low, high)
    records = np.histogram(numbers, edges)[0]
    return Histogram(
        edges=tuple(edges.tolist()),
        records=tuple(records.tolist()),
        below=int((numbers < edges[0]).sum()),
        above=int((numbers > edges[-1]).sum()),
    )


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
    if last - first >= LARGEST_SPAN or bars < 1:
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
