"""Records of different shapes: cut into groups of one shape, and put back in order.

A tensor has one shape, a table may hold records of many. `split_by_shape` gives one group for each
shape that occurs, in order of first appearance; `join_groups` undoes it for tables of any columns
that have one row for each row of a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import MissingColumnError, ShapeError
from shoal.values._arrow_reader import as_array, is_list, is_tensor, mask_of, tensor_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.values._signature import Column


class ShapeGroup(NamedTuple):
    """The records of a table that share one shape in every column.

    Attributes:
        rows: The row of each record in the whole table, ascending, int64.
        batch: The records.
    """

    rows: npt.NDArray[np.int64]
    batch: pa.RecordBatch


def split_by_shape(batch: pa.RecordBatch, columns: Sequence[Column]) -> list[ShapeGroup]:
    """Cuts a table into groups of records that have one shape in every column.

    Args:
        batch: The records.
        columns: The declared columns; only those whose shape varies are looked at.

    Returns:
        Groups in order of first appearance; together they hold each row once. A table of one
        shape is one group with the very same batch; so is a table without records.

    Raises:
        ShapeError: One record has rows of different lengths inside itself.
        MissingColumnError: A declared column is not there.
    """
    keys = [_shapes(batch, column) for column in columns if column.is_variable]
    count = batch.num_rows
    if not keys or count == 0:
        return [ShapeGroup(np.arange(count), batch)]
    _, first, group = np.unique(
        np.concatenate(keys, axis=1), axis=0, return_index=True, return_inverse=True
    )
    if len(first) == 1:
        return [ShapeGroup(np.arange(count), batch)]
    group = group.reshape(-1)
    rows = np.argsort(group, kind="stable")
    parts = np.split(rows, np.cumsum(np.bincount(group))[:-1])
    parts.sort(key=lambda part: int(part[0]))
    return [ShapeGroup(part, batch.take(pa.array(part))) for part in parts]


def join_groups(groups: Sequence[ShapeGroup]) -> pa.RecordBatch:
    """Puts the answers to groups back in the order of the table they were cut from.

    Args:
        groups: At least one, with the `rows` of `split_by_shape` and batches of one schema that
            have one record for each row.

    Raises:
        ShapeError: A group's batch does not have as many records as the group has rows.
    """
    for rows, batch in groups:
        if batch.num_rows != len(rows):
            raise ShapeError(f"a group of {len(rows)} rows has {batch.num_rows} records")
    if len(groups) == 1:
        return groups[0].batch
    order = np.argsort(np.concatenate([rows for rows, _ in groups]))
    return pa.concat_batches([batch for _, batch in groups]).take(pa.array(order))


def _shapes(batch: pa.RecordBatch, column: Column) -> npt.NDArray[np.int64]:
    """Gives the shape of each record, (records, dimensions) int64; a missing one has length 0."""
    if column.name not in batch.schema.names:
        raise MissingColumnError(f"column {column.name!r} is missing, got {batch.schema.names}")
    array = as_array(batch.column(column.name))
    count = len(array)
    shapes = np.zeros((count, len(column.shape)), dtype=np.int64)
    owner = np.arange(count)
    level = 0
    while level < len(column.shape) and is_list(array.type):
        lengths = _lengths(array)
        _set_lengths(shapes[:, level], owner, lengths, column.name)
        owner = np.repeat(owner, lengths)
        array = as_array(array.flatten())
        level += 1
    if level < len(column.shape) and is_tensor(array.type):
        own = tensor_shape(array.type)[: len(column.shape) - level]
        shapes[owner[~mask_of(array)], level : level + len(own)] = own
    return shapes


def _lengths(array: Any) -> npt.NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    found: npt.NDArray[np.int64] = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    # A missing fixed-size list still says its size, but flattens to nothing.
    found[mask_of(array)] = 0
    return found


def _set_lengths(
    shape: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    name: str,
) -> None:
    shape[owner] = lengths
    other = np.flatnonzero(shape[owner] != lengths)
    if len(other):
        row = int(owner[other[0]])
        both = sorted((int(lengths[other[0]]), int(shape[row])))
        raise ShapeError(
            f"column {name!r} row {row} has lengths {both[0]} and {both[1]} in one "
            "dimension, expected one length inside a record"
        )
