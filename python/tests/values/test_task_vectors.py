"""The golden vectors of tasks are what their generator writes, and say what other readers find."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from protocol.vectors import generate_tasks
from protocol.vectors.task_vectors import as_arrow

FOLDER = Path(generate_tasks.__file__).parent / "tasks"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "tasks.json").read_text(encoding="utf-8"))
KINDS = {"table", "tasks_request", "tasks_response", "model_input"}
ENCODINGS = {"json", "arrow", "protobuf", "ndjson"}


def body(vector: dict[str, Any]) -> bytes:
    file: str = vector["body"]
    return (FOLDER / file).read_bytes()


def is_good(vector: dict[str, Any]) -> bool:
    return "error" not in vector["expect"]


def of(kind: str, encoding: str) -> list[Any]:
    """The good vectors of a kind in an encoding."""
    found = [v for v in VECTORS if (v["kind"], v["encoding"]) == (kind, encoding) and is_good(v)]
    return [pytest.param(vector, id=vector["name"]) for vector in found]


def streams(octets: bytes) -> list[pa.Table]:
    """The tables of streams that stand one after the other."""
    source, tables = io.BytesIO(octets), []
    while source.tell() < len(octets):
        tables.append(pa.ipc.open_stream(source).read_all())
    return tables


def rewritten(octets: bytes) -> bytes:
    """A stream as the pyarrow that is here lays it out."""
    table = streams(octets)[0]
    return as_arrow.stream(*table.to_batches(), schema=table.schema)


def test_files_are_what_the_generator_writes() -> None:
    """Other versions of pyarrow may lay streams out otherwise: then their content is compared."""
    vectors = generate_tasks.build()
    on_disk = {f"bodies/{file.name}": file.read_bytes() for file in (FOLDER / "bodies").iterdir()}
    assert vectors.bodies.keys() == on_disk.keys(), "run python -m protocol.vectors.generate_tasks"
    is_same_pyarrow = pa.__version__ == generate_tasks.PYARROW
    for file, octets in vectors.bodies.items():
        if is_same_pyarrow or not file.endswith(".arrow"):
            assert octets == on_disk[file], file
    if is_same_pyarrow:
        assert generate_tasks.index_text(vectors) == (FOLDER / "tasks.json").read_text("utf-8")
    for vector in (v for v in VECTORS if v["encoding"] == "arrow" and v["kind"] == "table"):
        if is_good(vector):
            assert rewritten(vectors.bodies[vector["body"]]) == rewritten(body(vector))


def test_there_are_enough_of_each_kind_and_each_has_a_name() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) >= 200
    assert {vector["kind"] for vector in VECTORS} == KINDS
    assert {vector["encoding"] for vector in VECTORS} == ENCODINGS
    assert {vector["of"] for vector in VECTORS if vector["kind"] == "table"} == {
        *("request", "answer", "both")
    }


def test_every_code_that_is_expected_is_in_the_catalogue() -> None:
    catalogue = (FOLDER.parents[1] / "errors.toml").read_text("utf-8")
    codes = {v["expect"]["error"] for v in VECTORS if isinstance(v["expect"].get("error"), str)}
    assert [code for code in sorted(codes) if f"[{code}]" not in catalogue] == []


@pytest.mark.parametrize("vector", of("table", "arrow"))
def test_pyarrow_finds_as_many_records_and_nulls_as_are_expected(vector: dict[str, Any]) -> None:
    table = streams(body(vector))[0]
    assert table.num_rows == vector["expect"]["rows"]
    assert table.column_names == [column["name"] for column in vector["expect"]["columns"]]
    for column in vector["expect"]["columns"]:
        found = nulls(table[column["name"]])
        if "mixed" in column:
            assert found == [scalar is None for scalar in column["mixed"]]
        else:
            assert bytes(found) == bytes.fromhex(column.get("missing_hex", "00" * len(found)))


def nulls(column: pa.ChunkedArray) -> list[bool]:
    """Which records are missing."""
    if pa.types.is_union(column.type) or pa.types.is_dictionary(column.type):
        return [scalar.as_py() is None for scalar in column]
    return [not scalar.is_valid for scalar in column]


@pytest.mark.parametrize("vector", of("table", "json"))
def test_json_holds_what_is_expected(vector: dict[str, Any]) -> None:
    """By the plain reader of Python, for what it can compare: names, texts and numbers."""
    columns = json.loads(body(vector))["columns"]
    assert [column["name"] for column in columns] == [
        c["name"] for c in vector["expect"]["columns"]
    ]
    for sent, column in zip(columns, vector["expect"]["columns"], strict=True):
        if column["dtype"] == "UTF8" and not column["shape"]:
            texts = [bytes.fromhex(text).decode() for text in column["strings_hex"]]
            assert [text or "" for text in sent["data"]] == texts
        if column["dtype"] == "FP64" and not column["shape"]:
            count = len(column["data_hex"]) // 16
            numbers = struct.unpack(f"<{count}d", bytes.fromhex(column["data_hex"]))
            assert [float(text or 0) for text in sent["data"]] == pytest.approx(
                numbers, nan_ok=True
            )


@pytest.mark.parametrize("vector", [*of("tasks_request", "arrow"), *of("tasks_response", "arrow")])
def test_the_head_of_arrow_announces_its_streams(vector: dict[str, Any]) -> None:
    octets = body(vector)
    source = io.BytesIO(octets)
    head = pa.ipc.open_stream(source)
    assert head.schema.names == []
    assert head.read_all().num_rows == 0
    said = json.loads(head.schema.metadata[b"shoal.tasks"])
    assert announced(said) == len(octets) - source.tell()


def announced(said: Any) -> int:
    """The bytes of all streams that a head announces."""
    if isinstance(said, dict) and "arrow" in said:
        return int(said["arrow"])
    entries = said.values() if isinstance(said, dict) else said if isinstance(said, list) else []
    return sum(announced(entry) for entry in entries)


def test_the_page_for_writers_of_clients_shows_golden_vectors() -> None:
    page = (FOLDER.parents[2] / "docs" / "reference" / "protocol.md").read_text("utf-8")
    found = {v["name"]: body(v) for v in VECTORS if v["name"].startswith("request_one_task_")}
    assert found["request_one_task_json"].decode() in page
    assert found["request_one_task_protobuf"].hex(" ") in page
    arrow = found["request_one_task_arrow"]
    assert f"184 {len(arrow) - 184} " in page
    assert arrow[176:192].hex(" ") == "ff ff ff ff 00 00 00 00 ff ff ff ff 78 00 00 00"
