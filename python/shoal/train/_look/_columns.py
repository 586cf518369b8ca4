"""One column of a look: what is known of all records, and what the sample tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.train._collect._reading import NUMBER
from shoal.train._look._associations import association
from shoal.train._look._distributions import fences, frequent, histogram, quantiles
from shoal.train._look._facts import ColumnLook, Outliers
from shoal.train._look._leaks import missing_tells
from shoal.train._look._totals import NUMBERS, TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._targets import Target
    from shoal.train._look._totals import Total

    Fences = tuple[float, float]

SHOWN_TEXTS: Final = 3
SHOWN_CHARACTERS: Final = 20
MIXED_FROM: Final = 0.5


def fences_of(columns: Iterable[Coded], totals: dict[str, Total], rows: int) -> dict[str, Fences]:
    """Beyond which values a number is an outlier, by column; none where that cannot be told."""
    found = {
        column.name: fences(
            _finite(column),
            rows - totals[column.name].missing,
            are_whole=column.kind == "integer",
        )
        for column in columns
        if column.kind in NUMBERS
    }
    return {name: between for name, between in found.items() if between is not None}


def column_look(
    column: Coded, total: Total, between: Fences | None, outliers: int, power: float | None
) -> ColumnLook:
    """What is known of a column without the target.

    Args:
        column: Its values in the sample.
        total: What is known of all its values.
        between: The fences of outliers.
        outliers: How many values lie beyond them.
        power: How well it alone predicts the target.
    """
    numbers = _finite(column) if column.kind not in {"boolean", "categorical"} else np.zeros(0)
    shown, others = frequent(column)
    share, among = _numbers_among(column)
    return ColumnLook(
        name=column.name,
        kind=column.kind,
        missing=total.missing,
        infinite=total.infinite,
        distinct=len(column.values),
        minimum=total.minimum,
        maximum=total.maximum,
        mean=total.mean,
        deviation=total.deviation,
        quantiles=quantiles(numbers),
        histogram=histogram(numbers, between, are_whole=column.kind in {"integer", "text"}),
        frequent=shown,
        other_values=others,
        outliers=_outliers(between, outliers),
        number_share=share,
        among_numbers=among,
        power=power,
    )


def beside_target(column: Coded, target: Target | None) -> dict[str, object]:
    """What is known of a column beside the target, by the names of `ColumnLook`."""
    if target is None or target.name == column.name:
        return {}
    told = missing_tells(column, target)
    return {
        "association": association(column, target),
        "missing_power": None if told is None else told.strength,
    }


def _finite(column: Coded) -> NDArray[np.float64]:
    finite: NDArray[np.float64] = column.numbers[np.isfinite(column.numbers)]
    return finite


def _outliers(between: Fences | None, count: int) -> Outliers | None:
    if between is None:
        return None
    return Outliers(low=between[0], high=between[1], records=count)


def _numbers_among(column: Coded) -> tuple[float, tuple[str, ...]]:
    """The share of values of a text that are numbers, and the most frequent ones that are none."""
    if column.kind not in TEXTS or not len(column.values):
        return 0.0, ()
    are_numbers = pc.match_substring_regex(column.values, NUMBER).to_numpy(zero_copy_only=False)
    counts = column.counts()
    share = float(counts[are_numbers].sum() / counts.sum())
    if share < MIXED_FROM:
        return share, ()
    others = np.flatnonzero(~are_numbers)
    first = others[np.argsort(-counts[others], kind="stable")][:SHOWN_TEXTS]
    texts = column.values.take(pa.array(first)).to_pylist()
    return share, tuple(text[:SHOWN_CHARACTERS] for text in texts)
