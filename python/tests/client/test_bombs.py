"""Short answers that announce large tables, and answers at which a library fails."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from shoal import errors
from shoal.client import Result
from shoal.client._wire._arrow_streams import read_stream
from shoal.client._wire._json_read import read_table_json


def stream_of(array: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=["x"])
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, batch.schema, options=chosen) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def of_json(data: Any, *shape: int) -> bytes:
    column = {"name": "x", "dtype": "INT8", "shape": shape, "data": data}
    return json.dumps({"columns": [column]}).encode()


def test_few_nulls_do_not_stand_for_many_values() -> None:
    assert read_table_json(of_json([None, [1]], 1)).to_dict() == {"x": [None, [1]]}
    assert read_table_json(of_json([None], 1 << 20)).rows == 1
    for shape in ((10**9,), (2, 1 << 20), (1 << 20, 2)):
        with pytest.raises(errors.BodyTooLargeError, match="nulls"):
            read_table_json(of_json([None], *shape))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused(codec: str) -> None:
    zeros = pa.array([0] * 100_000)
    for array in (zeros, zeros.cast(pa.string()).dictionary_encode()):
        assert read_stream(stream_of(array)).rows == 100_000
        with pytest.raises(errors.ArrowError, match="compressed"):
            read_stream(stream_of(array, compression=codec))


LONG, ROWS = "a" * (1 << 20), 1000
DICTIONARY = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int8()), pa.array([LONG]))
REPEATED = {
    "dictionary": DICTIONARY,
    "extension": pa.ExtensionArray.from_storage(pa.opaque(DICTIONARY.type, "t", "v"), DICTIONARY),
    "union": pa.UnionArray.from_dense(
        pa.array([0] * ROWS, pa.int8()), pa.array([0] * ROWS, pa.int32()), [pa.array([LONG])]
    ),
}


@pytest.mark.parametrize("array", REPEATED.values(), ids=REPEATED.keys())
def test_a_long_text_is_not_said_a_thousand_times(array: Any) -> None:
    with pytest.raises(errors.BodyTooLargeError, match="repeat"):
        read_stream(stream_of(array))
    assert read_stream(stream_of(array.slice(0, 50))).rows == 50


@pytest.mark.parametrize(
    "array",
    [
        pa.nulls(1 << 21),
        pa.Array.from_buffers(
            pa.list_(pa.int8(), 0), 1 << 21, [None], children=[pa.array([], pa.int8())]
        ),
    ],
)
def test_records_without_bytes_are_not_many(array: Any) -> None:
    with pytest.raises(errors.ArrowError, match="without values"):
        read_stream(stream_of(array))
    assert read_stream(stream_of(array.slice(0, 3))).rows == 3


@pytest.mark.parametrize(
    "array",
    [
        pa.RunEndEncodedArray.from_arrays(pa.array([1 << 30], pa.int32()), pa.array([5])),
        pa.array([[1], None]),
        pa.array(["a"], pa.string_view()),
    ],
)
def test_types_that_no_answer_has_are_refused(array: Any) -> None:
    with pytest.raises(errors.DtypeError, match="no answer has"):
        read_stream(stream_of(array))


@pytest.mark.parametrize(
    "failure", [pa.ArrowInvalid("odd"), MemoryError(), UnicodeError("no text")]
)
def test_whatever_a_reader_fails_at_is_an_answer_that_is_none(failure: Exception) -> None:
    def read() -> Any:
        raise failure

    with pytest.raises(errors.AnswerError, match="task 'a'") as caught:
        _ = Result("a", model="m", outcome=read).table
    assert caught.value.__cause__ is failure
