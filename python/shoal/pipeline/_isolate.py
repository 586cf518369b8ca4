"""Records that fail, found one by one, so that their neighbours are answered all the same.

A batch that fails is halved, and each half is tried alone: at most 2 * k * log2(n) further calls
for k bad records among n. Only what is the records' own fault is handled so: a model that raises,
a value that does not fit. Anything else ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import InputError, ModelError

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.errors import ShoalError

Answer = Callable[["pa.RecordBatch"], "pa.RecordBatch"]


class Failed(NamedTuple):
    """A record that failed.

    Attributes:
        row: Its place in the batch, from 0.
        error: What went wrong.
        record: The record, a batch of one.
    """

    row: int
    error: ShoalError
    record: pa.RecordBatch


def isolated(answer: Answer, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch | Failed]:
    """The answers to a batch in pieces and the records that failed, all in order."""
    waiting = [(0, batch.num_rows)]
    while waiting:
        start, rows = waiting.pop()
        part = batch.slice(start, rows)
        try:
            yield answer(part)
            continue
        except (InputError, ModelError) as error:
            if rows == 1:
                yield Failed(start, error, part)
                continue
        half = rows // 2
        waiting += [(start + half, rows - half), (start, half)]
