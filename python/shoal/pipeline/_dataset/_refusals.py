"""Records that could not be read or answered: kept with their reason, or the end of the run.

They go to a folder of Parquet files of their own, committed epoch by epoch just before the answers
of the same range, so that each record is in one of the two, exactly once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal import source as sources
from shoal.errors import error_for
from shoal.source import Refused

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from shoal.pipeline._isolate import Failed
    from shoal.source import Offset, ParquetSink, Part, Place, Token

SCHEMA = pa.schema({name: pa.string() for name in Refused._fields})
# So many are gathered before they are written.
GATHERED = 1024
SHOWN_CHARACTERS = 4096


class Refusals:
    """What becomes of records that fail."""

    def __init__(self, where: str | os.PathLike[str] | None) -> None:
        self._sink: ParquetSink | None = None
        if where is not None:
            self._sink = sources.ParquetSink(sources.folder(str(where)))

    def open(self, pipeline_id: str) -> None:
        """Takes up where an earlier run ended."""
        if self._sink is not None:
            self._sink.open(pipeline_id, SCHEMA)

    def of(self, epoch: int) -> Failures:
        """Those of one epoch, to be added by one thread."""
        sink = self._sink
        failures = Failures(None if sink is None else lambda: sink.begin(epoch))
        if epoch == 1:
            failures.begin()  # also a folder without such records has its columns
        return failures

    def commit(self, epoch: int, start: Offset, end: Offset, token: Token | None) -> None:
        """Shows those of an epoch."""
        if self._sink is not None:
            self._sink.commit(epoch, start, end, [token] if token else [])

    def abort(self, epoch: int, token: Token | None) -> None:
        """Throws away those of an epoch."""
        if self._sink is not None and token is not None:
            self._sink.abort(epoch, [token])

    def total(self) -> int:
        """How many were committed."""
        return 0 if self._sink is None else self._sink.rows()

    def close(self) -> None:
        """Nothing more will fail."""
        if self._sink is not None:
            self._sink.close()


class Failures:
    """The records of one epoch that failed."""

    def __init__(self, begin: Callable[[], Part] | None) -> None:
        self._begin = begin
        self._part: Part | None = None
        self._held: list[Refused] = []

    def begin(self) -> None:
        """Makes the part, if there is a folder for it and it is not there yet."""
        if self._part is None and self._begin is not None:
            self._part = self._begin()

    def add(self, refused: Refused) -> None:
        """Keeps a record.

        Raises:
            ShoalError: there is no folder for such records: the record's own error.
        """
        if self._begin is None:
            message = f"{refused.file}, {refused.place}: {refused.message}"
            hint = "Name a folder for such records (--errors DIR) to go on without them."
            raise error_for(refused.code, message, hint)
        self._held.append(refused)
        if len(self._held) == GATHERED:
            self._write()

    def add_failed(self, place: Place, failed: Failed) -> None:
        """Keeps a record that the model did not answer."""
        error = failed.error
        record = json.dumps(failed.record.to_pylist()[0], default=str)[:SHOWN_CHARACTERS]
        self.add(Refused(place.file, place.of(failed.row), error.code, str(error), record))

    def end(self) -> Token | None:
        """Stages what was kept."""
        self._write()
        return None if self._part is None else self._part.end()

    def abort(self) -> None:
        """Throws away what was kept."""
        if self._part is not None:
            self._part.abort()

    def _write(self) -> None:
        if not self._held:
            return
        self.begin()
        columns = zip(*self._held, strict=True)
        arrays = [pa.array(column, pa.string()) for column in columns]
        if self._part is not None:
            self._part.add(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        self._held = []
