"""Batches that wait for the commit of their epoch: in memory, and above a limit in files.

- All spools of a sink together hold `MEMORY_BYTES` in memory; what comes then goes to a file.
- A spool can be read several times, until it is dropped.
"""

from __future__ import annotations

import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from shoal.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 64 << 20


class Spools:
    """The spools of a sink; several threads may store at once."""

    def __init__(self, schema: pa.Schema) -> None:
        """Takes the columns of all batches."""
        self._schema = schema
        self._free_bytes = MEMORY_BYTES
        self._lock = Lock()
        self._stored: dict[str, _Spool] = {}

    def store(self, batches: Iterator[pa.RecordBatch]) -> tuple[str, int]:
        """Stores batches; gives the name of the spool and how many records it has.

        Raises:
            SinkError: the disk does not take them.
        """
        spool = _Spool(self._schema)
        rows = 0
        try:
            for batch in batches:
                rows += batch.num_rows
                spool.add(batch, is_held=not spool.is_on_disk and self._take(batch.nbytes))
        except BaseException:
            self._close(spool)
            raise
        name = uuid.uuid4().hex
        self._stored[name] = spool
        return name, rows

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """The batches of a spool, in order.

        Raises:
            SinkError: there is none of that name, or the disk does not give them back.
        """
        spool = self._stored.get(name)
        if spool is None:
            raise SinkError(f"the records staged as {name} are not those of this process")
        return spool.batches()

    def drop(self, name: str) -> None:
        """Forgets a spool, if there is one."""
        if spool := self._stored.pop(name, None):
            self._close(spool)

    def close(self) -> None:
        """Forgets all."""
        for name in list(self._stored):
            self.drop(name)

    def _take(self, size_bytes: int) -> bool:
        """Takes memory, if there is so much left."""
        with self._lock:
            is_free = size_bytes <= self._free_bytes
            self._free_bytes -= size_bytes if is_free else 0
            return is_free

    def _close(self, spool: _Spool) -> None:
        with self._lock:
            self._free_bytes += spool.held_bytes
        spool.close()


class _Spool:
    """The batches of one call: the first in memory, the others in a file."""

    def __init__(self, schema: pa.Schema) -> None:
        self.held_bytes = 0
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._open = ExitStack()
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    @property
    def is_on_disk(self) -> bool:
        return self._file is not None

    def add(self, batch: pa.RecordBatch, *, is_held: bool) -> None:
        if is_held:
            self._held.append(batch)
            self.held_bytes += batch.nbytes
            return
        with _refused():
            if self._file is None:
                self._file = self._open.enter_context(_file())
                self._writer = pa.ipc.new_stream(self._file, self._schema)
            self._writer.write_batch(batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._held
        if self._file is not None:
            with _refused():
                self._writer.close()
                self._file.seek(0)
                yield from pa.ipc.open_stream(self._file)

    def close(self) -> None:
        self._held = []
        self._open.close()


def _file() -> IO[bytes]:
    """A file that has no name, and is gone when it is closed."""
    return tempfile.TemporaryFile(prefix="shoal-")


@contextmanager
def _refused() -> Iterator[None]:
    """What the system refuses becomes an error of the sink."""
    try:
        yield
    except OSError as error:
        message = f"records cannot be staged in {tempfile.gettempdir()}: {error.strerror or error}"
        raise SinkError(message) from error
