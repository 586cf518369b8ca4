"""What an Arrow stream may be: of the protocol's types, and no short one of a large table.

pyarrow reads much more than the protocol has, and decompresses, decodes and repeats without limit;
so a stream is looked at before it does.

Source: protocol/protocol.md, "In Arrow"; Arrow's `Message.fbs`, whose fields stand here by their
places; FlatBuffers, "Internals".
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import ArrowError, BodyTooLargeError, DtypeError

MAX_REPEATED_BYTES = 64 << 20
MAX_WEIGHTLESS = 1 << 20
_REPEATED_OF_STREAM = 16
_DICTIONARY, _BATCH = 2, 3
_SCALARS = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_date32,
    pa.types.is_timestamp,
)


def check_messages(source: pa.BufferReader) -> None:
    """Refuses a stream whose buffers are compressed: how large they are nobody knows.

    Raises:
        ArrowError: They are.
    """
    reader = pa.ipc.MessageReader.open_stream(source)
    while True:
        try:
            metadata = memoryview(reader.read_next_message().metadata)
        except StopIteration:
            return
        try:
            if _is_compressed(metadata):
                raise ArrowError("the buffers of the Arrow stream are compressed")
        except struct.error as error:
            raise ArrowError(f"the metadata of the Arrow stream is none: {error}") from error


def check_table(table: pa.Table, size_bytes: int) -> None:
    """Refuses what a stream of the protocol does not have, or has too much of.

    Args:
        table: As pyarrow reads it, with nothing decoded.
        size_bytes: Of its stream.

    Raises:
        DtypeError: A type is none of the protocol's.
        ArrowError: There are many records that take no bytes.
        BodyTooLargeError: Texts are repeated too often.
    """
    repeated_bytes = 0
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if not _is_known(column.type):
            raise DtypeError(f"column {name!r} is {column.type}, which no answer has")
        if _is_weightless(column.type) and len(column) > MAX_WEIGHTLESS:
            raise ArrowError(
                f"column {name!r} has {len(column)} records without values, expected at most "
                f"{MAX_WEIGHTLESS}"
            )
        repeated_bytes += sum(map(_repeated_bytes, column.chunks))
    if repeated_bytes > size_bytes * _REPEATED_OF_STREAM + MAX_REPEATED_BYTES:
        raise BodyTooLargeError(
            f"{size_bytes} bytes of Arrow repeat their texts to {repeated_bytes}, expected at most "
            f"{MAX_REPEATED_BYTES} more than {_REPEATED_OF_STREAM} times as many"
        )


def _is_known(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_union(kind):
        return str(kind.mode) == "dense"
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    while pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_null(kind) or any(is_it(kind) for is_it in _SCALARS))


def _is_weightless(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    while pa.types.is_fixed_size_list(kind) and kind.list_size:
        kind = kind.value_type
    return bool(pa.types.is_null(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _repeated_bytes(array: Any) -> int:
    """Gives how many bytes the texts have that are said by their place, each time anew."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        return _sum_at(array.dictionary, array.indices)
    if not pa.types.is_union(array.type) or not len(array):
        return 0
    _, codes, places, *_ = array.buffers()
    held = np.frombuffer(codes, "<i1", len(array), array.offset)
    at = np.frombuffer(places, "<i4", len(array), array.offset * 4)
    total = 0
    for place, code in enumerate(array.type.type_codes):
        child = array.field(place)
        if _is_text(child.type):
            total += _sum_at(child, pa.array(at[held == code]))
    return total


def _sum_at(texts: Any, places: Any) -> int:
    lengths = pc.binary_length(texts).cast(pa.int64())
    total: int | None = pc.sum(lengths.take(places)).as_py()
    return total or 0


def _is_compressed(metadata: memoryview) -> bool:
    message = _place(metadata, 0)
    at = _field(metadata, message, 1)
    kind = metadata[at] if at is not None else 0
    header = _inner(metadata, message, 2)
    if kind == _DICTIONARY and header is not None:
        header, kind = _inner(metadata, header, 1), _BATCH
    return kind == _BATCH and header is not None and _field(metadata, header, 3) is not None


def _inner(metadata: memoryview, table: int, slot: int) -> int | None:
    """Gives where the table of a field stands."""
    at = _field(metadata, table, slot)
    return None if at is None else _place(metadata, at)


def _field(metadata: memoryview, table: int, slot: int) -> int | None:
    """Gives where a field of a table stands; None where it is left out."""
    (back,) = struct.unpack_from("<i", metadata, table)
    (size,) = struct.unpack_from("<H", metadata, table - back)
    entry = 4 + slot * 2
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, table - back + entry)
    return table + int(offset) if offset else None


def _place(metadata: memoryview, at: int) -> int:
    (offset,) = struct.unpack_from("<I", metadata, at)
    return at + int(offset)
