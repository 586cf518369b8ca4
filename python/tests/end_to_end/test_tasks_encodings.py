"""JSON, Arrow and protobuf carry the same envelope and the same answer, in any combination."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal.client._wire._messages import message
from tests.end_to_end.envelopes import ARROW, JSON, PATH, code, column, pixels, run, table, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

PROTOBUF = "application/x-protobuf"
IDS = ("picture", "ticket", "nobody")

Answers = dict[str, Any]


def in_json(digits: Sealed, tickets: Sealed) -> bytes:
    rows = tickets.rows[:3]
    numbers = [column(name, "FP64", [row[name] for row in rows]) for name in ("age", "fare")]
    classes = column("class", "UTF8", [row["class"] for row in rows])
    tasks = [
        task("digits", "pictures", id="picture", outputs=["label"]),
        task("tickets", table(*numbers, classes), id="ticket"),
        task("nobody", "pictures", id="nobody"),
    ]
    envelope = {"tables": {"pictures": pixels(*digits.rows[:2])}, "tasks": tasks}
    return json.dumps(envelope).encode()


def stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        if batch.num_columns:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def pictures_in_arrow(digits: Sealed) -> bytes:
    rows = np.array(digits.rows[:2], np.float32)
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(rows)
    return stream(pa.record_batch({"X": column}))


def in_arrow(digits: Sealed, tickets: Sealed) -> bytes:
    pictures = pictures_in_arrow(digits)
    batch = pa.RecordBatch.from_pylist(tickets.rows[:3])
    words = batch["class"].dictionary_encode()
    asked = stream(batch.set_column(batch.schema.get_field_index("class"), "class", words))
    tasks = [
        task("digits", "pictures", id="picture", outputs=["label"]),
        task("tickets", {"arrow": len(asked)}, id="ticket"),
        task("nobody", "pictures", id="nobody"),
    ]
    envelope = {"tables": {"pictures": {"arrow": len(pictures)}}, "tasks": tasks}
    empty = pa.record_batch({}).replace_schema_metadata({"shoal.tasks": json.dumps(envelope)})
    return stream(empty) + pictures + asked


def in_protobuf(digits: Sealed, tickets: Sealed) -> bytes:
    rows = tickets.rows[:3]
    request = message("RunRequest")()
    request.tables.add(name="pictures").table.arrow = pictures_in_arrow(digits)
    request.tasks.add(id="picture", model="digits", shared="pictures", outputs=["label"])
    ticket = request.tasks.add(id="ticket", model="tickets")
    ticket.table.rows = len(rows)
    for name in ("age", "fare"):
        values = np.array([row[name] for row in rows], np.float32).tobytes()
        ticket.table.columns.add(name=name, dtype="FP32", values=values)
    words = [row["class"].encode() for row in rows]
    ticket.table.columns.add(name="class", dtype="UTF8", items=words)
    request.tasks.add(id="nobody", model="nobody", shared="pictures")
    return bytes(request.SerializeToString())


def from_json(body: bytes) -> Answers:
    found: Answers = {}
    for result in json.loads(body)["results"]:
        columns = result.get("table", {}).get("columns", [])
        found[result["id"]] = code(result) or {each["name"]: each["data"] for each in columns}
    return found


def from_arrow(body: bytes) -> Answers:
    source = pa.BufferReader(body)
    with pa.ipc.open_stream(source) as reader:
        results = json.loads(reader.schema.metadata[b"shoal.tasks"])["results"]
        reader.read_all()
    left = body[source.tell() :]
    assert sum(result["table"]["arrow"] for result in results if "table" in result) == len(left)
    found: Answers = {}
    for result in results:
        found[result["id"]] = code(result)
        if "table" in result:
            own, left = left[: result["table"]["arrow"]], left[result["table"]["arrow"] :]
            found[result["id"]] = pa.ipc.open_stream(own).read_all().to_pydict()
    return found


def from_protobuf(body: bytes) -> Answers:
    found: Answers = {}
    for result in message("RunResponse").FromString(body).results:
        outcome: Any = result.error.code
        if result.WhichOneof("outcome") == "table":
            outcome = {each.name: values(each) for each in result.table.columns}
        found[result.id] = outcome
    return found


def values(column: Any) -> list[Any]:
    if column.dtype == "UTF8":
        return [item.decode() for item in column.items]
    kinds = {"INT64": np.int64, "FP32": np.float32}
    numbers = np.frombuffer(column.values, kinds[column.dtype])
    listed: list[Any] = numbers.reshape(-1, *column.shape).tolist()
    return listed


ASK: dict[str, Callable[[Sealed, Sealed], bytes]]
ASK = {JSON: in_json, ARROW: in_arrow, PROTOBUF: in_protobuf}
ANSWER: dict[str, Callable[[bytes], Answers]]
ANSWER = {JSON: from_json, ARROW: from_arrow, PROTOBUF: from_protobuf}


@pytest.mark.parametrize(("asked", "answered"), [*product(ASK, ANSWER)])
def test_each_encoding_asks_and_answers_the_same(
    many: Served, digits: Sealed, tickets: Sealed, asked: str, answered: str
) -> None:
    body = ASK[asked](digits, tickets)
    reply = many.ask("POST", PATH, body, headers={"Content-Type": asked, "Accept": answered})
    assert (reply.status, reply.headers["content-type"]) == (200, answered)
    found = ANSWER[answered](reply.body)
    assert tuple(found) == IDS
    assert found["picture"] == {"label": digits.labels[:2]}
    assert found["ticket"]["label"] == tickets.labels[:3]
    assert found["nobody"] == "unknown_model"


@pytest.mark.parametrize("encoding", [ARROW, PROTOBUF])
def test_an_answer_has_the_encoding_of_its_request_unless_another_is_asked_for(
    many: Served, digits: Sealed, tickets: Sealed, encoding: str
) -> None:
    body = ASK[encoding](digits, tickets)
    reply = many.ask("POST", PATH, body, headers={"Content-Type": encoding, "Accept": "*/*"})
    assert reply.headers["content-type"] == encoding
    assert ANSWER[encoding](reply.body)["picture"] == {"label": digits.labels[:2]}


def test_merged_results_travel_in_every_encoding(many: Served, digits: Sealed) -> None:
    tasks = [task("digits", pixels(row), outputs=["label"]) for row in digits.rows[:3]]
    body = {"tasks": tasks, "merge": {"by": "concat"}}
    replies = {each: many.ask("POST", PATH, body, headers={"Accept": each}) for each in ANSWER}
    joined = replies[JSON].json()["merged"]
    assert joined["left_out"] == []
    assert joined["table"]["columns"][0]["data"] == digits.labels[:3]
    source = pa.BufferReader(replies[ARROW].body)
    with pa.ipc.open_stream(source) as reader:
        head = json.loads(reader.schema.metadata[b"shoal.tasks"])
        reader.read_all()
    assert head["merged"].keys() == {"table", "left_out"}
    assert not any("table" in result for result in head["results"])
    assert pa.ipc.open_stream(source).read_all()["label"].to_pylist() == digits.labels[:3]
    merged = message("RunResponse").FromString(replies[PROTOBUF].body).merged
    assert values(merged.table.columns[0]) == digits.labels[:3]


def test_a_large_table_goes_through_in_arrow(many: Served, digits: Sealed) -> None:
    rows = np.tile(np.array(digits.rows, np.float32), (200, 1))
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(rows)
    large = stream(pa.record_batch({"X": tensors}))
    tasks = [task("digits", {"arrow": len(large)}, outputs=["label"])]
    empty = pa.record_batch({}).replace_schema_metadata(
        {"shoal.tasks": json.dumps({"tasks": tasks})}
    )
    reply = many.ask("POST", PATH, stream(empty) + large, headers={"Content-Type": ARROW})
    assert from_arrow(reply.body)["0"] == {"label": digits.labels * 200}
    small = run(many, task("digits", pixels(digits.rows[0]), outputs=["label"]))
    assert code(small[0]) == ""
