"""Writes the golden vectors: `vectors.json` and the bodies it names.

Run it from anywhere: `python protocol/vectors/generate.py`. A test fails when the files on disk are
not what this program writes. It uses `json` and `struct` only, so that a codec that is wrong cannot
agree with itself; how the files are read stands in `protocol/protocol.md`.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent
LENGTH_HEADER = "Inference-Header-Content-Length"

# For each dtype: its struct letter, and values at its limits as JSON writes them. 4 each, 2 records
# of shape [2]. 0.1 and 1/3 show rounding; 5e-324 and 1e-45 are the smallest above 0.
VALUES: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("?", [True, False, False, True]),
    "UINT8": ("B", [0, 1, 127, 255]),
    "UINT16": ("H", [0, 1, 32768, 65535]),
    "UINT32": ("I", [0, 1, 2147483648, 4294967295]),
    "UINT64": ("Q", [0, 1, 9007199254740993, 18446744073709551615]),
    "INT8": ("b", [0, -1, -128, 127]),
    "INT16": ("h", [0, -1, -32768, 32767]),
    "INT32": ("i", [0, -1, -2147483648, 2147483647]),
    "INT64": ("q", [0, -9007199254740993, -9223372036854775808, 9223372036854775807]),
    "FP16": ("e", [0.5, -0.0, 65504.0, 0.0999755859375]),
    "FP32": ("f", [0.1, -0.0, 3.4028234663852886e38, 1e-45]),
    "FP64": ("d", [0.1, 0.3333333333333333, -1.7976931348623157e308, 5e-324]),
}
TEXTS = ["plain", "", "käse 🐟", 'quote " back\\slash \n\t']


class Vectors:
    """What has been made so far: the index, and the bodies by file name."""

    def __init__(self) -> None:
        self.index: list[dict[str, Any]] = []
        self.bodies: dict[str, bytes] = {}

    def add(self, name: str, body: bytes, **entry: Any) -> None:
        """Adds a vector; `entry` holds kind, signature, headers and expect."""
        file = f"bodies/{name}.bin"
        self.bodies[file] = body
        self.index.append({"name": name, "body": file, "headers": {}, **entry})


def column(name: str, dtype: str, shape: list[int], **more: Any) -> dict[str, Any]:
    """Gives a column of a signature."""
    return {"name": name, "dtype": dtype, "shape": shape, **more}


def signature(*inputs: dict[str, Any], outputs: list[dict[str, Any]] | None = None) -> Any:
    """Gives a signature; the output is a plain number where none is given."""
    return {"inputs": list(inputs), "outputs": outputs or [column("y", "FP32", [])]}


def expected(name: str, dtype: str, shape: list[int], values: list[Any]) -> dict[str, Any]:
    """Gives the column that a decoder has to find."""
    entry: dict[str, Any] = {"name": name, "dtype": dtype, "shape": shape}
    if dtype == "BYTES":
        return {**entry, "strings_hex": [as_bytes(value).hex() for value in values]}
    return {**entry, "data_hex": pack(dtype, values).hex()}


def as_bytes(value: str | bytes) -> bytes:
    """Gives text in UTF-8, and bytes as they are."""
    return value.encode() if isinstance(value, str) else value


def pack(dtype: str, values: list[Any]) -> bytes:
    """Gives the raw bytes of elements."""
    if dtype == "BYTES":
        texts = [as_bytes(value) for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{VALUES[dtype][0]}", *values)


def tensor(name: str, dtype: str, shape: list[int], data: Any) -> dict[str, Any]:
    """Gives a tensor whose elements are in JSON."""
    return {"name": name, "shape": shape, "datatype": dtype, "data": data}


def raw_tensor(name: str, dtype: str, shape: list[int], size: Any) -> dict[str, Any]:
    """Gives a tensor whose elements follow in binary."""
    head = {"name": name, "shape": shape, "datatype": dtype}
    return {**head, "parameters": {"binary_data_size": size}}


def text(value: Any) -> bytes:
    """Gives JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def framed(value: Any, *raws: bytes) -> dict[str, Any]:
    """Gives the body and the header of JSON with raw bytes after it."""
    head = text(value)
    return {"body": head + b"".join(raws), "headers": {LENGTH_HEADER: str(len(head))}}


def add_each_dtype(vectors: Vectors) -> None:
    """Adds for each dtype: a request and an answer, each flat, nested and in binary."""
    cases = {dtype: values for dtype, (_, values) in VALUES.items()} | {"BYTES": TEXTS}
    for dtype, values in cases.items():
        nested = [values[:2], values[2:]]
        for kind, side in (("infer_request", "inputs"), ("infer_response", "outputs")):
            about = {"model_name": "m", "model_version": "1", "id": "42"}
            head = {} if side == "inputs" else about
            of_answer = {"id": "42", "model_name": "m", "model_version": "1"}
            entry = {
                "kind": kind,
                "signature": signature(column("x", dtype, [2]), outputs=[column("x", dtype, [2])]),
                "expect": {
                    "columns": [expected("x", dtype, [2, 2], values)],
                    **({} if side == "inputs" else of_answer),
                },
            }
            name = f"{dtype.lower()}_{kind.removeprefix('infer_')}"
            raw = pack(dtype, values)
            binary = {**head, side: [raw_tensor("x", dtype, [2, 2], len(raw))]}
            vectors.add(f"{name}_binary", **framed(binary, raw), **entry)
            if dtype == "FP16":
                continue
            for form, data in (("flat", values), ("nested", nested)):
                body = text({**head, side: [tensor("x", dtype, [2, 2], data)]})
                vectors.add(f"{name}_{form}", body, **entry)


def add_accepted(vectors: Vectors) -> None:
    """Adds requests that a server takes although they look unusual."""

    def add(name: str, body: bytes, columns: list[Any], *inputs: Any, **more: Any) -> None:
        entry = {"kind": "infer_request", "signature": signature(*inputs)}
        vectors.add(name, body, **entry, expect={"columns": columns}, **more)

    number, row = column("x", "FP32", []), column("x", "FP32", [2])
    two = [expected("x", "FP32", [2], [1.0, 2.0])]
    one_row = [expected("x", "FP32", [1, 2], [1.0, 2.0])]
    add("scalars", text({"inputs": [tensor("x", "FP32", [2], [1, 2])]}), two, number)
    one_column = text({"inputs": [tensor("x", "FP32", [2, 1], [[1], [2]])]})
    add("scalars_in_one_column", one_column, two, number)
    data_first = b'{"inputs":[{"data":[1,2],"datatype":"FP32","shape":[2],"name":"x"}]}'
    add("data_before_its_type", data_first, two, number)
    spaced = b' {\n\t"inputs" : [ { "name":"x", "shape":[ 1 , 2 ], "datatype":"FP32" ,\r\n"data" : '
    add("white_space", spaced + b"[ [\n1 ,\t2 ] ] } ] } \n", one_row, row)
    escapes = (
        rb'{"inputs":[{"name":"\u0078","shape":[1],"datatype":"BYTES","data":["\ud83d\udc1f"]}]}'
    )
    add("escapes", escapes, [expected("x", "BYTES", [1], ["🐟"])], column("x", "BYTES", []))
    # Read as FP64 first, which is the middle between two FP32, and then to the even one of them.
    rounded = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32",'
    rounded += b'"data":[1.00000017881393432617187499]}]}'
    add("rounded_twice", rounded, [expected("x", "FP32", [1], [1.0000002384185791])], number)
    digits = [2.2250738585072011e-308, 9007199254740993.0, 0.1234567890123456789, 8.41e21]
    exact = b'{"inputs":[{"name":"x","shape":[4],"datatype":"FP64","data":[2.2250738585072011e-308,'
    exact += b"9007199254740993,0.1234567890123456789,8.41E+21]}]}"
    add("nearest_fp64", exact, [expected("x", "FP64", [4], digits)], column("x", "FP64", []))
    asked = {
        "id": "a b",
        "parameters": {"priority": 1, "timeout": 2500000, "binary_data_output": True, "note": 2.5},
        "inputs": [tensor("x", "FP32", [2], [1, 2])],
        "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
    }
    add("everything_said", text(asked), two, number)
    varying = text({"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3])]})
    three = [expected("x", "FP32", [1, 3], [1.0, 2.0, 3.0])]
    add("varying_dimension", varying, three, column("x", "FP32", [-1]))


def add_several_columns(vectors: Vectors) -> None:
    """Adds requests of more than one column, in JSON and binary together."""
    inputs = [column("a", "INT64", []), column("b", "BYTES", []), column("c", "FP32", [2])]
    columns = [
        expected("a", "INT64", [2], [1, 2]),
        expected("b", "BYTES", [2], ["u", b"\xff\x00"]),
        expected("c", "FP32", [2, 2], [1.0, 2.0, 3.0, float("nan")]),
    ]
    raw_b, raw_c = pack("BYTES", ["u", b"\xff\x00"]), pack("FP32", [1.0, 2.0, 3.0, float("nan")])
    sent = [
        raw_tensor("c", "FP32", [2, 2], len(raw_c)),
        tensor("a", "INT64", [2], [1, 2]),
        raw_tensor("b", "BYTES", [2], len(raw_b)),
    ]
    vectors.add(
        "mixed_json_and_binary_in_another_order",
        **framed({"inputs": sent}, raw_c, raw_b),
        kind="infer_request",
        signature=signature(*inputs),
        expect={"columns": columns},
    )


def add_nulls(vectors: Vectors) -> None:
    """Adds requests with missing records; what stands for them is zero."""
    number = column("x", "FP32", [], nullable=True)
    row = column("x", "FP32", [2], nullable=True)
    word = column("x", "BYTES", [], nullable=True)
    cases: list[tuple[str, Any, list[int], list[Any], list[Any], list[int]]] = [
        ("null_scalar", number, [3], [1.5, None, 2], [1.5, 0.0, 2.0], [0, 1, 0]),
        ("null_text", word, [2], [None, "a"], ["", "a"], [1, 0]),
        ("null_record_nested", row, [2, 2], [None, [1, 2]], [0.0, 0.0, 1.0, 2.0], [1, 0]),
        ("null_record_flat", row, [2, 2], [None, None, 1, 2], [0.0, 0.0, 1.0, 2.0], [1, 0]),
    ]
    for name, declared, shape, data, values, missing in cases:
        found = expected("x", declared["dtype"], shape, values)
        vectors.add(
            name,
            text({"inputs": [tensor("x", declared["dtype"], shape, data)]}),
            kind="infer_request",
            signature=signature(declared),
            expect={"columns": [{**found, "missing_hex": bytes(missing).hex()}]},
        )


def add_moments(vectors: Vectors) -> None:
    """Adds a column of moments: a tensor has their seconds, and never text."""
    moment = column("x", "INT64", [], moment=True)
    entry = {"kind": "infer_request", "signature": signature(moment)}
    found = {"columns": [expected("x", "INT64", [2], [-1, 1622456430])]}
    seconds = text({"inputs": [tensor("x", "INT64", [2], [-1, 1622456430])]})
    vectors.add("moments_in_seconds", seconds, **entry, expect=found)
    date = ["2021-05-31T10:20:30Z"]
    add_refused(vectors, "text_for_a_moment", "wrong_dtype", moment, "INT64", [1], date)


def add_malformed(vectors: Vectors) -> None:
    """Adds requests whose JSON or structure is refused."""
    row = signature(column("x", "FP32", [2]))
    good = tensor("x", "FP32", [1, 2], [1, 2])

    def add(name: str, code: str, body: Any) -> None:
        whole = body if isinstance(body, bytes) else text(body)
        vectors.add(
            f"bad_{name}", whole, kind="infer_request", signature=row, expect={"error": code}
        )

    deep = b'{"unknown":' + b"[" * 2000 + b"]" * 2000 + b',"inputs":[]}'
    add("empty_body", "malformed_json", b"")
    add("cut_short", "malformed_json", text({"inputs": [good]})[:-2])
    add("not_utf8", "malformed_json", b'{"inputs":[],"id":"\xff"}')
    add("nan_literal", "malformed_json", text({"inputs": [good]}).replace(b"[1, 2]}", b"[NaN, 2]}"))
    add("text_after_the_json", "malformed_json", text({"inputs": [good]}) + b"x")
    add("body_is_a_list", "invalid_request", b"[]")
    add("no_inputs", "invalid_request", {})
    add("inputs_null", "invalid_request", {"inputs": None})
    add("unknown_field", "invalid_request", {"inputs": [good], "unknown": 1})
    add("unknown_field_nested_deep", "invalid_request", deep)
    add("unknown_field_of_a_tensor", "invalid_request", {"inputs": [{**good, "unknown": 1}]})
    add("no_data", "invalid_request", {"inputs": [{k: good[k] for k in good if k != "data"}]})
    add("data_is_no_list", "wrong_shape", {"inputs": [{**good, "data": 5}]})
    add("negative_dimension", "invalid_request", {"inputs": [{**good, "shape": [-1, 2]}]})
    add("missing_column", "missing_column", {"inputs": []})
    add("unexpected_column", "unexpected_column", {"inputs": [good, {**good, "name": "z"}]})
    add("duplicate_column", "duplicate_column", {"inputs": [good, good]})
    add("unexpected_output", "unexpected_column", {"inputs": [good], "outputs": [{"name": "z"}]})
    twice = [{"name": "y"}, {"name": "y"}]
    add("duplicate_output", "duplicate_column", {"inputs": [good], "outputs": twice})


def add_refused(vectors: Vectors, name: str, code: str, declared: Any, *sent: Any) -> None:
    """Adds a request of one column that is refused."""
    body = text({"inputs": [tensor("x", *sent)]})
    entry = {"kind": "infer_request", "signature": signature(declared)}
    vectors.add(f"bad_{name}", body, **entry, expect={"error": code})


def add_wrong_values(vectors: Vectors) -> None:
    """Adds requests with one tensor whose type or values are refused."""

    def add(*refused: Any) -> None:
        add_refused(vectors, *refused)

    row, number = column("x", "FP32", [2]), column("x", "FP32", [])
    add("unknown_dtype", "wrong_dtype", row, "FP31", [1, 2], [1, 2])
    add("other_dtype", "wrong_dtype", row, "FP64", [1, 2], [1, 2])
    add("fp16_in_json", "wrong_dtype", column("x", "FP16", []), "FP16", [1], [1])
    add("text_for_a_number", "wrong_dtype", number, "FP32", [2], [1, "2"])
    add("boolean_for_a_number", "wrong_dtype", number, "FP32", [2], [1, True])
    add("object_for_a_number", "wrong_dtype", number, "FP32", [2], [1, {}])
    add("number_for_a_boolean", "wrong_dtype", column("x", "BOOL", []), "BOOL", [2], [True, 1])
    add("number_for_a_text", "wrong_dtype", column("x", "BYTES", []), "BYTES", [2], ["a", 1])
    add("point_in_an_integer", "wrong_dtype", column("x", "INT64", []), "INT64", [1], [1.0])
    add("int8_too_large", "wrong_dtype", column("x", "INT8", []), "INT8", [2], [1, 128])
    add("uint64_below_zero", "wrong_dtype", column("x", "UINT64", []), "UINT64", [1], [-1])
    too_large = column("x", "UINT64", [])
    add("uint64_too_large", "wrong_dtype", too_large, "UINT64", [1], [18446744073709551616])
    add("fp32_too_large", "wrong_dtype", number, "FP32", [1], [1e39])
    add("null", "null_not_allowed", number, "FP32", [2], [1, None])
    nullable = column("x", "FP32", [2], nullable=True)
    add("null_inside_a_record", "null_not_allowed", nullable, "FP32", [1, 2], [[1, None]])
    add("null_in_part_of_a_record", "null_not_allowed", nullable, "FP32", [1, 2], [None, 2])


def add_wrong_shapes(vectors: Vectors) -> None:
    """Adds requests whose tensors have the wrong shape, or data that does not fill it."""

    def add(*refused: Any) -> None:
        add_refused(vectors, *refused)

    row, number = column("x", "FP32", [2]), column("x", "FP32", [])
    varying = column("x", "FP32", [-1])
    add("other_length", "wrong_shape", row, "FP32", [1, 3], [1, 2, 3])
    add("other_rank", "wrong_shape", number, "FP32", [1, 2], [1, 2])
    add("no_record_dimension", "wrong_shape", number, "FP32", [], [1])
    add("too_few_elements", "wrong_shape", row, "FP32", [2, 2], [1, 2, 3])
    add("too_many_elements", "wrong_shape", row, "FP32", [1, 2], [1, 2, 3])
    add("ragged", "wrong_shape", row, "FP32", [2, 2], [[1, 2], [3]])
    add("nested_too_deep", "wrong_shape", row, "FP32", [1, 2], [[[1, 2]]])
    add("nested_in_part", "wrong_shape", row, "FP32", [2, 2], [[1, 2], 3, 4])
    add("shape_that_overflows", "wrong_shape", varying, "FP32", [4611686018427387904, 4], [])
    add("records_without_bytes", "wrong_shape", varying, "FP32", [1000000000000, 0], [])
    two = signature(column("x", "FP32", []), column("z", "FP32", []))
    unequal = [tensor("x", "FP32", [2], [1, 2]), tensor("z", "FP32", [1], [1])]
    body, expect = text({"inputs": unequal}), {"error": "wrong_shape"}
    vectors.add("bad_records_differ", body, kind="infer_request", signature=two, expect=expect)


def adder_of_wrong_binary(vectors: Vectors) -> Callable[..., None]:
    """Returns what adds one request of a tensor, its raw bytes, and headers if they are wrong."""

    def add(name: str, code: str, sent: Any, *tail: bytes, **more: Any) -> None:
        message = framed({"inputs": [sent]}, *tail)
        message["headers"] = more.get("headers", message["headers"])
        vectors.add(
            f"bad_{name}",
            **message,
            kind="infer_request",
            signature=signature(column("x", sent["datatype"], [])),
            expect={"error": code},
        )

    return add


def add_wrong_headers(vectors: Vectors) -> None:
    """Adds requests whose header does not say where the JSON ends."""
    add, raw = adder_of_wrong_binary(vectors), pack("FP32", [1.0, 2.0])
    good = raw_tensor("x", "FP32", [2], 8)
    length = len(text({"inputs": [good]}))
    add("header_beyond_the_body", "invalid_binary", good, headers={LENGTH_HEADER: "9999"})
    add("header_not_a_number", "invalid_binary", good, raw, headers={LENGTH_HEADER: "many"})
    add("header_below_zero", "invalid_binary", good, raw, headers={LENGTH_HEADER: "-1"})
    add("header_too_large", "invalid_binary", good, raw, headers={LENGTH_HEADER: "9" * 40})
    cut = {LENGTH_HEADER: str(length - 1)}
    add("header_cuts_the_json", "malformed_json", good, raw, headers=cut)
    add("no_header", "malformed_json", good, raw, headers={})
    add("no_header_and_no_bytes", "invalid_binary", good, headers={})


def add_wrong_binary(vectors: Vectors) -> None:
    """Adds requests whose binary part is not what their JSON part says."""
    add, raw = adder_of_wrong_binary(vectors), pack("FP32", [1.0, 2.0])
    good = raw_tensor("x", "FP32", [2], 8)
    add("left_over_bytes", "invalid_binary", good, raw, b"\0")
    add("left_over_after_json", "invalid_binary", tensor("x", "FP32", [2], [1, 2]), b"\0")
    add("size_beyond_the_body", "invalid_binary", good, raw[:-1])
    add("size_unlike_the_shape", "invalid_binary", raw_tensor("x", "FP32", [2], 7), raw[:-1])
    add("size_with_a_point", "invalid_binary", raw_tensor("x", "FP32", [2], 8.5), raw)
    add("size_below_zero", "invalid_binary", raw_tensor("x", "FP32", [2], -8), raw)
    add("size_and_data", "invalid_binary", {**good, "data": [1, 2]}, raw)
    add("boolean_of_two", "wrong_dtype", raw_tensor("x", "BOOL", [2], 2), b"\1\2")
    add("text_beyond_its_tensor", "invalid_binary", raw_tensor("x", "BYTES", [1], 5), b"\2\0\0\0a")
    add("text_without_its_length", "invalid_binary", raw_tensor("x", "BYTES", [1], 3), b"\1\0\0")
    two = pack("BYTES", ["a", "b"])
    add("more_texts_than_records", "invalid_binary", raw_tensor("x", "BYTES", [1], 10), two)
    add("fewer_texts_than_records", "invalid_binary", raw_tensor("x", "BYTES", [3], 10), two)


def add_answers(vectors: Vectors) -> None:
    """Adds answers beyond those of each dtype."""
    plain = signature(
        column("x", "FP32", []), outputs=[column("y", "FP32", []), column("z", "INT64", [])]
    )
    entry = {"kind": "infer_response", "signature": plain}
    sent = {"model_name": "m", "outputs": [tensor("z", "INT64", [1], [7])]}
    found = {"columns": [expected("z", "INT64", [1], [7])], "model_name": "m"}
    vectors.add("response_of_some_outputs", text(sent), **entry, expect=found)
    newer = {**sent, "said_by_a_newer_server": {"a": [1]}}
    vectors.add("response_with_an_unknown_field", text(newer), **entry, expect=found)
    unknown = {"model_name": "m", "outputs": [tensor("w", "INT64", [1], [7])]}
    refused = {"error": "unexpected_column"}
    vectors.add("bad_response_output", text(unknown), **entry, expect=refused)
    left_over = framed(sent, b"\0")
    vectors.add("bad_response_left_over", **left_over, **entry, expect={"error": "invalid_binary"})


def build() -> Vectors:
    """Gives all vectors."""
    vectors = Vectors()
    add_each_dtype(vectors)
    add_accepted(vectors)
    add_several_columns(vectors)
    add_nulls(vectors)
    add_moments(vectors)
    add_malformed(vectors)
    add_wrong_values(vectors)
    add_wrong_shapes(vectors)
    add_wrong_headers(vectors)
    add_wrong_binary(vectors)
    add_answers(vectors)
    return vectors


def index_text(vectors: Vectors) -> str:
    """Gives the text of `vectors.json`: one vector on each line."""
    lines = [json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in vectors.index]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    """Writes the files anew; those that no vector names any more are removed."""
    vectors = build()
    (FOLDER / "bodies").mkdir(exist_ok=True)
    for old in (FOLDER / "bodies").iterdir():
        old.unlink()
    for file, body in vectors.bodies.items():
        (FOLDER / file).write_bytes(body)
    (FOLDER / "vectors.json").write_text(index_text(vectors), encoding="utf-8")


if __name__ == "__main__":
    main()
