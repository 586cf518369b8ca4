"""Rows of columns as numpy arrays: what proving a model needs to cut, mix and compare.

`Rows` holds one array per column, records first; `missing` marks null records. Text columns are
arrays of objects (bytes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from shoal.values import Dtype, from_arrow, schema_of, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.runtime import Tolerance
    from shoal.values import Column

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rows:
    """Some records, or some answers, in declared order of their columns."""

    columns: tuple[Column, ...]
    values: tuple[Array, ...]
    missing: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.values[0])

    def take(self, rows: Array) -> Rows:
        """The rows at these places."""
        values = tuple(each[rows] for each in self.values)
        return Rows(self.columns, values, tuple(each[rows] for each in self.missing))

    def beside(self, others: Rows) -> Rows:
        """These rows, then the others."""
        pairs = zip(self.values, others.values, strict=True)
        masks = zip(self.missing, others.missing, strict=True)
        values = tuple(np.concatenate(pair) for pair in pairs)
        return Rows(self.columns, values, tuple(np.concatenate(pair) for pair in masks))

    def to_batch(self) -> pa.RecordBatch:
        """The same rows as a table."""
        wires = [
            (
                column.name,
                column.dtype.value,
                list(values.shape),
                list(values.ravel()) if values.dtype == object else values.tobytes(),
                mask.astype(np.uint8).tobytes() if mask.any() else None,
            )
            for column, values, mask in zip(self.columns, self.values, self.missing, strict=True)
        ]
        return to_arrow(wires, self.columns)


def rows_of(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> Rows:
    """A table of the declared columns, as arrays."""
    wires = from_arrow(batch, columns)
    values = tuple(
        _array(column, shape, data)
        for column, (_, _, shape, data, _) in zip(columns, wires, strict=True)
    )
    masks = tuple(_mask(shape[0], missing) for _, _, shape, _, missing in wires)
    return Rows(columns, values, masks)


def disagreement(found: Array, expected: Array, tolerance: Tolerance) -> Array:
    """For each row, by how many tolerances the worst element differs; 0 is equal, over 1 too far.

    Whole numbers, booleans and text differ by nothing or by infinity. NaN equals NaN. The relative
    part is of the value or of the column's median size, whichever is larger: the rounding of a sum
    grows with its terms, and a sum near zero may have large ones.
    """
    if found.shape != expected.shape:
        return np.full(max(len(found), len(expected)), np.inf)
    if found.dtype.kind != "f":
        apart = np.where(found == expected, 0.0, np.inf)
    else:
        apart = _apart(found.astype(np.float64), expected.astype(np.float64), tolerance)
    rows: Array = apart.reshape(len(apart), -1).max(axis=1, initial=0.0)
    return rows


def _apart(found: Array, expected: Array, tolerance: Tolerance) -> Array:
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    size = np.abs(expected)
    finite = size[np.isfinite(size)]
    size = np.maximum(size, np.median(finite) if finite.size else 0.0)
    allowed = np.maximum(tolerance.absolute, tolerance.relative * size)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(same, 0.0, np.abs(found - expected) / allowed)
    return np.where(np.isnan(apart), np.inf, apart)


def _array(column: Column, shape: list[int], data: Any) -> Array:
    if column.dtype is Dtype.BYTES:
        values = np.empty(len(data), dtype=object)
        values[:] = data
        return values.reshape(shape)
    kind = schema_of([column]).field(0).type
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    numbers: Array = np.frombuffer(data, dtype=kind.to_pandas_dtype()).reshape(shape)
    return numbers


def _mask(rows: int, missing: Any) -> Array:
    if missing is None:
        return np.zeros(rows, dtype=bool)
    mask: Array = np.frombuffer(missing, dtype=np.uint8) != 0
    return mask
