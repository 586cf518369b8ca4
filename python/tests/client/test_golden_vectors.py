"""Every vector that clients read or write, see protocol/protocol.md, "Of tasks".

Readers are tested by what is expected, writers by the bytes where `written` says so, and otherwise
by the way back. No vector is left out: the last test counts them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shoal.client import Merged, Reduction, Result, Results, Table, Task
from shoal.client._answers import matched
from shoal.client._http import read_answer
from shoal.client._lines import read_lines
from shoal.client._retry import NEVER
from shoal.client._run import Item, Order, Runner
from shoal.client._wire._arrow_streams import read_stream, write_stream
from shoal.client._wire._encoding import Due, Envelope, Piece
from shoal.client._wire._json_envelopes import JsonEncoding
from shoal.client._wire._json_read import read_table_json
from shoal.client._wire._json_write import write_table
from shoal.client._wire._protobuf_envelopes import ProtobufEncoding
from shoal.client._wire._protobuf_tables import parsed, read_table
from shoal.errors import ShoalError
from tests.client.described import built, described

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from shoal.client._wire._encoding import Encoding

FOLDER = Path(__file__).parents[3] / "protocol" / "vectors" / "tasks"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "tasks.json").read_text("utf-8"))
TABLES = [each for each in VECTORS if each["kind"] == "table"]
READ = [each for each in TABLES if each["of"] != "request"]
WRITTEN = [each for each in TABLES if "error" not in each["expect"]]
REQUESTS = [
    each for each in VECTORS if each["kind"] == "tasks_request" and "error" not in each["expect"]
]
RESPONSES = [each for each in VECTORS if each["kind"] == "tasks_response"]
AT_ONCE = [each for each in RESPONSES if each["encoding"] != "ndjson"]
BY_LINES = [each for each in RESPONSES if each["encoding"] == "ndjson"]

CONTENT_TYPES = {
    "json": "application/json",
    "arrow": "application/vnd.apache.arrow.stream",
    "protobuf": "application/x-protobuf",
}
ENCODINGS: dict[str, Encoding] = {
    "json": JsonEncoding(None),
    "arrow": JsonEncoding(0),
    "protobuf": ProtobufEncoding(None),
}
READERS: dict[str, Callable[[bytes], Table]] = {
    "json": read_table_json,
    "arrow": read_stream,
    "protobuf": lambda body: read_table(parsed("Table", body)),
}
WRITERS: dict[str, Callable[[Table], bytes]] = {
    "json": write_table,
    "arrow": write_stream,
    "protobuf": lambda table: ENCODINGS["protobuf"].table(table).head,
}


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def body_of(vector: dict[str, Any]) -> bytes:
    path: Path = FOLDER / vector["body"]
    return path.read_bytes()


@pytest.mark.parametrize("vector", READ, ids=name_of)
def test_a_table_is_read(vector: dict[str, Any]) -> None:
    read, expected = READERS[vector["encoding"]], vector["expect"]
    if "error" not in expected:
        assert described(read(body_of(vector))) == expected
        return
    with pytest.raises(ShoalError) as caught:
        read(body_of(vector))
    assert caught.value.code == expected["error"]


@pytest.mark.parametrize("vector", WRITTEN, ids=name_of)
def test_a_table_is_written(vector: dict[str, Any]) -> None:
    encoding = vector["encoding"]
    written = WRITERS[encoding](built(vector["expect"]))
    if vector.get("written"):
        assert written == body_of(vector)
    assert described(READERS[encoding](written)) == vector["expect"]


def is_refused(entry: dict[str, Any]) -> bool:
    return "error" in entry or "error" in entry.get("table", {})


def envelope_of(expected: dict[str, Any], encoding: Encoding) -> Envelope:
    """The envelope that a request describes; tasks and tables that are refused left out."""
    tasks = [
        Due(entry["id"], piece_of(entry, encoding), entry["timeout_us"])
        for entry in expected["tasks"]
        if not is_refused(entry)
    ]
    shared = [
        (entry["name"], encoding.table(built(entry["table"])))
        for entry in expected["tables"]
        if not is_refused(entry)
    ]
    merge = expected["merge"]
    reduction = None if merge is None else Reduction(merge["by"], tuple(merge["columns"]))
    return Envelope(tasks, shared, reduction, expected["timeout_us"])


def piece_of(entry: dict[str, Any], encoding: Encoding) -> Piece:
    said = {key: entry[key] for key in ("model", "version", "outputs", "priority", "weight")}
    table = entry["shared"] if "shared" in entry else encoding.table(built(entry["table"]))
    return encoding.task(Task(table=None, **said), table, entry["idempotency_key"])


@pytest.mark.parametrize("vector", REQUESTS, ids=name_of)
def test_an_envelope_is_written(vector: dict[str, Any]) -> None:
    encoding, expected = ENCODINGS[vector["encoding"]], vector["expect"]
    body = encoding.body(envelope_of(expected, encoding))
    refused = any(is_refused(entry) for entry in (*expected["tasks"], *expected["tables"]))
    if vector.get("written"):
        assert not refused
        assert body.content == body_of(vector)
    assert body.content_type in CONTENT_TYPES.values()
    assert body.content


@pytest.mark.parametrize("vector", AT_ONCE, ids=name_of)
def test_an_answer_is_read(vector: dict[str, Any]) -> None:
    expected = vector["expect"]
    headers = {"Content-Type": CONTENT_TYPES[vector["encoding"]]}
    headers |= {name.title(): value for name, value in vector["headers"].items()}

    def answer() -> Results:
        found = read_answer(vector["status"], headers, body_of(vector))
        return matched(found, vector["asked"], has_merge=vector["merge"])

    if "error" in expected:
        with pytest.raises(ShoalError) as caught:
            answer()
        assert told(caught.value, expected["error"]) == expected["error"]
    else:
        check(answer(), expected)


class LinesOf:
    """A transport that answers with one body of lines."""

    encoding = ENCODINGS["json"]

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def run(self, envelope: Envelope) -> Results:
        raise NotImplementedError

    async def stream(self, envelope: Envelope) -> AsyncGenerator[Result | Merged, None]:
        async for found in read_lines(self.chunks(), 1 << 20):
            yield found

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 50):
            yield self.body[at : at + 50]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("vector", BY_LINES, ids=name_of)
def test_an_answer_of_lines_is_read(vector: dict[str, Any]) -> None:
    runner = Runner(LinesOf(body_of(vector)), NEVER)
    merge = Reduction("mean") if vector["merge"] else None
    order = Order([Item(id_, Piece(b""), None) for id_ in vector["asked"]], (), merge)

    async def answer() -> list[Result | Merged]:
        return [each async for each in runner.stream(order)]

    found = asyncio.run(answer())
    by_id = {each.id: each for each in found if isinstance(each, Result)}
    merged = [each for each in found if isinstance(each, Merged)]
    results = [by_id[id_] for id_ in vector["asked"]]
    check(Results(results, merged[0] if merged else None), vector["expect"])


def told(error: ShoalError, expected: dict[str, Any]) -> dict[str, Any]:
    """What is expected of an error, as this one says it."""
    said = {"code": error.code, "error": str(error), "hint": error.hint}
    said["retry_after_ms"] = error.retry_after_ms  # type: ignore[assignment]  # a number
    if not expected.get("error"):
        said["error"] = ""  # the client's own words
    return {key: said[key] for key in expected}


def check(answer: Results, expected: dict[str, Any]) -> None:
    for result, entry in zip(answer, expected["results"], strict=True):
        assert result.id == entry["id"]
        check_outcome(result, entry)
        if "error" not in entry:
            about = {"model": result.model, "version": result.version}
            about["batch_rows"] = result.batch_rows  # type: ignore[assignment]  # a number
            assert about.items() <= entry.items()
    assert (answer.merged is None) == (expected["merged"] is None)
    if answer.merged is not None:
        assert answer.merged.left_out == expected["merged"].get("left_out", [])
        check_outcome(answer.merged, expected["merged"])


def check_outcome(found: Result | Merged, expected: dict[str, Any]) -> None:
    if "error" not in expected:
        assert found.error is None
        if "table" in expected:
            assert described(found.table) == expected["table"]
        return
    with pytest.raises(ShoalError) as caught:
        _ = found.table
    assert told(caught.value, expected["error"]) == expected["error"]


def test_no_vector_of_clients_is_left_out() -> None:
    tested = {name_of(each) for each in (*READ, *WRITTEN, *REQUESTS, *AT_ONCE, *BY_LINES)}
    for each in VECTORS:
        if each["name"] not in tested:
            # What only servers read: requests that no client sends.
            assert each["kind"] == "model_input" or "error" in each["expect"]
            assert each["kind"] != "table" or each["of"] == "request"
    assert len(tested) >= 200
