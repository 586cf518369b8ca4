"""How many records are worked at a time: learned by the policy that sizes micro-batches of models.

Each thread learns by itself: it is told how long the records that it cut off took, and takes the
least size whose records cost about as little as any other's. What comes out does not depend on it.
"""

from __future__ import annotations

import time
from threading import local
from typing import TYPE_CHECKING

from shoal._native import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

# Most records at a time: as many as a source gives.
MOST_ROWS = 1 << 16


class Cutter:
    """Cuts records for whichever thread asks."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Starts with nothing learned; the clock tells seconds."""
        self._clock = clock
        self._own = local()

    def cut(self, records: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The parts of a batch, in order, each with its place; time runs until the next one."""
        sizes = self._sizes()
        sizes.begin(records.num_rows)
        while (following := sizes.next()) is not None:
            start, rows = following
            began = self._clock()
            yield start, records.slice(start, rows)
            sizes.finish(self._clock() - began)

    def _sizes(self) -> Sizes:
        if not hasattr(self._own, "sizes"):
            self._own.sizes = Sizes(MOST_ROWS)
        sizes: Sizes = self._own.sizes
        return sizes
