"""Many tasks in one request: each has its own answer, whatever the others are."""

from __future__ import annotations

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import batch
from tests.end_to_end.driver import DEADLINE_S, asked_meanwhile, serving
from tests.end_to_end.envelopes import (
    LINES,
    PATH,
    Gated,
    code,
    column,
    data,
    gated_server,
    pixels,
    run,
    send,
    table,
    task,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="module")
def gate_keeper(
    gated: Path, fragile: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gated]:
    with gated_server(gated, fragile, tmp_path_factory.mktemp("gate")) as server:
        yield server


@pytest.fixture
def gate(gate_keeper: Gated) -> Gated:
    """A server whose model waits until the test opens the gate."""
    gate_keeper.close()
    return gate_keeper


def ticket(*rows: dict[str, Any]) -> dict[str, Any]:
    """A table for `tickets`, of mixed types."""
    numbers = [column(name, "FP64", [row[name] for row in rows]) for name in ("age", "fare")]
    return table(*numbers, column("class", "UTF8", [row["class"] for row in rows]))


def test_tasks_of_three_models_and_types_are_answered_in_their_order(
    many: Served, digits: Sealed, tickets: Sealed
) -> None:
    results = run(
        many,
        task("digits", pixels(*digits.rows[:3]), id="picture", outputs=["label"]),
        task("tickets", ticket(*tickets.rows[:5]), version="2"),
        task("fragile", values(1, 2**53, dtype="INT64"), id="double"),
    )
    assert [result["id"] for result in results] == ["picture", "1", "double"]
    assert [(result["model"], result["version"]) for result in results] == [
        ("digits", "1"),
        ("tickets", "2"),
        ("fragile", "1"),
    ]
    assert data(results[0], "label") == digits.labels[:3]
    assert data(results[1], "label") == tickets.labels[:5]
    answer = column("double", "FP64", [2.0, 2.0**54])
    assert results[2] == {
        "id": "double",
        "model": "fragile",
        "version": "1",
        "table": table(answer, rows=2),
        "batch_rows": 2,
    }


def test_tasks_of_one_envelope_share_micro_batches(many: Served, digits: Sealed) -> None:
    before = many.counted('shoal_batch_rows_count{model="digits",version="1"}')
    tasks = [task("digits", pixels(row), outputs=["label"]) for row in digits.rows]
    results = run(many, *tasks)
    assert [data(result, "label") for result in results] == [[label] for label in digits.labels]
    after = many.counted('shoal_batch_rows_count{model="digits",version="1"}')
    assert after - before < len(tasks) / 2
    assert max(result["batch_rows"] for result in results) >= len(tasks) / 2


def test_tasks_share_micro_batches_with_requests_and_envelopes_of_others(gate: Gated) -> None:
    column = {"name": "value", "datatype": "FP64", "shape": [1], "data": [6]}
    infer = ("POST", "/v2/models/gated/infer", {"inputs": [column]})
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(run, gate.served, task("gated", values(1)))
        gate.until_reached()
        two = (task("gated", values(2)), task("gated", values(3, 4)))
        beside = [pool.submit(run, gate.served, *two)]
        beside += [pool.submit(run, gate.served, task("gated", values(5)))]
        alone = pool.submit(gate.served.ask, *infer)
        gate.until_waiting(5)
        gate.open()
        assert first.result(DEADLINE_S)[0]["batch_rows"] == 1
        together = [result for each in beside for result in each.result(DEADLINE_S)]
        assert [data(result, "double") for result in together] == [[4.0], [6.0, 8.0], [10.0]]
        assert {result["batch_rows"] for result in together} == {5}
        assert alone.result(DEADLINE_S).json()["outputs"][0]["data"] == [12.0]


def test_a_shared_table_is_sent_once_for_many_tasks_and_models(
    many: Served, digits: Sealed
) -> None:
    tables = {"pictures": pixels(*digits.rows[:4]), "numbers": values(1, 2), "unused": values()}
    tasks = [task("digits", "pictures", outputs=["label"]) for _ in range(20)]
    results = run(
        many, *tasks, task("fragile", "numbers"), task("fragile", "pictures"), tables=tables
    )
    assert [data(result, "label") for result in results[:20]] == [digits.labels[:4]] * 20
    assert data(results[20], "double") == [2.0, 4.0]
    assert code(results[21]) == "missing_column"


def test_one_bad_task_harms_no_other(many: Served, digits: Sealed) -> None:
    bad = {
        "unknown_model": task("nobody", values(1)),
        "unknown_version": task("fragile", values(1), version="9"),
        "unknown_table": task("fragile", "nowhere"),
        "wrong_dtype": task("fragile", values("x", dtype="UTF8")),
        "wrong_shape": task("digits", pixels(digits.rows[0][:63])),
        "missing_column": task("digits", values(1)),
        "unexpected_column": task(
            "fragile", table(*values(1)["columns"], column("x", "BOOL", [True]))
        ),
        "null_not_allowed": task("fragile", values(None)),
        "model_failed": task("fragile", values(-1)),
        "invalid_request": task("fragile", {"rows": 1}),
    }
    tasks = [each for wrong in bad.values() for each in (wrong, task("fragile", values(21)))]
    results = run(many, *tasks)
    assert [code(result) for result in results[::2]] == list(bad)
    assert [data(result, "double") for result in results[1::2]] == [[42.0]] * len(bad)
    assert all("table" not in result for result in results[::2])


def test_an_empty_name_is_that_of_no_model(many: Served) -> None:
    nobody, good = run(many, task("", values(1)), task("fragile", values(21)))
    assert (code(nobody), data(good, "double")) == ("unknown_model", [42.0])


def test_outputs_are_chosen_and_ordered(many: Served, digits: Sealed) -> None:
    picture = pixels(digits.rows[0])
    both, swapped, all_of_them, wrong = run(
        many,
        task("digits", picture),
        task("digits", picture, outputs=["probabilities", "label"]),
        task("digits", picture, outputs=[]),
        task("digits", picture, outputs=["nothing"]),
    )
    names = [[each["name"] for each in result["table"]["columns"]] for result in (both, swapped)]
    assert names == [["label", "probabilities"], ["probabilities", "label"]]
    assert all_of_them["table"].keys() == both["table"].keys()
    assert code(wrong) == "unexpected_column"


def test_a_column_without_a_dtype_is_read_as_the_model_says(many: Served, digits: Sealed) -> None:
    results = run(
        many,
        task("digits", table(column("X", None, digits.rows[:2]))),
        task("fragile", values(1, 2, dtype=None)),
        task("fragile", values("x", dtype=None)),
    )
    assert data(results[0], "label") == digits.labels[:2]
    assert data(results[1], "double") == [2.0, 4.0]
    assert code(results[2]) == "wrong_dtype"


def test_results_are_merged_and_tell_who_is_not_in_it(many: Served) -> None:
    tasks = [
        task("fragile", values(1, 2), weight=3),
        task("fragile", values(-1), id="bad"),
        task("fragile", values(10)),
    ]
    joined = send(many, *tasks, merge={"by": "concat"}).json()
    assert joined["merged"] == {
        "table": table(column("double", "FP64", [2.0, 4.0, 20.0]), rows=3),
        "left_out": ["bad"],
    }
    assert [set(result) for result in joined["results"]] == [
        {"id", "model", "version", "batch_rows"},
        {"id", "error"},
        {"id", "model", "version", "batch_rows"},
    ]
    mean = send(many, *tasks, merge={"by": "mean", "columns": ["double"]}).json()["merged"]
    assert mean["table"]["columns"][0]["data"] == [(3 * 2 + 3 * 4 + 20) / 7]


def test_results_that_cannot_be_merged_say_so(many: Served, digits: Sealed) -> None:
    tasks = [task("fragile", values(1)), task("digits", pixels(digits.rows[0]))]
    answer = send(many, *tasks, merge={"by": "concat"}).json()
    assert answer["merged"]["error"]["code"] == "merge_mismatch"
    assert not any("error" in result for result in answer["results"])


@pytest.mark.parametrize("place", ["task", "envelope"])
def test_a_budget_that_passes_leaves_the_others_what_they_have(gate: Gated, place: str) -> None:
    budget = {"timeout_us": 200_000}
    own, whole = (budget, {}) if place == "task" else ({}, budget)
    counted = 'shoal_tasks_total{outcome="deadline_exceeded"}'
    before = gate.served.counted(counted)
    tasks = (task("gated", values(1), **own), task("fragile", values(2)))
    late, done = run(gate.served, *tasks, **whole)
    assert code(late) == "deadline_exceeded"
    assert data(done, "double") == [4.0]
    assert gate.served.counted(counted) == before + 1
    gate.open()
    assert data(run(gate.served, task("gated", values(3)))[0], "double") == [6.0]


def test_budgets_count_on_the_clock_of_the_server(many: Served) -> None:
    skewed = {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    reply = send(many, task("fragile", values(1)), timeout_us=20_000_000, headers=skewed)
    assert data(reply.json()["results"][0], "double") == [2.0]
    longest = run(many, task("fragile", values(1), timeout_us=2**64 - 1), timeout_us=2**64 - 1)
    assert data(longest[0], "double") == [2.0]


def test_an_urgent_task_goes_first(gate: Gated) -> None:
    # More rows than one micro-batch takes: what is urgent is in the first of them.
    tasks = [task("gated", values(*range(40)), id=f"late{place}") for place in range(20)]
    tasks.append(task("gated", values(7), id="urgent", priority=1))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, gate.served, task("gated", values(1)))
        gate.until_reached()
        lines = pool.submit(send, gate.served, *tasks, headers={"Accept": LINES})
        gate.until_waiting(801)
        gate.open()
        first.result(DEADLINE_S)
        ids = [json.loads(line)["id"] for line in lines.result(DEADLINE_S).body.splitlines()]
    assert sorted(ids) == sorted(each["id"] for each in tasks)
    assert ids.index("urgent") < ids.index("late19")


def test_a_full_queue_refuses_a_task_and_says_when_to_come_again(gate: Gated) -> None:
    tables = {"large": values(*[1.0] * 60_000)}
    tasks = [task("gated", "large"), task("gated", "large"), task("gated", values(1))]
    gate.open()
    first, second, third = run(gate.served, *tasks, tables=tables)
    assert len(data(first, "double")) == 60_000
    assert code(second) == "queue_full"
    assert second["error"]["retry_after_ms"] > 0
    assert data(third, "double") == [2.0]


def test_tables_of_no_rows_are_answered_with_no_rows(many: Served, digits: Sealed) -> None:
    none = table(column("X", "FP32", [], shape=[64]))
    results = run(many, task("digits", none), task("fragile", values()))
    assert results[0]["table"] == table(
        column("label", "INT64", []), column("probabilities", "FP32", [], shape=[10]), rows=0
    )
    assert results[1]["batch_rows"] == 0


def test_every_type_of_value_reaches_a_model_that_takes_it(many: Served) -> None:
    moment = column("value", "TIMESTAMP", ["1970-01-01T00:00:01Z"])
    given = {
        "INT8": values(7, dtype="INT8"),
        "UINT64": values("18014398509481984", dtype="UINT64"),
        "FP32": values(0.1, dtype="FP32"),
        "NaN": values("NaN"),
        "Infinity": values("-Infinity"),
        "MIXED": values(1, 0.5, dtype="MIXED"),
        "BOOL": values(*[True], dtype="BOOL"),
        "TIMESTAMP": table(moment),
        "BYTES": values(base64.b64encode(b"a").decode(), dtype="BYTES"),
    }
    results = run(many, *[task("fragile", each, id=name) for name, each in given.items()])
    found = {result["id"]: code(result) or data(result, "double") for result in results}
    assert found == {
        "INT8": [14.0],
        "UINT64": [2.0**55],
        "FP32": [0.20000000298023224],
        "NaN": ["NaN"],
        "Infinity": "model_failed",
        "MIXED": [2.0, 1.0],
        "BOOL": "wrong_dtype",
        "TIMESTAMP": "wrong_dtype",
        "BYTES": "wrong_dtype",
    }


def test_tasks_are_counted_and_so_are_the_requests_of_their_models(many: Served) -> None:
    def counts() -> list[float]:
        return [
            many.counted('shoal_tasks_total{outcome="ok"}'),
            many.counted('shoal_tasks_total{outcome="model_failed"}'),
            many.counted('shoal_requests_total{model="fragile",version="1",outcome="ok"}'),
            many.counted(
                'shoal_requests_total{model="fragile",version="1",outcome="model_failed"}'
            ),
            many.counted('shoal_rejected_total{reason="unknown_model"}'),
            many.counted("shoal_envelope_tasks_count"),
            many.counted("shoal_envelope_tasks_sum"),
        ]

    before = counts()
    good = [task("fragile", values(number)) for number in range(3)]
    run(many, *good, task("fragile", values(-1)), task("nobody", values(1)))
    risen = [after - first for after, first in zip(counts(), before, strict=True)]
    assert risen == [3, 1, 3, 1, 1, 1, 5]


def test_neighbours_of_large_envelopes_are_answered_as_ever(many: Served, digits: Sealed) -> None:
    def ask() -> object:
        return data(run(many, task("digits", pixels(digits.rows[0])))[0], "label")

    tasks = [task("fragile", values(number)) for number in range(1000)]
    with asked_meanwhile(ask, digits.labels[:1], threads=2):
        for _ in range(3):
            results = run(many, *tasks)
            assert [data(result, "double") for result in results] == [
                [2.0 * number] for number in range(1000)
            ]


def test_a_browser_may_send_tasks_and_read_when_to_come_again(digits: Sealed) -> None:
    origin = "https://example.org"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with serving(digits.path, arguments=("--allow-origin", origin)) as served:
        preflight = served.ask("OPTIONS", PATH, headers=asked)
        assert preflight.status == 204
        allowed = set(preflight.headers["access-control-allow-headers"].split(", "))
        assert {"accept", "authorization", "content-type", "x-api-key"} <= allowed
        for accept in ("application/json", "application/x-ndjson"):
            headers = {"Origin": origin, "Accept": accept}
            answer = send(served, task("digits", pixels(digits.rows[0])), headers=headers)
            assert answer.headers["access-control-allow-origin"] == origin
            assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_answers_are_compressed_where_that_is_asked_for(many: Served, digits: Sealed) -> None:
    tasks = [task("digits", pixels(row)) for row in digits.rows]
    body = gzip.compress(json.dumps({"tasks": tasks}).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    reply = many.ask("POST", PATH, body, headers=headers)
    assert reply.headers["content-encoding"] == "gzip"
    results = json.loads(gzip.decompress(reply.body))["results"]
    assert [data(result, "label") for result in results] == [[label] for label in digits.labels]


def test_the_document_tells_of_tasks(many: Served) -> None:
    document = many.ask("GET", "/openapi.json").json()
    operation = document["paths"][PATH]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "application/vnd.apache.arrow.stream",
        "application/x-protobuf",
    }
    assert "application/x-ndjson" in operation["responses"]["200"]["content"]


def test_a_merge_means_what_it_means_in_shoal_batch(many: Served) -> None:
    random = np.random.default_rng(8)
    numbers = random.uniform(1, 9, 60) * 10.0 ** random.integers(-150, 150, 60)
    doubled = pa.table({"double": 2.0 * numbers})
    tasks = [task("fragile", values(*part.tolist())) for part in np.split(numbers, [7, 8, 40])]
    for by in ("sum", "mean", "min", "max", "count", "variance"):
        expected = batch.merge([doubled], getattr(batch, by)("double", name="double"))
        merged = send(many, *tasks, merge={"by": by}).json()["merged"]["table"]["columns"][0][
            "data"
        ]
        assert merged == pytest.approx(expected["double"].to_pylist(), rel=1e-12), by
