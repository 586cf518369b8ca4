"""Where records come from, as micro-batches that do not depend on how they are stored.

- A dataset, Parquet files, a table, or anything that gives record batches (or frames) each time it
  is gone through. All are cut into micro-batches of the same number of rows, so nothing that is
  learned depends on the sizes of parts, row groups or batches.
- Only the columns that are needed are read, where the source can choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shoal import batch
from shoal.errors import InvalidRequestError, MissingColumnError
from shoal.train._collect._dataset import Dataset
from shoal.train._collect._files_reader import FilesReader
from shoal.train._collect._inputs import Input, is_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BLOCK_ROWS = 1 << 14


class Records:
    """What is learned from.

    Attributes:
        identity: The digest of all of it, where it is known without reading.
    """

    def __init__(
        self, opened: Callable[[Sequence[str]], Iterable[Any]], identity: str | None
    ) -> None:
        """Takes what gives its pieces, with these columns at least (none named: all)."""
        self.identity = identity
        self._opened = opened

    def schema(self) -> pa.Schema:
        """The columns of the first micro-batch.

        Raises:
            InvalidRequestError: there is none.
        """
        for first in _cut(self._opened(())):
            return first.schema
        message = "there are no records to learn from, expected at least one"
        raise InvalidRequestError(message)

    def blocks(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All records in order, with these columns; all blocks but the last have `BLOCK_ROWS`.

        Raises:
            MissingColumnError: there is no such column.
        """
        for block in _cut(self._opened(names)):
            if absent := [name for name in names if name not in block.schema.names]:
                there = ", ".join(block.schema.names)
                raise MissingColumnError(f"there is no column {absent[0]!r}; there are {there}")
            yield block.select(list(names))


def records_of(source: Any) -> Records:
    """Says how to read what was given.

    Raises:
        InvalidRequestError: it cannot be read in micro-batches, or not again.
        PathError: there are no such files.
    """
    if isinstance(source, Records):
        return source
    if isinstance(source, Dataset):
        return Records(lambda names: _of_dataset(source, names), source.digest)
    if is_place(source):
        return Records(lambda names: _of_files(source, names), None)
    if isinstance(source, Iterator):
        message = (
            f"a {type(source).__name__} can be gone through once, expected records to read again"
        )
        hint = "Give a dataset, Parquet files, a table, or an object whose __iter__ begins anew."
        raise InvalidRequestError(message, hint=hint)
    return Records(lambda _names: [source] if _is_table(source) else source, None)


def _of_dataset(dataset: Dataset, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    known = [name for name in names if name in dataset.schema.names]
    return dataset.batches(columns=known or None, rows=BLOCK_ROWS)


def _of_files(place: Any, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    reader = FilesReader(Input(place, columns=tuple(names)))
    if reader.lineage()["format"] != "parquet":
        message = f"{reader.label} is {reader.lineage()['format']}, expected Parquet"
        raise InvalidRequestError(message, hint="Make a dataset of it: train.collect(...).")
    return (piece for _, piece in reader.batches())


def _is_table(source: Any) -> bool:
    return isinstance(source, pa.RecordBatch) or hasattr(source, "__arrow_c_stream__")


def _cut(pieces: Iterable[Any]) -> Iterator[pa.RecordBatch]:
    for piece in batch.split(iter(pieces), by=batch.rows(BLOCK_ROWS)):
        if not isinstance(piece, pa.RecordBatch):
            message = f"what gives records gave a {type(piece).__name__}, expected record batches"
            raise InvalidRequestError(message)
        yield piece
