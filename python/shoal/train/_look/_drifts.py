"""How columns differ between parts: between sources, or between the first half and the second.

- Values are counted in bins that are the same for all parts: tenths of all values, the most
  frequent categories, and what is missing. The distance of two parts is that of Jensen and Shannon,
  from 0 to 1; whether it is more than chance says a chi-squared test of homogeneity, corrected for
  all comparisons (Bonferroni).
- Of several sources each is compared with all others together, and the farthest is told.
- A column by which the records are sorted differs between halves by that alone: it is not compared.

Source: J. Lin, "Divergence measures based on the Shannon entropy"; D. Endres, J. Schindelin, "A new
metric for probability distributions".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import chi2

from shoal.train._look._associations import spearman
from shoal.train._look._facts import Drift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

BINS: Final = 10
MOST_CATEGORIES: Final = 20
LEAST_RECORDS: Final = 50
SORTED: Final = 0.95
TWO: Final = 2
SHOWN_CHARACTERS: Final = 40


def is_sorted_by(column: Coded, rows: Integers) -> bool:
    """Whether records stand in the order of a column, or nearly so; equal values in any order."""
    known = column.known
    if known.sum() < LEAST_RECORDS or column.kind == "text":
        return False
    codes, places = column.codes[known].astype(float), np.sort(rows[known]).astype(float)
    found = spearman(codes, rows[known].astype(float))
    most = spearman(np.sort(codes), places)
    return found is not None and most is not None and abs(found) >= SORTED * most


def drifts(columns: Sequence[Coded], parts: Integers, names: Sequence[str]) -> tuple[Drift, ...]:
    """How columns differ between parts, the largest distance first.

    Args:
        columns: Columns of the sample.
        parts: (records,) the part of each record.
        names: The name of each part.
    """
    sizes = np.bincount(parts, minlength=len(names))
    large = np.flatnonzero(sizes >= LEAST_RECORDS)
    if len(large) < TWO:
        return ()
    compared = large[:1] if len(large) == TWO else large
    found = [
        _drift(column, parts, int(part), names[part], len(compared) * len(columns))
        for column in columns
        for part in compared
        if len(column.values)
    ]
    farthest: dict[str, Drift] = {}
    for drift in sorted(found, key=lambda one: (-one.distance, one.column, one.part)):
        farthest.setdefault(drift.column, drift)
    return tuple(farthest.values())


def distance(one: Floats, other: Floats) -> float:
    """The Jensen-Shannon distance of two rows of counts, from 0 to 1."""
    left, right = one / one.sum(), other / other.sum()
    middle = (left + right) / 2
    divergence = (_entropy(left, middle) + _entropy(right, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _entropy(shares: Floats, against: Floats) -> float:
    is_met = shares > 0
    return float((shares[is_met] * np.log2(shares[is_met] / against[is_met])).sum())


def _drift(column: Coded, parts: Integers, part: int, name: str, comparisons: int) -> Drift:
    bins, size = _bins(column)
    is_here = parts == part
    here = np.bincount(bins[is_here], minlength=size).astype(float)
    there = np.bincount(bins[~is_here], minlength=size).astype(float)
    return Drift(
        column=column.name,
        part=name,
        distance=distance(here, there),
        p_value=min(1.0, comparisons * _chance(here, there)),
        change=_change(column, is_here, here, there),
    )


def _chance(here: Floats, there: Floats) -> float:
    counts = np.stack([here, there])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < TWO:
        return 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, counts.shape[1] - 1))


def _bins(column: Coded) -> tuple[Integers, int]:
    """(records,) the bin of each record, 0 where its value is missing; and how many there are."""
    known = column.known
    bins = np.zeros(len(known), np.int64)
    if column.kind == "categorical":
        counts = column.counts()
        place = np.full(len(counts), min(len(counts), MOST_CATEGORIES + 1))
        frequent = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
        place[frequent] = np.arange(1, len(frequent) + 1)
        bins[known] = place[column.codes[known]]
        return bins, MOST_CATEGORIES + TWO
    numbers = column.numbers if column.kind == "text" else column.codes.astype(float)
    ranks = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(numbers[known], ranks, method="inverted_cdf"))
    bins[known] = 1 + np.searchsorted(edges, numbers[known], side="left")
    return bins, BINS + TWO


def _change(column: Coded, is_here: NDArray[np.bool_], here: Floats, there: Floats) -> str:
    """The largest difference in words."""
    shares = here / here.sum(), there / there.sum()
    gaps = np.abs(shares[0] - shares[1])
    if not gaps.max():
        return "nothing"
    if gaps.argmax() == 0:
        return f"{_percent(shares[0][0])} missing, elsewhere {_percent(shares[1][0])}"
    if column.kind == "categorical" and gaps.argmax() <= MOST_CATEGORIES:
        counts = column.counts()
        code = int(np.argsort(-counts, kind="stable")[gaps.argmax() - 1])
        text, place = column.text(code)[:SHOWN_CHARACTERS], gaps.argmax()
        return f"{text!r} {_percent(shares[0][place])}, elsewhere {_percent(shares[1][place])}"
    if column.kind == "categorical":
        return "rare values"
    middles = [_middle(column, which) for which in (is_here, ~is_here)]
    what = "median length" if column.kind == "text" else "median"
    return f"{what} {middles[0]}, elsewhere {middles[1]}"


def _middle(column: Coded, which: NDArray[np.bool_]) -> str:
    is_met = which & column.known
    if not is_met.any():
        return "none"
    if column.kind == "text":
        return f"{np.median(column.numbers[is_met]):g}"
    ranked = np.sort(column.codes[is_met])
    return column.text(int(ranked[(len(ranked) - 1) // 2]))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
