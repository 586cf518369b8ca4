"""Answers a table with a function of columns: what every runtime's `predict` has in common.

Records of different shapes cannot be one tensor: they are answered in groups of one shape, and the
answers are put back in order. A table without records is answered without asking the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.errors import InvalidRequestError
from shoal.values import (
    ShapeGroup,
    from_arrow,
    join_groups,
    no_records,
    schema_of,
    split_by_shape,
    to_arrow,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.values import Signature, WireColumn


def check_table(batch: object) -> None:
    """Raises InvalidRequestError for anything but a record batch."""
    if isinstance(batch, pa.RecordBatch):
        return
    message = f"predict was given a {type(batch).__name__}, expected a pyarrow.RecordBatch"
    hint = "pa.RecordBatch.from_pandas(frame), pa.record_batch(columns), or table.to_batches()."
    raise InvalidRequestError(message, hint=hint)


def predict_table(
    batch: pa.RecordBatch,
    signature: Signature,
    run: Callable[[list[WireColumn]], list[WireColumn]],
) -> pa.RecordBatch:
    """The answers to a table, row i to row i.

    Raises:
        InputError: the batch does not fit the signature; the message names the column.
        ShoalError: whatever `run` raises.
    """
    check_table(batch)
    if batch.num_rows == 0:
        from_arrow(batch, signature.inputs)
        return no_records(schema_of(signature.outputs))
    groups = [
        ShapeGroup(rows, to_arrow(run(from_arrow(part, signature.inputs)), signature.outputs))
        for rows, part in split_by_shape(batch, signature.inputs)
    ]
    return join_groups(groups)
