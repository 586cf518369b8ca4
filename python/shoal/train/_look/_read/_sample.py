"""A seeded sample of records, in an order that depends on the records alone.

- Which rows are drawn depends on the seed and the number of records: not on batches, nor on what
  the records hold. Each set of rows of that size is equally probable.
- Records stand in the order of their marks, so that what is computed of a sample that has them all
  does not depend on the order they came in; `rows` says where each was.
- It is bounded in cells and in bytes: of wide records there are fewer, of long texts the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.train._look._read._marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

MOST_CELLS: Final = 20_000_000
MOST_BYTES: Final = 256 << 20
TEXT_CHARACTERS: Final = 1000


@dataclass(frozen=True)
class Drawn:
    """Records that were drawn.

    Attributes:
        table: The records, in the order of their marks.
        rows: Which row of all records each was.
        is_new: Whether each is no copy of the one before it.
        is_all: Whether no record was left out, nor text cut.
    """

    table: pa.Table
    rows: Integers
    is_new: NDArray[np.bool_]
    is_all: bool

    def column(self, name: str) -> pa.Array:
        """The values of one column."""
        values = self.table.column(name)
        return values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)


class Drawing:
    """Draws records as they pass."""

    def __init__(self, rows: int, schema: pa.Schema, *, size: int, seed: int) -> None:
        """Takes how many records there will be, and how many of them are drawn."""
        most = max(1, min(size, MOST_CELLS // len(schema)))
        generator = np.random.default_rng(seed)
        chosen = generator.choice(rows, min(most, rows), replace=False, shuffle=False)
        self._schema = schema
        self._chosen: Integers = np.sort(chosen).astype(np.int64)
        # Records of the highest ranks go first where their bytes are too many.
        self._ranks: Integers = generator.permutation(len(chosen)).astype(np.int64)
        self._limit = len(chosen)
        self._taken: list[tuple[pa.RecordBatch, Integers]] = []
        self._seen = 0
        self._rows = rows
        self._is_cut = False

    def look(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Takes all records."""
        for batch in batches:
            start, end = np.searchsorted(self._chosen, [self._seen, self._seen + batch.num_rows])
            places = np.arange(start, end)
            places = places[self._ranks[places] < self._limit]
            if len(places):
                taken = batch.take(pa.array(self._chosen[places] - self._seen))
                self._taken.append((self._shortened(taken), places))
                self._keep_within_bounds()
            self._seen += batch.num_rows

    def drawn(self) -> Drawn:
        """What was drawn."""
        table = pa.Table.from_batches([batch for batch, _ in self._taken], self._schema)
        table = table.combine_chunks()
        places = np.concatenate([places for _, places in self._taken])
        columns = [_whole(column) for column in table.columns]
        marks = marks_of(columns, table.num_rows)
        order = np.argsort(marks, kind="stable")
        is_new = np.r_[True, np.diff(marks[order]) != 0]
        is_all = len(places) == self._rows and not self._is_cut
        return Drawn(table.take(pa.array(order)), self._chosen[places][order], is_new, is_all)

    def _shortened(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = []
        for values in batch.columns:
            if pa.types.is_string(values.type):
                longest = pc.max(pc.utf8_length(values)).as_py() or 0
                if longest > TEXT_CHARACTERS:
                    self._is_cut = True
                    columns.append(pc.utf8_slice_codeunits(values, 0, TEXT_CHARACTERS))
                    continue
            columns.append(values)
        return pa.record_batch(columns, batch.schema)

    def _keep_within_bounds(self) -> None:
        """Halves the sample until it is small enough; a record stays at least."""
        while self._limit > 1 and sum(batch.nbytes for batch, _ in self._taken) > MOST_BYTES:
            self._limit //= 2
            kept = []
            for batch, places in self._taken:
                stays = self._ranks[places] < self._limit
                if stays.any():
                    kept.append((batch.filter(pa.array(stays)), places[stays]))
            self._taken = kept


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
