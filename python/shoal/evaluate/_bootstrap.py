"""Intervals by the bootstrap: the same records, drawn anew.

- Records are drawn with replacement within each true label, so that a rare label is never lost: in
  every replicate each label has as many records as in all. Numbers are drawn from all records.
- The ends of an interval are percentiles of the replicates. Where fewer than `LEAST_DEFINED` of
  them have the metric, there is no interval.
- The draws depend on the seed and the records' order alone. At most `CELLS` numbers of replicates
  are held at a time, or one replicate.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", chapters 8 and 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from shoal.evaluate._evaluation import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from shoal.evaluate._measures import Measures
    from shoal.evaluate._task import Settings

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

CELLS: Final = 1 << 20
LEAST_DEFINED: Final = 0.9


def replicates(
    measures: Measures, settings: Settings
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Gives every replicate's metrics, of all records and by label; empty without replicates."""
    single: dict[str, list[Floats]] = {}
    by_label: dict[str, list[Floats]] = {}
    rows = measures.rows
    for counts in draws(rows.strata, settings, measures.width):
        weights = counts * rows.weights
        weights = weights[weights.any(axis=1)]  # what weighs nothing measures nothing
        if len(weights):
            _keep(measures.values(weights), (single, by_label))
    return _joined(single), _joined(by_label)


def draws(strata: Integers, settings: Settings, width: int) -> Iterator[Floats]:
    """Gives `(some replicates, records)`: how often each record was drawn."""
    rng = np.random.default_rng(settings.seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    size = max(1, CELLS // width)
    for start in range(0, settings.replicates, size):
        count = min(size, settings.replicates - start)
        drawn = np.empty((count, len(strata)))
        for member in members:
            drawn[:, member] = _drawn(rng, count, len(member))
        yield drawn


def interval_of(values: Floats | None, confidence: float) -> Interval | None:
    """Gives the percentile interval of one metric's replicates; None where too few have it."""
    if values is None or not len(values):
        return None
    defined = values[np.isfinite(values)]
    if len(defined) < LEAST_DEFINED * len(values):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _drawn(rng: np.random.Generator, count: int, size: int) -> Floats:
    places = rng.integers(0, size, (count, size)) + np.arange(count)[:, None] * size
    counts = np.bincount(places.ravel(), minlength=count * size)
    return counts.reshape(count, size).astype(np.float64)


def _keep(
    found: tuple[dict[str, Floats], dict[str, Floats]],
    kept: tuple[dict[str, list[Floats]], dict[str, list[Floats]]],
) -> None:
    for values, parts in zip(found, kept, strict=True):
        for name, part in values.items():
            parts.setdefault(name, []).append(part)


def _joined(parts: dict[str, list[Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate(part) for name, part in parts.items()}
