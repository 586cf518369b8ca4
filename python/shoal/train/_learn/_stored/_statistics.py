"""Means, deviations and ranges of all columns, by the merges of `shoal.batch`.

- They are exact sums, rounded once: the same for every cut of the records, and within 1e-12 of the
  true value.
- Those of a filled column follow from those of what is known, and how much is missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from shoal import batch
from shoal.train._prepare._transformers import DateParts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from shoal.batch import Merge, Partial
    from shoal.train._learn._stored._layout import Layout

    Array = NDArray[Any]

TARGET = "target"


class Moments(NamedTuple):
    """Of one column: how many values there are, and what they are like; zeros where none is."""

    known: int
    mean: float
    variance: float
    low: float
    high: float

    def filled(self, missing: int, value: float) -> Moments:
        """With so many missing values that have become a value."""
        if not missing:
            return self
        count = self.known + missing
        mean = (self.known * self.mean + missing * value) / count
        spread = self.known * (self.variance + (self.mean - mean) ** 2)
        spread += missing * (value - mean) ** 2
        low, high = (self.low, self.high) if self.known else (value, value)
        return Moments(count, mean, spread / count, min(low, value), max(high, value))

    @property
    def deviation(self) -> float:
        """The root of the variance."""
        return math.sqrt(self.variance)


class Statistics:
    """Lifts micro-batches, gathers what is lifted, and gives the moments."""

    def __init__(self, layout: Layout, *, has_number_target: bool, is_scaled: bool) -> None:
        """Takes the columns, and whether features are scaled unless something else is said."""
        self._parts = [DateParts(date.parts) for date in layout.dates.values()]
        widths = [(f"date {place}", len(parts.parts)) for place, parts in enumerate(self._parts)]
        self._dates = [f"{name} {part}" for name, width in widths for part in range(width)]
        self._is_scaled = is_scaled
        merges: list[Merge] = [batch.count()]
        for place, number in enumerate(layout.numbers.values()):
            needs_range = number.scale == "min_max"
            merges += _merges(f"number {place}", has_range=needs_range)
        for name in self._dates if is_scaled else []:
            merges += _merges(name, has_range=False)
        if has_number_target:
            merges += _merges(TARGET, has_range=False)
        self._plan = batch.Merges(merges)

    def lift(self, numbers: Array, seconds: Array, target: Array | None) -> Partial:
        """What some records add."""
        columns = {
            f"number {place}": pa.array(values, mask=np.isnan(values))
            for place, values in enumerate(np.ascontiguousarray(numbers.T))
        }
        if self._is_scaled:
            columns |= zip(self._dates, map(pa.array, self._date_parts(seconds)), strict=True)
        if target is not None:
            columns[TARGET] = pa.array(target)
        if not columns:
            columns["rows"] = pa.nulls(len(seconds))
        return self._plan.lift(pa.RecordBatch.from_pydict(columns))

    def gather(self, partials: Iterable[Partial]) -> dict[str, Moments]:
        """The moments of all that was lifted, by the names of columns here."""
        answer = self._plan.finish(self._plan.gather(partials)).to_pylist()[0]
        names = [name.removeprefix("mean_") for name in answer if name.startswith("mean_")]
        return {name: _moments(answer, name) for name in names}

    def date_names(self) -> list[list[str]]:
        """The names here of the features of each date."""
        names = iter(self._dates)
        return [[next(names) for _ in parts.parts] for parts in self._parts]

    def _date_parts(self, seconds: Array) -> Array:
        """(features, rows)."""
        found = [
            parts.fit(seconds[:, :1]).transform(seconds[:, place : place + 1]).T
            for place, parts in enumerate(self._parts)
        ]
        return np.concatenate([*found, np.zeros((0, len(seconds)), np.float32)])


def _merges(name: str, *, has_range: bool) -> list[Merge]:
    found = [batch.count(name), batch.mean(name), batch.variance(name, ddof=0)]
    return [*found, batch.min(name), batch.max(name)] if has_range else found


def _moments(answer: dict[str, Any], name: str) -> Moments:
    def of(merge: str) -> float:
        return float(answer.get(f"{merge}_{name}") or 0.0)

    return Moments(int(of("count")), of("mean"), of("variance"), of("min"), of("max"))
