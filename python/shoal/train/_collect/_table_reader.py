"""Tables, frames and arrays in memory as an input; the index of a frame is not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError, ShapeError
from shoal.source import Place
from shoal.train._collect._reading import check_unique_names
from shoal.train._collect._values import array_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shoal.source import Placed
    from shoal.train._collect._inputs import Input

ROWS = 1 << 14


class TableReader:
    """Reads what is in memory."""

    is_text = False

    def __init__(self, described: Input) -> None:
        """Takes a table, a frame or arrays.

        Raises:
            InvalidRequestError: it is none of these.
            DuplicateColumnError: a column is there twice.
            ShapeError: an array has several dimensions, or another length.
        """
        self.label = described.name or "the table"
        self._stated = frozenset(described.types)
        self._source = described.source
        self._names, self._rows = self._shape()
        check_unique_names(self._names, self.label)

    def batches(self) -> Iterator[Placed]:
        """All records; see `Reader`."""
        for start in range(0, self._rows, ROWS):
            place = Place(self.label, "row", start)
            end = min(start + ROWS, self._rows)
            columns = [self._values(name, place, end) for name in self._names]
            yield place, pa.record_batch(columns, names=self._names)

    def done_bytes(self) -> tuple[int, int] | None:
        """Not told."""
        return None

    def lineage(self) -> dict[str, object]:
        """What kind of table it was."""
        kind = type(self._source)
        return {"table": f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"}

    def _shape(self) -> tuple[list[str], int]:
        source = self._source
        if isinstance(source, pa.Table | pa.RecordBatch):
            return source.schema.names, source.num_rows
        if isinstance(source, dict):
            return list(source), _rows_of_arrays(source, self.label)
        if _is_frame(source):
            names = list(source.columns)
            if wrong := [name for name in names if not isinstance(name, str)]:
                message = f"{self.label} has a column called {wrong[0]!r}, expected text"
                raise DtypeError(message, hint="frame.columns = frame.columns.astype(str)")
            return names, len(source)
        message = f"an input is of type {type(source).__qualname__}"
        raise InvalidRequestError(message, hint=_HINT)

    def _values(self, name: str, place: Place, end: int) -> pa.Array:
        start = place.first
        if isinstance(self._source, pa.Table | pa.RecordBatch):
            part = self._source.column(name).slice(start, end - start)
            return part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part
        if isinstance(self._source, dict):
            values: Any = self._source[name][start:end]
        else:
            values = self._source[name].iloc[start:end]
        if values.dtype == object:
            return array_of(name, values.tolist(), place, is_stated=name in self._stated)
        try:
            array = pa.array(values, from_pandas=True)
        except pa.ArrowException as error:
            message = f"{self.label}: column {name!r} of {values.dtype} cannot be read: {error}"
            raise DtypeError(message) from error
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_frame(source: Any) -> bool:
    """Whether it is a DataFrame of pandas, told without importing pandas."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _rows_of_arrays(arrays: Mapping[str, Any], label: str) -> int:
    lengths = {}
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            message = f"{label}: {name!r} is no numpy array of one dimension"
            raise ShapeError(message, hint="Name each column: {'age': ages, 'city': cities}.")
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ShapeError(f"{label}: columns differ in length: {said}")
    return next(iter(lengths.values()), 0)


_HINT = (
    "Give a path, a Sql, a pyarrow Table or RecordBatch, a pandas DataFrame, or a dict of numpy "
    "arrays."
)
