"""Writes the golden frames of `protocol/worker.md`: `python protocol/vectors/worker/generate.py`.

It uses `json` and `struct` only, so that a codec that is wrong cannot agree with itself. A test
fails when the files on disk are not what this program writes; how they are read stands in
`protocol/worker.md`.
"""
# ruff: noqa: INP001, D102, D103 - a program, not a package

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MAGIC = b"SHW\x01"
SETUP, READY, BATCH, ANSWER, FAILURE = range(1, 6)
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "UINT8": [0, 1, 255],
    "UINT16": [0, 1, 65535],
    "UINT32": [0, 1, 2**32 - 1],
    "UINT64": [0, 1, 2**64 - 1],
    "INT8": [-128, 0, 127],
    "INT16": [-(2**15), 0, 2**15 - 1],
    "INT32": [-(2**31), 0, 2**31 - 1],
    "INT64": [-(2**63), 0, 2**63 - 1],
    "FP16": [1.5, -0.0, float("inf")],
    "FP32": [1.5, -0.0, float("-inf")],
    "FP64": [0.1, -0.0, float("nan")],
    "BYTES": [b"a", b"", "é\0".encode()],
}
DTYPES = list(VALUES)
LETTERS = dict(zip(DTYPES, "?BHIQbhiqefd", strict=False))


def frame(kind: int, body: bytes) -> bytes:
    return MAGIC + struct.pack("<B3xQ", kind, len(body)) + body


def padded(section: bytes) -> bytes:
    return section + bytes(-len(section) % 8)


def packed(dtype: str, values: list[Any]) -> bytes:
    if dtype != "BYTES":
        return struct.pack(f"<{len(values)}{LETTERS[dtype]}", *values)
    ends = [sum(len(text) for text in values[:count]) for count in range(len(values) + 1)]
    return struct.pack(f"<{len(ends)}Q", *ends) + b"".join(values)


def head(dtype: str, shape: list[int], data_bytes: int, *, has_missing: bool) -> bytes:
    number = DTYPES.index(dtype) + 1
    fixed = struct.pack("<BBHIQ", number, has_missing, len(shape), 0, data_bytes)
    return fixed + struct.pack(f"<{len(shape)}Q", *shape)


def column(dtype: str, values: list[Any], shape: list[int], missing: bytes = b"") -> dict[str, Any]:
    return {"dtype": dtype, "values": values, "shape": shape, "missing": missing}


def table(rows: int, columns: list[dict[str, Any]]) -> bytes:
    heads, sections = struct.pack("<QQ", rows, len(columns)), b""
    for each in columns:
        data = packed(each["dtype"], each["values"])
        missing = each["missing"]
        heads += head(each["dtype"], each["shape"], len(data), has_missing=bool(missing))
        sections += padded(missing) + padded(data)
    return heads + sections


def expected(each: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": each["shape"]}
    if each["dtype"] == "BYTES":
        found["strings_hex"] = [text.hex() for text in each["values"]]
    else:
        found["data_hex"] = packed(each["dtype"], each["values"]).hex()
    return found | ({"missing_hex": each["missing"].hex()} if each["missing"] else {})


def declared(columns: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"name": f"c{number}", "dtype": each["dtype"]} for number, each in enumerate(columns)]


class Vectors:
    """The frames, and what `vectors.json` says of them."""

    def __init__(self) -> None:
        self.frames: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []

    def add(self, name: str, kind: int, data: bytes, **said: Any) -> None:
        self.frames[f"{name}.bin"] = data
        self.entries.append({"name": name, "kind": kind, **said})

    def add_table(self, name: str, rows: int, columns: list[dict[str, Any]]) -> None:
        expect = [expected(each) for each in columns]
        data = frame(BATCH, table(rows, columns))
        self.add(name, BATCH, data, columns=declared(columns), rows=rows, expect=expect)

    def refuse(self, name: str, data: bytes, columns: list[dict[str, Any]] | None = None) -> None:
        said = {} if columns is None else {"columns": declared(columns)}
        self.add(f"bad_{name}", data[4], data, **said, is_refused=True)


def build() -> Vectors:
    vectors = Vectors()
    setup: dict[str, Any] = {"description": {"name": "m"}, "directory": "package"}
    setup |= {"memory_limit_bytes": None, "server_process": 1}
    vectors.add("setup", SETUP, frame(SETUP, text_of(setup)))
    vectors.add("ready", READY, frame(READY, b""))
    failure = {"code": "model_failed", "message": "the model raised ValueError: é", "hint": "none"}
    vectors.add("failure", FAILURE, frame(FAILURE, text_of(failure)))
    for dtype in DTYPES:
        vectors.add_table(dtype.lower(), 3, [column(dtype, VALUES[dtype], [])])
    add_shapes(vectors)
    add_bad_headers(vectors)
    add_bad_tables(vectors)
    return vectors


def text_of(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def add_shapes(vectors: Vectors) -> None:
    matrix = column("FP32", [float(number) for number in range(12)], [2, 3])
    vectors.add_table("records_of_two_dimensions", 2, [matrix])
    texts = column("BYTES", [b"a", b"bc", b"", b"d"], [2])
    vectors.add_table("several_columns", 2, [matrix, texts, column("UINT8", [7, 9], [])])
    missing = column("INT64", [5, 0, 7], [], b"\0\1\0")
    gone = column("BYTES", [b"", b"x", b""], [], b"\1\0\1")
    vectors.add_table("missing_records", 3, [missing, gone])
    vectors.add_table("no_records", 0, [column("FP64", [], [4]), column("BYTES", [], [])])
    vectors.add_table("records_of_no_values", 2, [column("FP64", [], [0])])


def add_bad_headers(vectors: Vectors) -> None:
    good = frame(READY, b"")
    vectors.refuse("magic", b"HTTP" + good[4:])
    vectors.refuse("version", b"SHW\x02" + good[4:])
    vectors.refuse("kind", frame(6, b""))
    vectors.refuse("kind_zero", frame(0, b""))
    vectors.refuse("reserved", good[:5] + b"\1" + good[6:])
    vectors.refuse("announces_too_much", good[:8] + struct.pack("<Q", 2**30 + 1))


def add_bad_tables(vectors: Vectors) -> None:
    two = [column("UINT8", [7, 9], []), column("BYTES", [b"a", b"b"], [])]
    body = table(2, two)
    bytes_head = 16 + 16

    def bad(name: str, changed: bytes, columns: list[dict[str, Any]] = two) -> None:
        vectors.refuse(name, frame(BATCH, changed), columns)

    bad("no_table", b"")
    bad("cut_short", body[:-8])
    bad("left_over", body + bytes(8))
    bad("other_dtype", body, [column("INT8", [], []), two[1]])
    bad("fewer_columns", body, two[:1])
    bad("flag_unknown", body[:17] + b"\2" + body[18:])
    bad("reserved_of_a_column", body[:20] + b"\1" + body[21:])
    bad("rank", body[:18] + struct.pack("<H", 33) + body[20:])
    bad("more_rows_than_values", struct.pack("<Q", 3) + body[8:])
    bad("rows_without_end", struct.pack("<Q", 2**63) + body[8:])
    bad("data_bytes", body[:24] + struct.pack("<Q", 3) + body[32:])
    bad("gap_not_zero", body[: bytes_head + 16 + 2] + b"\1" + body[bytes_head + 16 + 3 :])
    number_two = table(1, [column("UINT8", [2], [])])
    bad("boolean_of_two", number_two[:16] + b"\1" + number_two[17:], [column("BOOL", [], [])])
    bad("missing_flag_of_two", table(1, [column("UINT8", [0], [], b"\2")]), two[:1])
    texts = table(2, two[1:])
    offsets = 16 + 16
    for name, place, value in (("first", 0, 1), ("falls", 8, 9), ("last", 16, 1)):
        at = offsets + place
        bad(f"offset_{name}", texts[:at] + struct.pack("<Q", value) + texts[at + 8 :], two[1:])
    vast = struct.pack("<BBHIQQQ", 1, 0, 2, 0, 0, 2**30, 2**30)
    bad("shape_that_overflows", struct.pack("<QQ", 2**30, 1) + vast, [column("BOOL", [], [])])


def index_text(vectors: Vectors) -> str:
    return "[\n" + ",\n".join(json.dumps(entry) for entry in vectors.entries) + "\n]\n"


def main() -> None:
    vectors = build()
    folder = FOLDER / "frames"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in vectors.frames.items():
        (folder / name).write_bytes(data)
    (FOLDER / "vectors.json").write_text(index_text(vectors), encoding="utf-8")


if __name__ == "__main__":
    main()
