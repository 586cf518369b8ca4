"""The stored records that are learned from, and how many of them have each name and class.

- Held-out records are left out here, so nothing that is gathered can know of them.
- Counts are whole numbers, and moments exact sums rounded once: neither depends on workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal.train._learn._stored._records import BLOCK_ROWS
from shoal.train._learn._stored._statistics import TARGET, Moments, Statistics
from shoal.train._learn._stored._store import Range, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shoal.batch import Partial
    from shoal.train._learn._order import Order
    from shoal.train._learn._threads import Threads

    Array = NDArray[Any]

NO_MOMENTS = Moments(0, 0.0, 1.0, 0.0, 0.0)


class Learned(NamedTuple):
    """Those records of a store.

    Attributes:
        store: All records.
        order: Says which are learned from.
        threads: Who works.
    """

    store: Store
    order: Order
    threads: Threads

    def blocks(self) -> Iterator[Array]:
        """These records, some at once, none of the blocks empty."""
        for start in range(0, self.store.rows, BLOCK_ROWS):
            block = Range(start, min(start + BLOCK_ROWS, self.store.rows))
            records = self.store.read([block])[self.order.is_learned(block)]
            if len(records):
                yield records

    def numbers(self) -> Iterator[Array]:
        """(rows, columns) FP32 numbers of these records, NaN where missing."""
        return (records["numbers"] for records in self.blocks())

    def gathered(self, statistics: Statistics, names: Sequence[int], classes: int) -> Gathered:
        """What these records are like.

        Args:
            statistics: Which moments.
            names: How many codes each column of names has.
            classes: How many codes the target has; 0 for a number.
        """
        counts = Counts(0, [np.zeros(width, np.int64) for width in names], np.zeros(classes, int))

        def lifted(records: Array) -> tuple[Partial, Array]:
            target = None if classes else np.ascontiguousarray(records["target"])
            return statistics.lift(records["numbers"], records["seconds"], target), records

        def counted(found: Iterable[tuple[Partial, Array]]) -> Iterator[Partial]:
            nonlocal counts
            for partial, records in found:
                counts = counts.after(records)
                yield partial

        moments = statistics.gather(counted(self.threads.answers(lifted, self.blocks())))
        return Gathered(counts, moments)


class Counts(NamedTuple):
    """How many records there are.

    Attributes:
        rows: Of all kinds.
        names: For each column of names, of each code.
        classes: Of each code of the target; none where it is a number.
    """

    rows: int
    names: list[Array]
    classes: Array

    def after(self, records: Array) -> Counts:
        """With more records."""
        classes = self.classes
        if len(classes):
            classes = classes + _counted(records["target"].astype(np.intp), len(classes))
        names = [
            counts + _counted(codes, len(counts))
            for counts, codes in zip(self.names, records["codes"].T, strict=True)
        ]
        return Counts(self.rows + len(records), names, classes)


class Gathered(NamedTuple):
    """What records are like: how many there are of each kind, and the moments of columns."""

    counts: Counts
    moments: dict[str, Moments]

    @property
    def target(self) -> tuple[float, float]:
        """The mean and the deviation of a target that is a number."""
        target = self.moments.get(TARGET, NO_MOMENTS)
        return target.mean, target.deviation or 1.0


def _counted(codes: Array, width: int) -> Array:
    return np.bincount(codes, minlength=width)
