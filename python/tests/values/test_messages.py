"""Tensors and messages in JSON and binary: what is written, and what no golden vector can show."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from shoal.errors import (
    BinaryError,
    BodyTooLargeError,
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MalformedJsonError,
    NullError,
    ShapeError,
    ShoalError,
)
from shoal.values import (
    Column,
    Dtype,
    RequestedOutput,
    WireColumn,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    from_binary,
    from_json,
    match_columns,
    to_binary,
    to_json,
)

LENGTH = "Inference-Header-Content-Length"


def floats(*values: float, kind: str = "<f4") -> bytes:
    return np.array(values, dtype=kind).tobytes()


def wire(dtype: str, data: Any, *, records: int, missing: bytes | None = None) -> WireColumn:
    return ("x", dtype, [records], data, missing)


def test_request_is_written_as_the_protocol_says() -> None:
    message = encode_request(
        [wire("FP32", floats(0.1, 2), records=2)],
        request_id="42",
        parameters={"binary_data_output": True},
        outputs=[RequestedOutput(name="y")],
    )
    assert message.headers == {"Content-Type": "application/json"}
    assert message.body == (
        b'{"id":"42","parameters":{"binary_data_output":true},"outputs":[{"name":"y"}],'
        b'"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[0.1,2.0]}]}'
    )


def test_binary_request_is_json_and_then_raw_bytes() -> None:
    raw = floats(0.1, 2)
    message = encode_request([wire("FP32", raw, records=2)], binary=True)
    head = message.body.removesuffix(raw)
    assert message.headers == {
        "Content-Type": "application/octet-stream",
        LENGTH: str(len(head)),
    }
    assert json.loads(head) == {
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [2],
                "parameters": {"binary_data_size": 8},
            }
        ]
    }


def test_answer_says_who_gave_it() -> None:
    message = encode_response(
        [wire("INT64", floats(7, kind="<i8"), records=1)],
        model_name="m",
        model_version="1",
        request_id="42",
    )
    answer = decode_response(message.body, message.headers)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "42")


def test_columns_go_in_binary_by_name() -> None:
    one, other = wire("FP32", floats(1), records=1), ("b", "FP32", [1], floats(2), None)
    message = encode_request([one, other], binary=["b"])
    sent = json.loads(message.body[: int(message.headers[LENGTH])])["inputs"]
    assert ["data" in tensor for tensor in sent] == [True, False]


def test_column_with_missing_records_goes_in_json_beside_binary_ones() -> None:
    gone = wire("FP32", floats(1, 0), records=2, missing=b"\0\1")
    full = ("b", "FP32", [2], floats(1, 2), None)
    message = encode_request([gone, full], binary=True)
    sent = json.loads(message.body[: int(message.headers[LENGTH])])["inputs"]
    assert sent[0]["data"] == [1.0, None]
    read = decode_request(message.body, message.headers).columns
    assert [bytes(one[3]) for one in read if not isinstance(one[3], list)] == [
        floats(1, 0),
        floats(1, 2),
    ]


def test_what_neither_json_nor_binary_carries_is_refused() -> None:
    gone = wire("FP16", floats(1, 0, kind="<f2"), records=2, missing=b"\0\1")
    with pytest.raises(NullError, match=r"binary does not carry.*FP16, which JSON does not carry"):
        encode_request([gone], binary=True)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (wire("FP16", floats(1, kind="<f2"), records=1), "is FP16, which JSON does not carry"),
        (wire("FP32", floats(1, np.nan), records=2), "row 1 is nan, which JSON does not carry"),
        (wire("FP64", floats(-np.inf, kind="<f8"), records=1), "row 0 is -inf, which JSON"),
        (wire("BYTES", [b"\xff"], records=1), "holds b'.xff', which is not UTF-8"),
    ],
)
def test_what_json_cannot_say_is_refused_with_a_hint(column: WireColumn, message: str) -> None:
    with pytest.raises(DtypeError, match=message) as caught:
        to_json([column])
    assert caught.value.hint == "send or ask for this tensor in binary"


def test_what_stands_for_a_missing_record_is_never_looked_at() -> None:
    gone = wire("FP32", floats(1, np.nan), records=2, missing=b"\0\1")
    assert to_json([gone])[0]["data"] == [1.0, None]


def test_single_precision_is_written_with_few_digits() -> None:
    data = floats(0.1, 1 / 3, 3.4028235e38, -0.0)
    assert to_json([wire("FP32", data, records=4)])[0]["data"] == [
        0.1,
        0.33333334,
        3.4028235e38,
        -0.0,
    ]


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2, 2], [None, [3, 4]]), ([2, 2], [None, None, 3, 4]), ([2, 1, 2], [None, [[3, 4]]])],
)
def test_missing_record_is_null_flat_or_nested(shape: list[int], data: list[Any]) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "data": data}
    _, _, _, read, missing = from_json([tensor])[0]
    assert not isinstance(read, list)
    assert (bytes(read), missing) == (floats(0, 0, 3, 4), b"\1\0")


def test_missing_records_without_elements_are_written_nested() -> None:
    column: WireColumn = ("x", "FP32", [2, 0], b"", b"\1\0")
    assert to_json([column])[0]["data"] == [None, []]
    assert from_json(to_json([column]))[0][4] == b"\1\0"


@pytest.mark.parametrize(
    ("dtype", "shape", "data", "error", "message"),
    [
        ("INT8", [2], [1, 300], DtypeError, "row 1 is 300, expected a value that INT8 holds"),
        ("FP32", [2, 2], [1, 2, 3, 1e39], DtypeError, r"row 1 is 1e\+39"),
        ("FP32", [2, 2], [[1, 2], [3, "4"]], DtypeError, "row 1 has a value of JSON type str"),
        ("FP32", [2, 2], [1, 2, 3, "4"], DtypeError, "row 1 has a value of JSON type str"),
        ("INT8", [3], [None, 1, 300], DtypeError, "row 2 is 300"),
        ("FP32", [2, 2], [[1, 2], [None, 4]], NullError, "row 1 has a null inside"),
        ("FP32", [2, 1, 1], [[[1]], [None]], NullError, "row 1 has a null inside"),
        ("FP32", [2, 2], [[1, 2], [3]], ShapeError, "row 1 has a list of 1, expected 2"),
        ("FP32", [2], [[1], [2]], ShapeError, "nested 2 deep, expected 1 or 1"),
        ("FP32", [2, 2], [[1, 2], 3], ShapeError, "row 1 is nested unlike the others"),
    ],
)
def test_what_does_not_fit_is_refused_by_column_and_row(
    dtype: str, shape: list[int], data: Any, error: type[ShoalError], message: str
) -> None:
    tensor = {"name": "x", "datatype": dtype, "shape": shape, "data": data}
    with pytest.raises(error, match=f"column 'x' .*{message}|column 'x' {message}"):
        from_json([tensor])


def test_tensor_of_unknown_field_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="unknown field `more`"):
        from_json([{"name": "x", "datatype": "FP32", "shape": [0], "data": [], "more": 1}])


@pytest.mark.parametrize("depth", [1_000, 200_000])
def test_nesting_without_end_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":%s}]}' % nested
    with pytest.raises((MalformedJsonError, ShapeError)):
        decode_request(body, {})
    with pytest.raises(InvalidRequestError, match="unknown field `more`"):
        decode_request(b'{"more":%s,"inputs":[]}' % nested, {})


def test_body_over_the_limit_is_not_looked_at() -> None:
    with pytest.raises(BodyTooLargeError, match="has 9 bytes, expected at most 8"):
        decode_request(b"not JSON!", {}, limit_bytes=8)


def test_headers_are_found_in_any_case() -> None:
    message = encode_request([wire("FP32", floats(1), records=1)], binary=True)
    lower = {name.lower(): value for name, value in message.headers.items()}
    assert decode_request(message.body, lower).columns[0][3] == floats(1)


def test_same_column_twice_is_refused_without_a_signature_too() -> None:
    message = encode_request([wire("FP32", floats(1), records=1)] * 2)
    with pytest.raises(DuplicateColumnError, match="'x' comes twice in the request"):
        decode_request(message.body, message.headers)


def test_raw_texts_carry_their_lengths() -> None:
    column = wire("BYTES", [b"a", b"", b"\xff\x00"], records=3)
    raw = to_binary(column)
    assert raw == b"\1\0\0\0a\0\0\0\0\2\0\0\0\xff\0"
    assert from_binary(raw, ("x", "BYTES", [3])) == column


def test_raw_bytes_are_not_copied() -> None:
    data = bytearray(floats(1, 2))
    column = from_binary(data, ("x", "FP32", [2]))
    assert column[3] is data
    assert to_binary(column) is data


def test_raw_bytes_carry_no_null() -> None:
    with pytest.raises(NullError, match="column 'x' row 1 is null, which binary does not carry"):
        to_binary(wire("FP32", floats(1, 0), records=2, missing=b"\0\1"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (wire("FP32", floats(1), records=2), "has 4 bytes of data, expected 8 for FP32"),
        (wire("BYTES", [b"a"], records=2), "has 1 elements of data, expected 2"),
        (wire("FP32", floats(1), records=1, missing=b"\0\0"), "says for 2 records.*expected 1"),
    ],
)
def test_wire_column_that_is_not_filled_is_refused(column: WireColumn, message: str) -> None:
    for write in (to_binary, lambda one: to_json([one])):
        with pytest.raises(BinaryError, match=message):
            write(column)


def test_scalars_may_come_in_a_column_of_one() -> None:
    column: WireColumn = ("x", "FP32", [2, 1], floats(1, 2), None)
    assert match_columns([column], [Column("x", Dtype.FP32)])[0][2] == [2]
    with pytest.raises(ShapeError, match=r"has shape \[2, 1\], expected \[-1, 2\]"):
        match_columns([column], [Column("x", Dtype.FP32, (2,))])


@pytest.mark.parametrize(
    ("dtype", "kind", "bits"), [("FP32", "<f4", "<u4"), ("FP64", "<f8", "<u8")]
)
def test_every_finite_float_reads_back_to_its_own_bits(dtype: str, kind: str, bits: str) -> None:
    top = np.iinfo(bits).max
    drawn = np.random.default_rng(seed=5).integers(0, top, 20_000, dtype=bits, endpoint=True)
    values = drawn.view(kind)
    values = values[np.isfinite(values)]
    column = wire(dtype, values.tobytes(), records=len(values))
    text = json.dumps(to_json([column]))
    read = from_json(json.loads(text))[0][3]
    assert not isinstance(read, list)
    assert bytes(read) == values.tobytes()
