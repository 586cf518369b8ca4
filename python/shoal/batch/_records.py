"""Records in the three forms they come in, and how to read them piece by piece.

- Arrow: tables, record batches, frames and anything else that speaks Arrow's stream protocol
  become record batches, never copied where Arrow need not. A frame's index is a column if it has
  a name; pandas' NaN is a null in Arrow.
- Arrays of NumPy stay arrays; the first dimension is the record.
- Everything else is a sequence of records, in lists: scalars, mappings, anything.

An iterator may give pieces of one of these forms (an empty list is a piece too), or, where its
first item is none of them, single records. All pieces of one iterator have the same form and types.
"""

from __future__ import annotations

import datetime
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from shoal.batch._sizes import record_bytes_of_arrow, record_bytes_of_list
from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
    ShapeError,
    UnexpectedColumnError,
)
from shoal.values import no_records

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_CHARACTERS = 60  # of an offending value, in a message
VALUE = "value"  # the column of records that have no names


@dataclass(frozen=True)
class ArrowPiece:
    """Records as an Arrow record batch."""

    records: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.records.num_rows)

    def slice(self, start: int, end: int) -> Self:
        """Gives records `start` to `end`, not copied."""
        return type(self)(self.records.slice(start, end - start))

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Gives the records at these places."""
        return type(self)(self.records.take(pa.array(indices)))

    def column(self, name: str) -> pa.Array:
        """Gives a column."""
        if name not in self.records.schema.names:
            raise _missing(name, self.records.schema.names)
        return self.records.column(name)

    def record_bytes(self) -> NDArray[np.int64]:
        """Gives the bytes of each record."""
        return record_bytes_of_arrow(self.records)

    def join(self, others: Sequence[Self]) -> Self:
        """Gives this piece and those that follow as one."""
        if not others:
            return self
        return type(self)(pa.concat_batches([self.records, *(o.records for o in others)]))

    def follow(self, first: Self) -> Self:
        """Gives this piece with the columns of the first, by name.

        Raises:
            MissingColumnError: A column of the first piece is not here.
            UnexpectedColumnError: The first piece has no such column.
            DtypeError: A column has another type.
        """
        schema, expected = self.records.schema, first.records.schema
        if schema.equals(expected):
            return self
        for name in expected.names:
            if name not in schema.names:
                raise _missing(name, schema.names)
        for field in schema:
            if field.name not in expected.names:
                raise UnexpectedColumnError(
                    f"column {field.name!r} was not in the pieces before",
                    hint="give every piece the same columns",
                )
            if field.type != (before := expected.field(field.name).type):
                raise DtypeError(
                    f"column {field.name!r} is {field.type}, it was {before} in the pieces before",
                    hint="cast the pieces to one schema",
                )
        columns = [self.records.column(name) for name in expected.names]
        return type(self)(pa.RecordBatch.from_arrays(columns, schema=expected))


@dataclass(frozen=True)
class ArrayPiece:
    """Records as a NumPy array, the first dimension the record."""

    records: NDArray[Any]

    def __len__(self) -> int:
        return len(self.records)

    def slice(self, start: int, end: int) -> Self:
        """Gives records `start` to `end`, not copied."""
        return type(self)(self.records[start:end])

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Gives the records at these places."""
        return type(self)(self.records[indices])

    def column(self, name: str) -> pa.Array:
        """Gives a field of a structured array."""
        names = self.records.dtype.names or ()
        if name not in names:
            raise _missing(name, names)
        return pa.array(np.ascontiguousarray(self.records[name]))

    def record_bytes(self) -> NDArray[np.int64]:
        """Gives the bytes of each record."""
        each = self.records.itemsize * int(np.prod(self.records.shape[1:]))
        return np.full(len(self.records), each, dtype=np.int64)

    def join(self, others: Sequence[Self]) -> Self:
        """Gives this piece and those that follow as one."""
        if not others:
            return self
        return type(self)(np.concatenate([self.records, *(o.records for o in others)]))

    def follow(self, first: Self) -> Self:
        """Gives this piece if its records have the shape and dtype of the first's.

        Raises:
            ShapeError: A record has another shape.
            DtypeError: The array has another dtype.
        """
        shape, dtype = self.records.shape[1:], self.records.dtype
        if shape != first.records.shape[1:]:
            raise ShapeError(f"a record has shape {shape}, it was {first.records.shape[1:]} before")
        if dtype != first.records.dtype:
            raise DtypeError(f"an array is {dtype}, it was {first.records.dtype} before")
        return self


@dataclass(frozen=True)
class ListPiece:
    """Records as a list of anything."""

    records: list[Any]

    def __len__(self) -> int:
        return len(self.records)

    def slice(self, start: int, end: int) -> Self:
        """Gives records `start` to `end`."""
        return type(self)(self.records[start:end])

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Gives the records at these places."""
        return type(self)([self.records[i] for i in indices])

    def column(self, name: str) -> pa.Array:
        """Gives the values under one name of records that are mappings."""
        for number, record in enumerate(self.records):
            if not isinstance(record, Mapping) or name not in record:
                raise MissingColumnError(
                    f"record {number} of a piece has no {name!r}: {_short(record)}",
                    hint="give records as mappings that all have this name (None is a null)",
                )
        return array_of([record[name] for record in self.records])

    def record_bytes(self) -> NDArray[np.int64]:
        """Gives the bytes of each record."""
        return record_bytes_of_list(self.records)

    def join(self, others: Sequence[Self]) -> Self:
        """Gives this piece and those that follow as one."""
        return type(self)([*self.records, *(r for other in others for r in other.records)])

    def follow(self, first: Self) -> Self:
        """Gives this piece: records in lists need have nothing in common."""
        del first
        return self


Piece = ArrowPiece | ArrayPiece | ListPiece


def read_pieces(data: object, *, read_ahead: int) -> Iterator[Piece]:
    """Gives data piece by piece, empty pieces left out, reading on only when asked.

    Args:
        data: Any of the forms above, or an iterator.
        read_ahead: At most so many single records are taken from an iterator at a time.

    Raises:
        InvalidRequestError: Data that has no records. Raised at once; what an iterator gives
            is checked as it comes.
    """
    pieces = _pieces_of(data)
    if pieces is not None:
        return _uniform(pieces)
    if isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(
        data, Iterable
    ):
        raise InvalidRequestError(
            f"a {type(data).__name__} has no records to split: {_short(data)}",
            hint="give a table, a frame, a list, an array or an iterator of these",
        )
    if isinstance(data, Sequence):
        return _uniform([ListPiece(list(data))])
    return _uniform(_pieces_of_iterator(iter(data), read_ahead))


def is_in_memory(data: object) -> bool:
    """Says whether all records are there already, rather than given by an iterator."""
    held = (pa.RecordBatch, pa.Table, pa.Array, pa.ChunkedArray, np.ndarray)
    return isinstance(data, (*held, Sequence)) or _is_pandas(data)


def is_tabular(data: object) -> bool:
    """Says whether data is one table, frame or array, not many of them."""
    held = (pa.RecordBatch, pa.Table, pa.Array, pa.ChunkedArray, np.ndarray)
    return isinstance(data, held) or _is_pandas(data)


def as_answer(result: object) -> Any:
    """Gives what a function returned in one form: any table or frame as one record batch."""
    if isinstance(result, pa.Scalar):
        return result.as_py()
    if isinstance(result, pa.ChunkedArray):
        return result.combine_chunks()
    table = _table_of(result)
    return result if table is None else _one_batch(table)


def as_record_batch(records: object) -> pa.RecordBatch:
    """Gives an answer as one record batch, so that it can be merged.

    Tables, frames and Arrow arrays keep their columns; a mapping or a list of mappings becomes
    columns by name; any other value, and each value of a list or array of one dimension, becomes
    a row of the column `value`.

    Raises:
        DtypeError: Arrow has no type for the values.
        ShapeError: An array has more than one dimension.
    """
    if isinstance(records, np.ndarray) and records.ndim > 0:
        return _batch_of_array(records)
    table = _table_of(as_answer(records))
    if table is not None:
        return _one_batch(table)
    if isinstance(records, (pa.Array, pa.ChunkedArray)):
        return _one_batch(pa.table({VALUE: records}))
    values = records if isinstance(records, list) else [as_answer(records)]
    if values and all(isinstance(value, Mapping) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        columns = {name: array_of([value.get(name) for value in values]) for name in names}
        return pa.RecordBatch.from_pydict(columns)
    return pa.RecordBatch.from_pydict({VALUE: array_of(values)})


def array_of(values: Sequence[Any]) -> pa.Array:
    """Gives values as an Arrow array of the type they share; NaN stays NaN, None is a null.

    Raises:
        DtypeError: They share none.
    """
    _check_zones(values)
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError) as cause:
        kinds = sorted({type(value).__name__ for value in values})
        raise DtypeError(
            f"values of {', '.join(kinds)} make no column: {cause}",
            hint="give values of one type; by_type(...) answers records type by type",
        ) from cause


def _pieces_of(data: object) -> Iterable[Piece] | None:
    """Gives the pieces of what is a form of its own; None for an iterator or a single value."""
    if isinstance(data, np.ndarray):
        if data.ndim == 0:
            raise ShapeError("an array of shape () has no records", hint="give it a dimension")
        return [ArrayPiece(data)]
    if isinstance(data, list):
        return [ListPiece(data)]
    batches = _batches_of(data)
    return None if batches is None else map(ArrowPiece, batches)


def _batches_of(data: object) -> Iterable[pa.RecordBatch] | None:
    """Gives record batches of anything Arrow can hold, as they come; None for what it cannot."""
    if isinstance(data, pa.RecordBatch):
        return [data]
    if isinstance(data, (pa.Array, pa.ChunkedArray)):
        data = pa.table({VALUE: data})
    elif _is_pandas(data):
        data = _table_of_pandas(data)
    if isinstance(data, pa.Table):
        batches: list[pa.RecordBatch] = data.to_batches()
        return batches
    if hasattr(data, "__arrow_c_stream__"):
        stream: Iterable[pa.RecordBatch] = pa.RecordBatchReader.from_stream(data)
        return stream
    return None


def _table_of(data: object) -> pa.Table | None:
    """Gives anything tabular as a table; None for what is not."""
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return data
    if _is_pandas(data):
        return _table_of_pandas(data)
    if hasattr(data, "__arrow_c_stream__") and not isinstance(data, pa.ChunkedArray):
        return pa.RecordBatchReader.from_stream(data).read_all()
    return None


def _is_pandas(data: object) -> bool:
    """Says whether data is a pandas frame or series, without importing pandas for other data."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, (pandas.DataFrame, pandas.Series))


def _table_of_pandas(data: Any) -> pa.Table:
    frame = data.to_frame(data.name or VALUE) if data.ndim == 1 else data
    has_named_index = any(name is not None for name in frame.index.names)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=has_named_index)
    except pa.ArrowException as cause:
        raise DtypeError(
            f"a column of the frame has no one type: {cause}",
            hint="cast the column, or give the records as a list",
        ) from cause
    return table.replace_schema_metadata(None)


def _pieces_of_iterator(items: Iterator[object], read_ahead: int) -> Iterator[Piece]:
    for first in items:
        if _pieces_of(first) is None:
            yield from _pieces_of_records(itertools.chain([first], items), read_ahead)
        else:
            for item in itertools.chain([first], items):
                pieces = _pieces_of(item)
                if pieces is None:
                    raise InputError(
                        f"an iterator of pieces gave a single record: {_short(item)}",
                        hint="give only pieces (tables, arrays, lists) or only records",
                    )
                yield from pieces


def _pieces_of_records(records: Iterator[object], read_ahead: int) -> Iterator[Piece]:
    while taken := list(itertools.islice(records, read_ahead)):
        yield ListPiece(taken)


def _uniform(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Gives the pieces that have records, each checked against the first."""
    first: Any = None
    piece: Any
    for piece in pieces:
        if first is None:
            first = piece
        if type(piece) is not type(first):
            raise InputError(
                f"an iterator gave a {type(piece.records).__name__} after a "
                f"{type(first.records).__name__}",
                hint="give pieces of one form only",
            )
        if len(piece):
            yield piece.follow(first)


def _batch_of_array(values: NDArray[Any]) -> pa.RecordBatch:
    if values.dtype.names:
        names = values.dtype.names
        return pa.RecordBatch.from_pydict({n: np.ascontiguousarray(values[n]) for n in names})
    if values.ndim > 1:
        raise ShapeError(
            f"an answer of shape {values.shape} has no columns to merge",
            hint="answer with one value per record, or with a table",
        )
    return pa.RecordBatch.from_pydict({VALUE: array_of(values)})  # type: ignore[arg-type]  # one dimension


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    if not batches:
        return no_records(table.schema)
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _check_zones(values: Sequence[Any]) -> None:
    """Refuses times with a zone beside times without: Arrow would take the latter for UTC."""
    zoned = {v.tzinfo is not None for v in values if isinstance(v, datetime.datetime)}
    if len(zoned) > 1:
        raise DtypeError(
            "some times have a zone and some have none", hint="give all of them a zone, or none"
        )


def _missing(name: str, names: Sequence[str]) -> MissingColumnError:
    known = ", ".join(map(repr, names)) or "none"
    return MissingColumnError(f"there is no column {name!r}, only {known}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
