"""Records between our own processes: Arrow IPC streams, never pickle.

- A table travels as it is. An array of NumPy travels as its bytes, with dtype and shape.
- A list of one type (booleans, 64-bit integers, doubles, strings; None among them) travels as a
  column; any other list, or a single value, as a column of MessagePack, one entry per record,
  which keeps every type it takes: None, bool, int (64 bits), float, str, bytes, list, dict.
- What would come back as something else (a tuple, a set, an object) is refused by name.
- MessagePack is decoded to these types only, by msgspec: it calls nothing by name, allocates no
  more than has arrived, and bounds nesting; extensions are refused. JSON would lose bytes and NaN,
  and a union of Arrow has no lists of mixed values.
- The form stands in the metadata of the stream's schema, so `decode(encode(x))` equals `x`.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgspec
import numpy as np
import pyarrow as pa

from shoal.batch._records import as_record_batch
from shoal.errors import DtypeError

FORM = b"shoal.form"
DTYPE = b"shoal.dtype"
SHAPE = b"shoal.shape"
COLUMN_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def encode(records: object) -> pa.Buffer:
    """Gives a micro-batch or an answer as an Arrow IPC stream.

    Raises:
        DtypeError: A value cannot travel unchanged. The message names its type.
    """
    if isinstance(records, pa.RecordBatch):
        return _stream(records, {FORM: b"table"})
    if isinstance(records, (pa.Array, pa.ChunkedArray)):
        return _stream(as_record_batch(records), {FORM: b"column"})
    if isinstance(records, (np.ndarray, np.generic)):
        return _encode_array(np.asarray(records), is_scalar=isinstance(records, np.generic))
    if isinstance(records, list):
        return _encode_list(records, b"list")
    return _encode_list([records], b"value")


def decode(stream: bytes | pa.Buffer) -> Any:
    """Gives back what `encode` took; a large array or table is a view of `stream`."""
    with pa.ipc.open_stream(stream) as reader:
        schema, batch = reader.schema, reader.read_next_batch()
    metadata = dict(schema.metadata)
    form = metadata.pop(FORM)
    if form == b"table":
        kept = {key: value for key, value in metadata.items() if key not in (DTYPE, SHAPE)}
        return batch.replace_schema_metadata(kept or None)
    column = batch.column(0)
    if form == b"column":
        return column
    if form in (b"array", b"scalar"):
        return _decode_array(column, metadata, is_scalar=form == b"scalar")
    values = column.to_pylist()
    if pa.types.is_binary(column.type):
        values = [_DECODER.decode(value) for value in values]
    return values if form == b"list" else values[0]


def _stream(batch: pa.RecordBatch, metadata: dict[bytes, bytes]) -> pa.Buffer:
    kept = dict(batch.schema.metadata or {})
    batch = batch.replace_schema_metadata({**kept, **metadata})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _encode_array(array: np.ndarray[Any, Any], *, is_scalar: bool) -> pa.Buffer:
    if array.dtype.hasobject or array.dtype.names:
        raise DtypeError(
            f"an array of dtype {array.dtype} cannot go to another process",
            hint="give it one plain dtype, make it a table, or use threads",
        )
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    offsets = pa.py_buffer(np.array([0, len(flat)], dtype=np.int64))
    buffers = [None, offsets, pa.py_buffer(flat)]
    column = pa.Array.from_buffers(pa.large_binary(), 1, buffers)
    metadata = {
        FORM: b"scalar" if is_scalar else b"array",
        DTYPE: array.dtype.str.encode(),
        SHAPE: msgspec.json.encode(array.shape),
    }
    return _stream(pa.RecordBatch.from_arrays([column], names=["bytes"]), metadata)


def _decode_array(column: pa.Array, metadata: dict[bytes, bytes], *, is_scalar: bool) -> Any:
    shape = msgspec.json.decode(metadata[SHAPE], type=tuple[int, ...])
    array = np.frombuffer(column[0].as_buffer(), dtype=np.dtype(metadata[DTYPE].decode()))
    return array.reshape(shape)[()] if is_scalar else array.reshape(shape)


def _encode_list(values: list[Any], form: bytes) -> pa.Buffer:
    kinds = set(map(type, values)) - {type(None)}
    column = None
    if len(kinds) == 1:
        column = _column_of(values, kinds.pop())
    if column is None:
        column = pa.array([_packed(value) for value in values], type=pa.binary())
    return _stream(pa.RecordBatch.from_arrays([column], names=["value"]), {FORM: form})


def _column_of(values: list[Any], kind: type) -> pa.Array | None:
    """Gives values of one type as a column of it, or None where it does not hold them all."""
    if kind not in COLUMN_TYPES:
        return None
    try:
        return pa.array(values, type=COLUMN_TYPES[kind])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _packed(value: object) -> bytes:
    try:
        _check_plain(value)
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError, RecursionError) as cause:
        raise _refusal(value, str(cause)) from cause


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise DtypeError(f"a record holds {data.nbytes} bytes of MessagePack's extension {code}")


def _check_plain(value: object) -> None:
    """Refuses what MessagePack would turn into something else."""
    kind = type(value)
    if kind is dict and isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key)
            _check_plain(item)
    elif kind is list and isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif kind not in (type(None), bool, int, float, str, bytes):
        raise _refusal(value, "it would come back as another type")


def _refusal(value: object, reason: str) -> DtypeError:
    return DtypeError(
        f"a {type(value).__name__} cannot go to another process: {reason}",
        hint="use tables, arrays, or plain numbers, strings, lists and dicts; or use threads",
    )


_DECODER: Final = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)
