"""What is counted of all records once the sample has said what to count.

Outliers beyond the fences, records of each class, records that equal others. Where the sample has
all records, they are counted there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._read._records import Records
    from shoal.train._look._read._sample import Drawn
    from shoal.train._look._repeats import Repeating


@dataclass(frozen=True)
class Counts:
    """What was counted.

    Attributes:
        fences: Beyond which a value is an outlier, by column.
        outliers: Values beyond the fences, by column.
        classes: (classes + 1,) records of each class, and of classes that the sample has none of.
    """

    fences: Mapping[str, tuple[float, float]]
    outliers: dict[str, int]
    classes: NDArray[np.int64]


def counted(
    records: Records,
    drawn: Drawn,
    fences: Mapping[str, tuple[float, float]],
    target: Coded | None,
    repeating: Repeating,
) -> Counts:
    """Counts, and lets equal records be found.

    Args:
        records: All records.
        drawn: The sample.
        fences: Beyond which a value is an outlier, by column.
        target: The column of classes; None where there are none.
        repeating: Finds equal records.
    """
    size = 0 if target is None else len(target.values)
    found = Counts(fences, dict.fromkeys(fences, 0), np.zeros(size + 1, np.int64))
    for batch, rows in _batches(records, drawn):
        repeating.look(batch, rows)
        for name, (low, high) in fences.items():
            found.outliers[name] += _beyond(batch.column(name), low, high)
        if target is not None:
            known = batch.column(target.name).drop_null()
            places = pc.fill_null(pc.index_in(known, value_set=target.values), size)
            found.classes[:] += np.bincount(places.to_numpy(), minlength=size + 1)
    return found


def _batches(records: Records, drawn: Drawn) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    start = 0
    for batch in drawn.table.to_batches() if drawn.is_all else records.batches():
        end = start + batch.num_rows
        yield batch, drawn.rows[start:end] if drawn.is_all else np.arange(start, end)
        start = end


def _beyond(values: pa.Array, low: float, high: float) -> int:
    """How many finite values lie beyond the fences."""
    numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return int(((numbers < low) | (numbers > high)).sum())
