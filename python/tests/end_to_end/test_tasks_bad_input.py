"""What breaks the frame of an envelope refuses it; what is wrong in a table fails its tasks."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.end_to_end.driver import asked_meanwhile, poll, serving
from tests.end_to_end.envelopes import (
    ARROW,
    PATH,
    code,
    column,
    data,
    pixels,
    run,
    send,
    table,
    task,
    values,
)

if TYPE_CHECKING:
    from tests.end_to_end.driver import Reply, Served
    from tests.end_to_end.models import Sealed

GOOD = task("fragile", values(21), id="good")
TABLE = b'{"columns":[{"name":"value","dtype":"%s","data":[%s]}]}'
LIMIT_BYTES = 1_000_000


def raw(served: Served, dtype: bytes, value: bytes) -> list[dict[str, Any]]:
    """The results of a task with that text as its value, and of a good one."""
    task_of = b'{"model":"fragile","table":%s}'
    bad = task_of % (TABLE % (dtype, value))
    good = task_of % (TABLE % (b"FP64", b"21"))
    reply = served.ask("POST", PATH, b'{"tasks":[%s,%s]}' % (bad, good))
    assert reply.status == 200, reply.body
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (b"INT64", b"9223372036854775807", "wrong_dtype"),
        (b"INT64", b"9223372036854775808", "wrong_dtype"),
        (b"INT64", b"-9223372036854775809", "wrong_dtype"),
        (b"INT64", b'"-9223372036854775809"', "wrong_dtype"),
        (b"UINT64", b"18446744073709551616", "wrong_dtype"),
        (b"FP64", b'"nan"', "wrong_dtype"),
        (b"FP64", b"1e999", "wrong_dtype"),
        (b"UTF8", rb'"\ud800"', "wrong_dtype"),
        (b"UTF8", rb'"\udc00\ud800"', "wrong_dtype"),
        (b"TIMESTAMP", b'"2026-11-26T12:00:00"', "time_without_zone"),
        (b"TIMESTAMP", b'"2026-13-26T12:00:00Z"', "wrong_dtype"),
        (b"DATE", b'"2026-02-29"', "wrong_dtype"),
        (b"COMPLEX64", b"1", "wrong_dtype"),
        (b"INT64", b"1,[2]", "wrong_shape"),
    ],
)
def test_a_value_that_is_wrong_fails_its_task_alone(
    many: Served, dtype: bytes, value: bytes, expected: str
) -> None:
    bad, good = raw(many, dtype, value)
    if value == b"9223372036854775807":
        # The largest that INT64 holds; as a number with fraction it is 2^63.
        assert data(bad, "double") == [2.0**64]
    else:
        assert code(bad) == expected, bad
    assert data(good, "double") == [42.0]


def test_whole_numbers_at_the_ends_of_their_types_are_exact(many: Served) -> None:
    ends = {"INT64": (-(2**63), 2**63 - 1), "UINT64": (0, 2**64 - 1)}
    tables = [values(*map(str, both), dtype=dtype) for dtype, both in ends.items()]
    tables += [values(*both, dtype=dtype) for dtype, both in ends.items()]
    # Below zero the model fails: the number has arrived.
    results = run(many, *[task("fragile", each) for each in tables])
    assert [code(result) for result in results] == ["model_failed", "", "model_failed", ""]
    assert data(results[1], "double") == data(results[3], "double") == [0.0, 2.0**65]


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"01", b"1,]", b'"\xff"', b'"a'])
def test_what_is_no_json_refuses_the_envelope(many: Served, value: bytes) -> None:
    body = b'{"tasks":[{"model":"fragile","table":%s}]}' % (TABLE % (b"FP64", value))
    refused = many.ask("POST", PATH, body)
    assert (refused.status, refused.code) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 400, "malformed_json"),
        (b"[]", 400, "invalid_request"),
        ([[GOOD]], 400, "invalid_request"),
        ({"tasks": [["id", "fragile", None, values(1)]]}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ({"tasks": []}, 400, "invalid_request"),
        ({"tasks": [GOOD], "more": 1}, 400, "invalid_request"),
        ({"tasks": [GOOD | {"more": 1}]}, 400, "invalid_request"),
        ({"tasks": [{"model": "fragile"}]}, 400, "invalid_request"),
        ({"tasks": [{"table": values(1)}]}, 400, "invalid_request"),
        ({"tasks": [GOOD | {"priority": 256}]}, 400, "invalid_request"),
        ({"tasks": [GOOD | {"timeout_us": -1}]}, 400, "invalid_request"),
        ({"tasks": [GOOD | {"weight": -1}]}, 400, "invalid_request"),
        ({"tasks": [GOOD | {"id": "x" * 257}]}, 400, "invalid_request"),
        ({"tasks": [GOOD], "merge": {"by": "median"}}, 400, "invalid_request"),
        ({"tasks": [GOOD, GOOD]}, 400, "duplicate_task"),
        ({"tasks": [task("fragile", values(1))] * 10_001}, 413, "too_many_tasks"),
        ({"tasks": [task("x", "t")] * 3, "tables": {"t": {"rows": 400_000, "columns": []}}},
         413, "too_many_rows"),
        (b'{"tasks":' + b"[" * 100_000, 400, "malformed_json"),
        (b'{"tasks":[{"model":"\xff","table":"t"}]}', 400, "malformed_json"),
        (rb'{"tasks":[{"model":"\ud800","table":"t"}]}', 400, "malformed_json"),
    ],
)  # fmt: skip
def test_what_breaks_the_frame_refuses_the_envelope(
    many: Served, body: object, status: int, expected: str
) -> None:
    before = many.counted(f'shoal_rejected_total{{reason="{expected}"}}')
    refused = many.ask("POST", PATH, body)
    assert (refused.status, refused.code) == (status, expected), refused.body
    assert many.counted(f'shoal_rejected_total{{reason="{expected}"}}') == before + 1


def test_ten_thousand_tasks_are_taken(many: Served) -> None:
    tasks = [task("fragile", values(number)) for number in range(10_000)]
    results = run(many, *tasks)
    assert [data(result, "double") for result in results] == [[2.0 * n] for n in range(10_000)]


def test_two_ways_to_the_same_id_are_told(many: Served) -> None:
    refused = send(many, GOOD | {"id": "1"}, task("fragile", values(1)))
    assert refused.code == "duplicate_task"
    assert "place" in refused.json()["hint"]


def test_ragged_columns_fail_their_task_alone(many: Served, digits: Sealed) -> None:
    uneven = table(column("age", "FP32", [1]), column("fare", "FP32", [1, 2]))
    twice = table(column("value", "FP64", [1]), column("value", "FP64", [1]))
    rows = [digits.rows[0], digits.rows[1][:63]]
    results = run(
        many,
        task("tickets", uneven),
        task("digits", pixels(*rows)),
        task("fragile", twice),
        task("fragile", {**values(1), "rows": 2}),
        GOOD,
    )
    expected = ["wrong_shape", "wrong_shape", "duplicate_column", "wrong_shape", ""]
    assert [code(result) for result in results] == expected


def test_a_table_that_is_nested_deep_is_refused_and_costs_nobody_anything(many: Served) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    text = json.dumps({"tasks": [GOOD, task("fragile", "DEEP", id="bad")]})
    with asked_meanwhile(lambda: code(run(many, GOOD)[0]), "", threads=2):
        for nested in (deep, f'{{"columns":[{{"name":"value","data":{deep}}}]}}'):
            reply = many.ask("POST", PATH, text.replace('"DEEP"', nested).encode())
            good, bad = reply.json()["results"]
            assert data(good, "double") == [42.0]
            assert code(bad) in {"invalid_request", "wrong_shape", "malformed_json"}


def test_only_posts_are_taken(many: Served) -> None:
    refused = many.ask("GET", PATH)
    assert (refused.status, refused.code) == (405, "method_not_allowed")


def stream(batch: pa.RecordBatch, codec: str | None = None) -> bytes:
    """The Arrow IPC stream of one batch."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def head(envelope: object) -> bytes:
    """The first stream of an envelope in Arrow."""
    sink = pa.BufferOutputStream()
    schema = pa.schema([], metadata={"shoal.tasks": json.dumps(envelope)})
    pa.ipc.new_stream(sink, schema).close()
    return bytes(sink.getvalue())


def in_arrow(served: Served, *streams: bytes, tail: bytes = b"") -> Reply:
    """Sends one task for `fragile` for each stream."""
    tasks = [task("fragile", {"arrow": len(each)}) for each in streams]
    body = head({"tasks": tasks}) + b"".join(streams) + tail
    headers = {"Content-Type": ARROW, "Accept": "application/json"}
    return served.ask("POST", PATH, body, headers=headers)


BATCH = pa.record_batch({"value": [1.0, 2.0]})


def test_streams_that_are_wrong_in_themselves_fail_their_tasks_alone(many: Served) -> None:
    whole = stream(BATCH)
    without_zone = pa.record_batch({"value": pa.array([0], pa.timestamp("us"))})
    bad = {
        "truncated": (whole[: len(whole) // 2], "invalid_arrow"),
        "without its end": (whole[:-8], "invalid_arrow"),
        "no stream": (b"\0" * 64, "invalid_arrow"),
        "compressed": (stream(BATCH, "zstd"), "invalid_arrow"),
        "time without zone": (stream(without_zone), "time_without_zone"),
        "not utf-8": (stream(latin()), "wrong_dtype"),
        "of another type": (
            stream(pa.record_batch({"value": pa.array([1], pa.decimal128(5))})),
            "wrong_dtype",
        ),
    }
    streams = [each for wrong, _ in bad.values() for each in (wrong, whole)]
    results = in_arrow(many, *streams).json()["results"]
    assert [code(result) for result in results[::2]] == [expected for _, expected in bad.values()]
    assert [data(result, "double") for result in results[1::2]] == [[2.0, 4.0]] * len(bad)


def latin() -> pa.RecordBatch:
    """A batch whose text is Latin-1."""
    buffers = [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer(b"caf\xe9")]
    return pa.record_batch({"value": pa.Array.from_buffers(pa.utf8(), 1, buffers)})


def test_streams_that_are_not_as_announced_refuse_the_envelope(many: Served) -> None:
    whole = stream(BATCH)
    body = head({"tasks": [task("fragile", {"arrow": len(whole)})]}) + whole
    bodies = [b"", body[:-8], body + bytes(8), whole, b'{"tasks":[]}', body[:100]]
    for wrong in bodies:
        refused = many.ask("POST", PATH, wrong, headers={"Content-Type": ARROW})
        assert (refused.status, refused.code) == (400, "invalid_arrow"), wrong[:40]
        assert refused.headers["content-type"] == "application/json"


def test_bytes_that_are_no_message_refuse_the_envelope(many: Served) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    for wrong in (b'{"tasks":[]}', b"\x12\x7f\x0a", b"\x12\x03\x12\x01\xff"):
        refused = many.ask("POST", PATH, wrong, headers=headers)
        assert (refused.status, refused.code) == (400, "invalid_protobuf"), wrong


def test_bombs_are_refused_and_cost_nobody_anything(digits: Sealed) -> None:
    """A few bytes that stand for many: packed, as messages, and as nulls of tensors."""
    nulls = ",".join(["null"] * 1000)
    tensor = (
        f'{{"rows":1000,"columns":[{{"name":"X","dtype":"FP64","shape":[1000],"data":[{nulls}]}}]}}'
    )
    tasks = ",".join(f'{{"model":"digits","table":{tensor}}}' for _ in range(100))
    bombs: list[tuple[bytes, dict[str, str]]] = [
        (gzip.compress(b" " * 100 * LIMIT_BYTES), {"Content-Encoding": "gzip"}),
        (b"\x12\x00" * (LIMIT_BYTES // 2), {"Content-Type": "application/x-protobuf"}),
        (b"\x0a\x00" * (LIMIT_BYTES // 2), {"Content-Type": "application/x-protobuf"}),
        (f'{{"tasks":[{tasks}]}}'.encode(), {}),
    ]
    asked = task("digits", pixels(digits.rows[0]), outputs=["label"])
    with serving(digits.path, arguments=("--body-limit-bytes", str(LIMIT_BYTES))) as served:

        def ask() -> object:
            return data(run(served, asked)[0], "label")

        with asked_meanwhile(ask, digits.labels[:1], threads=2):
            for body, headers in bombs:
                refused = served.ask("POST", PATH, body, headers=headers)
                assert refused.status == 413, refused.body
                assert refused.code in {"body_too_large", "too_many_tasks"}
        poll(lambda: served.counted("shoal_bodies_bytes") == 0, "nothing of them is held")
