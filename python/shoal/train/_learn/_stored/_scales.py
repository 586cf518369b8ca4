"""How numeric columns are filled and scaled.

- A column that is filled is scaled as it is after filling, as the steps of a preparation do it.
- Medians and quartiles are exact, between two values as numpy has them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from shoal.train._learn._stored._ranks import Rank, ranked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shoal.train._learn._stored._statistics import Moments
    from shoal.train._prepare._description import Numeric

    Array = NDArray[Any]
    Answers = Callable[[Callable[[Array], Any], Iterable[Array]], Iterable[Any]]
    Blocks = Callable[[], Iterator[Array]]

QUARTILES: tuple[float, ...] = (0.25, 0.5, 0.75)


class Scale(msgspec.Struct, frozen=True):
    """How a number becomes a feature: filled, then moved and stretched, in single precision."""

    fill: float
    offset: float = 0.0
    factor: float = 1.0


class Columns(NamedTuple):
    """The numeric columns.

    Attributes:
        features: What is done with each.
        known: What the known values of each are like.
        rows: How many records there are.
        is_scaled: Whether `auto` scales.
    """

    features: list[Numeric]
    known: list[Moments]
    rows: int
    is_scaled: bool

    def scale_of(self, place: int) -> str:
        """How a column is scaled."""
        scale = self.features[place].scale
        return ("standard" if self.is_scaled else "none") if scale == "auto" else scale


def scales_of(columns: Columns, blocks: Blocks, answers: Answers) -> list[Scale]:
    """Gives the scale of each column.

    Args:
        columns: Which.
        blocks: Gives all records: (rows, columns) FP32, NaN where missing.
        answers: Maps a function over blocks, in order.
    """
    fills = _fills(columns, blocks, answers)
    robust = [place for place in range(len(fills)) if columns.scale_of(place) == "robust"]
    shares = dict.fromkeys(robust, QUARTILES)
    counts = dict.fromkeys(robust, columns.rows)
    quartiles = _quantiles(shares, counts, lambda: _filled(blocks(), fills), answers)
    return [
        _scale(columns, place, fill, quartiles.get(place, [])) for place, fill in enumerate(fills)
    ]


def filled(numbers: Array, fills: Sequence[float]) -> Array:
    """(rows, columns) FP32 numbers without a missing one."""
    return np.where(np.isnan(numbers), np.asarray(fills, np.float32), numbers)


def _fills(columns: Columns, blocks: Blocks, answers: Answers) -> list[float]:
    means = [each.mean for each in columns.known]
    medians = [place for place, each in enumerate(columns.features) if each.missing == "median"]
    counts = {place: columns.known[place].known for place in medians}
    found = _quantiles(dict.fromkeys(medians, (0.5,)), counts, blocks, answers)
    stated = [
        float(each.missing) if isinstance(each.missing, int | float) else None
        for each in columns.features
    ]
    return [
        found[place][0] if place in found else (mean if value is None else value)
        for place, (mean, value) in enumerate(zip(means, stated, strict=True))
    ]


def _scale(columns: Columns, place: int, fill: float, quartiles: list[float]) -> Scale:
    known, scale = columns.known[place], columns.scale_of(place)
    moments = known.filled(columns.rows - known.known, float(np.float32(fill)))
    if scale == "standard":
        return Scale(fill, moments.mean, 1.0 / (moments.deviation or 1.0))
    if scale == "min_max":
        return Scale(fill, moments.low, 1.0 / (moments.high - moments.low or 1.0))
    if scale == "robust":
        return Scale(fill, quartiles[1], 1.0 / (quartiles[2] - quartiles[0] or 1.0))
    return Scale(fill)


def _filled(blocks: Iterable[Array], fills: Sequence[float]) -> Iterator[Array]:
    return (filled(block, fills) for block in blocks)


def _quantiles(
    shares: dict[int, tuple[float, ...]], counts: dict[int, int], blocks: Blocks, answers: Answers
) -> dict[int, list[float]]:
    """The values of each column at some shares of its known values; 0 of no value."""
    places = {
        column: [share * max(counts[column] - 1, 0) for share in of]
        for column, of in shares.items()
    }
    ranks = {
        Rank(column, end)
        for column, of in places.items()
        for place in of
        for end in (math.floor(place), math.ceil(place))
        if counts[column]
    }
    found = ranked(sorted(ranks), blocks, answers)
    return {
        column: [_between(found, column, place) for place in of] for column, of in places.items()
    }


def _between(found: dict[Rank, float], column: int, place: float) -> float:
    low = found.get(Rank(column, math.floor(place)), 0.0)
    high = found.get(Rank(column, math.ceil(place)), 0.0)
    return low + (high - low) * (place % 1)
