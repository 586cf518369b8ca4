"""The tables behind the plots: calibration, thresholds, curves, and true beside answered numbers.

- They hold counts, shares and rates of many records, never a record.
- Their size does not depend on the records: curves are thinned to `MOST_POINTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from shoal.evaluate._evaluation import Agreement, Bin, Calibration, Curve, Histogram, Threshold
from shoal.evaluate._measures import sums_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.evaluate._measures import LabelMeasures, NumberMeasures

    Floats = NDArray[np.float64]

THRESHOLDS: Final = tuple(place / 20 for place in range(1, 20))
MOST_POINTS: Final = 200
MOST_CURVES: Final = 10
CELLS_A_SIDE: Final = 24
ERROR_BINS: Final = 30


def calibration_of(measures: LabelMeasures) -> Calibration | None:
    """Gives the reliability table; None without probabilities."""
    rows = measures.rows
    if not rows.are_probabilities:
        return None
    probability, true = measures.confidence
    weights = rows.weights
    columns = np.stack([weights, weights * probability, weights * true])
    sums = sums_by(measures.cells, columns, measures.bins)
    edges = np.arange(measures.bins + 1) / measures.bins
    bins = (
        Bin(float(low), float(high), float(records), _share(mean, records), _share(hits, records))
        for low, high, (records, mean, hits) in zip(edges[:-1], edges[1:], sums.T, strict=True)
    )
    task = rows.task
    return Calibration(task.labels[task.positive_place] if task.is_binary else None, tuple(bins))


def thresholds_of(measures: LabelMeasures) -> tuple[Threshold, ...]:
    """Gives what each threshold finds; of two labels with probabilities."""
    rows = measures.rows
    if not (rows.are_probabilities and rows.task.is_binary):
        return ()
    probability, true = measures.confidence
    return tuple(_threshold(at, probability >= at, true, rows.weights) for at in THRESHOLDS)


def curves_of(measures: LabelMeasures) -> tuple[Curve, ...]:
    """Gives the curves of the positive label, or of each of the first labels."""
    rows = measures.rows
    if rows.scores is None:
        return ()
    task = rows.task
    places = [task.positive_place] if task.is_binary else range(min(measures.size, MOST_CURVES))
    curves = (_curve(measures, place) for place in places)
    return tuple(curve for curve in curves if curve is not None)


def agreement_of(measures: NumberMeasures) -> Agreement:
    """Gives how often true and answered numbers met, cell by cell, and a histogram of errors."""
    rows = measures.rows
    both = np.concatenate([rows.truth, rows.answer])
    edges = _edges(both, CELLS_A_SIDE)
    cells = np.histogram2d(rows.truth, rows.answer, bins=(edges, edges), weights=rows.weights)[0]
    error_edges = _edges(measures.error, ERROR_BINS)
    counts = np.histogram(measures.error, error_edges, weights=rows.weights)[0]
    errors = Histogram(tuple(error_edges.tolist()), tuple(counts.tolist()))
    records = tuple(tuple(row) for row in cells.tolist())
    return Agreement(tuple(edges.tolist()), records, errors)


def _edges(values: Floats, count: int) -> Floats:
    """Gives evenly spaced edges around all values, also where they are all the same."""
    low, high = float(values.min()), float(values.max())
    margin = max(abs(low), abs(high), 1.0) * 1e-6
    edges: Floats = np.linspace(low - margin, high + margin, count + 1)
    return edges


def _threshold(
    at: float, is_answered: NDArray[np.bool_], true: Floats, weights: Floats
) -> Threshold:
    answered = float(weights[is_answered].sum())
    hits = float((weights * true)[is_answered].sum())
    positives, total = float((weights * true).sum()), float(weights.sum())
    return Threshold(
        threshold=at,
        precision=_share(hits, answered),
        recall=_share(hits, positives),
        f1=2 * hits / (answered + positives) if answered + positives else 0.0,
        false_positive_rate=_share(answered - hits, total - positives),
        answered_positive=answered / total,
    )


def _curve(measures: LabelMeasures, place: int) -> Curve | None:
    """Gives a label's curves; None where there is nothing to tell it from."""
    true, other = measures.steps(place).counts(measures.rows.weights[None])
    hits, misses = np.cumsum(true[0]), np.cumsum(other[0])
    if not (hits[-1] and misses[-1]):
        return None
    kept = _thinned(len(hits))
    hits_kept, misses_kept = hits[kept], misses[kept]
    reached = hits_kept + misses_kept
    precision = np.divide(hits_kept, reached, out=np.ones_like(reached), where=reached > 0)
    return Curve(
        measures.rows.task.labels[place],
        (0.0, *(misses_kept / misses[-1]).tolist()),
        (0.0, *(hits_kept / hits[-1]).tolist()),
        (float(precision[0]), *precision.tolist()),
    )


def _thinned(count: int) -> NDArray[np.int64]:
    spread = np.linspace(0, count - 1, min(count, MOST_POINTS))
    return np.unique(np.round(spread).astype(np.int64))


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
