"""Where the records of an epoch wait for its commit: in memory up to a size, then in a file.

- The file is a stream of Arrow (IPC) without a name: it goes when the process ends, however.
- A token names what one call of `write` has spooled; only the process that wrote it knows it.
- What was spooled may be read any number of times, until it is dropped.
"""

from __future__ import annotations

import tempfile
import uuid
from threading import Lock
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from shoal.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    from shoal.source._contract import Token

MEMORY_BYTES = 64 << 20


class Spool:
    """Holds records by token; may be used from several threads."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        """Takes how much each token may hold in memory."""
        self._memory_bytes = memory_bytes
        self._files: dict[str, tuple[IO[bytes], int]] = {}
        self._lock = Lock()

    def write(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Token:
        """Holds records.

        Raises:
            SinkError: there is no room for the file.
        """
        spooled = tempfile.SpooledTemporaryFile(self._memory_bytes)  # noqa: SIM115 - see `drop`
        file = cast("IO[bytes]", spooled)
        try:
            rows = _write(file, schema, batches)
        except OSError as error:
            file.close()
            raise SinkError(f"records cannot be held for their commit: {error}") from error
        except BaseException:
            file.close()
            raise
        name = uuid.uuid4().hex
        with self._lock:
            self._files[name] = (file, rows)
        return {"spool": name, "rows": rows}

    def read(self, tokens: Sequence[Token]) -> Iterator[pa.RecordBatch]:
        """What is held, in the order of the tokens.

        Raises:
            SinkError: it is not held here, or not any more.
        """
        for token in tokens:
            found = self._files.get(token["spool"])
            if found is None:
                hint = "Write the epoch again; a token is good in the process that wrote it."
                raise SinkError(f"{token['rows']} records are not held here", hint=hint)
            found[0].seek(0)
            with pa.ipc.open_stream(found[0]) as reader:
                yield from reader

    def drop(self, tokens: Iterable[Token]) -> None:
        """Holds these no longer; those that it does not know are gone already."""
        for token in tokens:
            with self._lock:
                found = self._files.pop(token["spool"], None)
            if found is not None:
                found[0].close()

    def clear(self) -> None:
        """Holds nothing any more."""
        self.drop([{"spool": name} for name in list(self._files)])


def _write(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    with pa.ipc.new_stream(file, schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
            rows += batch.num_rows
    return rows
