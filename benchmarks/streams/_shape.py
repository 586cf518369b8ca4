"""How many events there are, when they happen, and in which files they lie."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

BASE_US = 1_436_918_400_000_000  # 2015-07-15 00:00 UTC
TIME = pa.timestamp("us", "UTC")


class Shape(msgspec.Struct, frozen=True):
    """Which events there are.

    Attributes:
        events: How many.
        files: In how many files.
        rows_of_a_group: How many of them make a row group of Parquet.
        events_per_second: How densely they lie in event time.
        base_us: When the first one happens.
        seed: What the random choices follow from.
    """

    events: int
    files: int = 8
    rows_of_a_group: int = 1 << 17
    events_per_second: int = 10_000
    base_us: int = BASE_US
    seed: int = 0

    def times_ms(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """When events happen, in whole milliseconds since 1970."""
        return self.base_us // 1000 + numbers * 1000 // self.events_per_second


def moments(times_ms: NDArray[Any]) -> pa.Array:
    """Times as Arrow holds them."""
    return pa.array(times_ms * 1000).cast(TIME)


def write(folder: Path, shape: Shape, make: Callable[[Shape, int, int], pa.Table]) -> None:
    """Writes all events into a folder of Parquet files; `make` gives those between two numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = [shape.events * number // shape.files for number in range(shape.files + 1)]
    for number, (start, end) in enumerate(pairwise(ends)):
        path = folder / f"events-{number:05}.parquet"
        pq.write_table(make(shape, start, end), path, row_group_size=shape.rows_of_a_group)
