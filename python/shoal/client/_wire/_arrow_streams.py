"""Tables <-> Arrow IPC streams.

A stream is taken only whole: with its end, and with nothing behind it. What it says of itself is
checked in full before anything is read, so that a broken one cannot be read beyond its bytes.

Source: protocol/protocol.md, "In Arrow"; Arrow Columnar Format 1.5, "IPC Streaming Format".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.client._tables._from_arrow import columns_of_table
from shoal.client._tables._table import Table
from shoal.client._wire._arrow_limits import check_messages, check_table
from shoal.errors import ArrowError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"shoal.tasks"

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_MAX_COLUMNS = 1000


def write_stream(table: Table) -> bytes:
    """Gives a table as one stream; see `Column.to_arrow` for its errors."""
    arrays = [column.to_arrow() for column in table.columns]
    schema = pa.schema(
        [pa.field(name, each.type) for name, each in zip(table.names, arrays, strict=True)]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if arrays:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    written: bytes = sink.getvalue().to_pybytes()
    return written


def read_stream(body: bytes | memoryview) -> Table:
    """Gives the table of one stream.

    Raises:
        ArrowError: It is no stream, is cut short, or has bytes behind its end.
        DtypeError: A type is none of the protocol's, or a text is not UTF-8.
        NullError, ShapeError, ZoneError, DuplicateColumnError: As for `Table.of`.
        BodyTooLargeError: It repeats a few texts very often.
    """
    table, end = _read(body)
    if end != len(body) or bytes(body[-len(_END) :]) != _END:
        raise ArrowError("the Arrow stream does not end where its bytes end")
    check_table(table, len(body))
    return Table(columns_of_table(table), rows=table.num_rows)


def write_head(head: bytes) -> bytes:
    """Gives the first stream of a body, which has no columns: its metadata is the head."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([], metadata={HEAD: head})):
        pass
    written: bytes = sink.getvalue().to_pybytes()
    return written


class Streams:
    """A body of several streams: the head, and then as many bytes for each table as the head says.

    Args:
        body: All of it.

    Raises:
        ArrowError: It does not begin with a stream that has a head.
    """

    def __init__(self, body: bytes) -> None:
        table, end = _read(body)
        metadata = table.schema.metadata or {}
        if HEAD not in metadata:
            raise ArrowError(f"the first Arrow stream has no metadata {HEAD.decode()!r}")
        self.head: bytes = metadata[HEAD]
        self._left = memoryview(body)[end:]

    def next(self, size_bytes: int) -> Callable[[], Table]:
        """Takes the next bytes; gives what reads the table of them.

        Raises:
            ArrowError: There are fewer.
        """
        if size_bytes > len(self._left):
            raise ArrowError(
                f"the head announces a stream of {size_bytes} bytes, {len(self._left)} are left"
            )
        stream, self._left = self._left[:size_bytes], self._left[size_bytes:]
        return partial(read_stream, stream)

    def finish(self) -> None:
        """Refuses bytes that belong to no table.

        Raises:
            ArrowError: There are some.
        """
        if self._left:
            raise ArrowError(f"{len(self._left)} bytes are left over behind the last stream")


def _read(body: bytes | memoryview) -> tuple[pa.Table, int]:
    """Gives the first stream of these bytes, and where it ends."""
    source = pa.BufferReader(pa.py_buffer(body))
    try:
        check_messages(source)
        source.seek(0)
        with pa.ipc.open_stream(source) as reader:
            table = reader.read_all()
        if table.num_columns > _MAX_COLUMNS:
            raise ArrowError(
                f"the Arrow stream has {table.num_columns} columns, expected <= {_MAX_COLUMNS}"
            )
        table.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        if "UTF8" in str(error):
            raise DtypeError(f"a text is not UTF-8: {error}") from error
        raise ArrowError(f"the bytes are no Arrow stream: {error}") from error
    return table, source.tell()
