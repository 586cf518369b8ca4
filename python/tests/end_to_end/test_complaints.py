"""What users of model servers complain about most, and that no complaint of these is true here.

The numbers are ranks: 1 is what is met most often. A docstring says what people meet elsewhere, the
test what they meet here. These are 1 to 11, of those who send requests; 12 to 20, of those who run
servers, are in `test_complaints_of_operators.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal import package
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.hold_driver import (
    asked,
    batching,
    calls,
    doubled,
    hang_up,
    hazards,
    held,
    infer,
)
from tests.end_to_end.stories import hazard as rows_that
from tests.end_to_end.stories import lengths
from tests.end_to_end.test_limits import connected

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.end_to_end.driver import Reply, Served
    from tests.end_to_end.models import Sealed

BATCH_ROWS = 512  # at most, of a package that says nothing else
QUEUE_ROWS = 100_000


@pytest.fixture(scope="module")
def hazard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.story("hazard", tmp_path_factory.mktemp("hazard"))


@pytest.fixture(scope="module")
def variable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of rows of any length."""
    path = tmp_path_factory.mktemp("lengths") / "lengths"
    example = pa.record_batch({"values": [[1.0], [2.0, 3.0]]})
    settings = package.Settings(source=models.STORIES)
    package.build(
        "lengths:answer",
        name="lengths",
        version="1",
        output=path,
        example=example,
        settings=settings,
    )
    return path


def test_complaint_01_one_bad_row_fails_everybody(hazard: Path, tmp_path: Path) -> None:
    """One client's bad row, or bad JSON, fails all that share its batch."""
    bad = 21
    with hazards(hazard, tmp_path) as served, held(served, tmp_path) as hold:
        rows = [rows_that.RAISES if number == bad else number for number in range(32)]
        others = [hold.predict({"value": row}) for row in rows]
        malformed = served.ask("POST", "/predict", b'{"features": [1, 2')
        assert (malformed.status, malformed.code) == (400, "malformed_json")
        hold.wait_for_rows(32)
        hold.open()
        replies = [other.result(DEADLINE_S) for other in others]
    assert calls(tmp_path)[1][1] == 32, "they shared a micro-batch"
    assert (replies[bad].status, replies[bad].code) == (500, "model_failed")
    for number, reply in enumerate(replies):
        assert number == bad or reply.json() == {"prediction": [2.0 * number]}


def test_complaint_02_batching_does_nothing_and_nobody_says_why(
    hazard: Path, tmp_path: Path
) -> None:
    """Batches stay at one row, mostly with clients that wait for each answer, without a reason."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path) as hold:
            others = [hold.predict({"value": float(number)}) for number in range(16)]
            hold.wait_for_rows(16)
            hold.open()
            assert {other.result(DEADLINE_S).status for other in others} == {200}
        account = batching(served, "hazard")
        assert account["batch_rows"] == {"1": 1, "16": 1}
        assert sum(account["reasons"].values()) == 2
        latest = account["recent"][-1]
        assert (latest["rows"], latest["requests"]) == (16, 16)
        assert latest["reason"] in account["reasons"]
        assert latest["waited_us"] > 0
        labels = f'model="hazard",version="1",reason="{latest["reason"]}"'
        assert served.counted(f"shoal_batches_total{{{labels}}}") >= 1


def test_complaint_03_variable_shapes_are_not_batched(variable: Path, tmp_path: Path) -> None:
    """Requests of alternating shapes travel one by one: each mismatch closes the batch."""
    arguments = ("--allow-code",)
    with serving(variable, arguments=arguments, SHOAL_NOTES=str(tmp_path)) as served:
        with held(served, tmp_path, {"values": [lengths.WAITS]}) as hold:
            asks = []
            for number in range(12):  # one after the other, so that the shapes alternate
                asks.append(hold.predict({"values": [float(number)] * (2 + number % 2)}))
                hold.wait_for_rows(number + 1)
            hold.open()
            sums = [ask.result(DEADLINE_S).json()["prediction"] for ask in asks]
        assert sums == [[float(number * (2 + number % 2))] for number in range(12)]
        assert batching(served, "lengths")["batch_rows"] == {"1": 1, "6": 2}


def test_complaint_04_requests_larger_than_max_rows_are_refused(
    one: Served, digits: Sealed
) -> None:
    """A request of more rows than a batch may have is an error; every client must cut its own."""
    reply = one.ask("POST", "/predict", {"features": digits.rows * 50})
    assert reply.json() == {"prediction": digits.labels * 50}
    account = batching(one, "digits")
    most = account["limits"]["max_rows"]
    assert max(int(rows) for rows in account["batch_rows"]) <= most <= BATCH_ROWS
    assert len(digits.rows * 50) > BATCH_ROWS


def test_complaint_05_size_counts_requests_not_rows(hazard: Path, tmp_path: Path) -> None:
    """Batches are full by requests, so a few large ones exhaust the memory."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path) as hold:
            asks = [hold.infer(400) for _ in range(3)]
            hold.wait_for_rows(1200)
            hold.open()
            answers = [doubled(ask.result(DEADLINE_S)) for ask in asks]
        account = batching(served, "hazard")
    assert answers == [[2.0 * row for row in range(400)]] * 3
    rows = [each["rows"] for each in account["recent"]]
    assert (sum(rows), max(rows) <= BATCH_ROWS) == (1 + 3 * 400, True), rows
    assert account["limits"]["max_bytes"] >= max(each["bytes"] for each in account["recent"])


def test_complaint_06_cancellation_still_burns_compute_or_wedges(
    hazard: Path, tmp_path: Path
) -> None:
    """The rows of clients that left are computed all the same, or nothing is answered any more."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path) as hold:
            patient = hold.predict({"value": 3.0})
            hold.wait_for_rows(1)
            for _ in range(5):
                hang_up(hold, rows_that.RAISES)
            hold.open()
            assert patient.result(DEADLINE_S).json() == {"prediction": [6.0]}
        assert asked(served, 4.0).json() == {"prediction": [8.0]}
        assert served.counted("shoal_abandoned_total") == 5
    assert [rows for _, rows in calls(tmp_path)] == [1, 1, 1], "nobody's row was run"


def test_complaint_07_batcher_hangs_after_an_exception(hazard: Path, tmp_path: Path) -> None:
    """After the model has raised, good requests wait for ever while the server says it is ready."""
    misdeeds = [rows_that.RAISES, rows_that.ASKS_TO_EXIT, rows_that.EXITS]
    with hazards(hazard, tmp_path) as served, ThreadPoolExecutor(8) as pool:
        for misdeed in misdeeds:
            assert asked(served, misdeed).status == 500
            assert asked(served, 1.0).json() == {"prediction": [2.0]}
        rows = [*range(10), *[rows_that.RAISES] * 10] * 2
        replies = list(pool.map(lambda row: asked(served, row), rows, timeout=DEADLINE_S))
        for row, reply in zip(rows, replies, strict=True):
            assert reply.status == (500 if row < 0 else 200)
        assert asked(served, 1.0).json() == {"prediction": [2.0]}
        assert served.waiting_rows() == 0


def test_complaint_08_queue_timeouts_are_not_honoured(hazard: Path, tmp_path: Path) -> None:
    """A timeout fires when the model is free again, long after its time, or never."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path) as hold:
            late = hold.infer(1, timeout=20_000).result(DEADLINE_S)
            assert (late.status, late.code) == (504, "deadline_exceeded")
            assert not hold.first.done(), "it was told while the model was still busy"
            assert served.waiting_rows() == 0
        assert asked(served, 1.0).status == 200
    assert [rows for _, rows in calls(tmp_path)] == [1, 1], "it was not run either"


def assert_may_come_again(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code)
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.json()["hint"]


def test_complaint_09_overload_has_no_policy_or_the_wrong_code(
    hazard: Path, tmp_path: Path
) -> None:
    """The queue has no end, or a full one is a 500, or a 429 to small requests only."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path) as hold:
            large = hold.infer(QUEUE_ROWS)
            hold.wait_for_rows(QUEUE_ROWS)
            assert_may_come_again(infer(served, 1), 429, "queue_full")
            assert_may_come_again(infer(served, 50_000), 429, "queue_full")
            assert served.waiting_rows() == QUEUE_ROWS
            hold.open()
            assert len(doubled(large.result(DEADLINE_S))) == QUEUE_ROWS
        with held(served, tmp_path) as hold:
            many = hold.infer(100 * BATCH_ROWS)
            hold.wait_for_rows(100 * BATCH_ROWS)
            hopeless = infer(served, 1, timeout=1000)  # microseconds
            assert_may_come_again(hopeless, 503, "deadline_out_of_reach")
            hold.open()
            assert many.result(DEADLINE_S).status == 200


REFUSALS = [
    ("POST", "/predict", b"{", "malformed_json"),
    ("POST", "/predict", {"features": [1.0]}, "wrong_shape"),
    ("POST", "/predict", {"features": ["a"] * 64}, "wrong_dtype"),
    ("POST", "/predict", {"rows": []}, "invalid_request"),
    ("POST", "/v2/models/digits/infer", {"inputs": []}, "missing_column"),
    ("POST", "/v2/models/nobody/infer", {}, "unknown_model"),
    ("POST", "/v2/models/digits/versions/9/infer", {}, "unknown_version"),
    ("GET", "/v2/nothing", None, "unknown_route"),
    ("GET", "/predict", None, "method_not_allowed"),
    ("DELETE", "/v2/models/digits/infer", None, "method_not_allowed"),
    ("POST", "/v2/health/live", {}, "method_not_allowed"),
]


def test_complaint_10_refusals_that_nobody_can_explain(one: Served, digits: Sealed) -> None:
    """An error is a bare number: not what was wrong, nor what to do, and nothing counts it."""
    for method, path, body, code in REFUSALS:
        sample = f'shoal_rejected_total{{reason="{code}"}}'
        before = one.counted(sample)
        refusal = one.ask(method, path, body)
        assert refusal.code == code
        assert len(refusal.json()["error"].split()) >= 3, "it is a sentence"
        assert one.counted(sample) == before + 1, code
        if code == "method_not_allowed":
            assert refusal.headers["allow"] == ("GET" if method == "POST" else "POST")
    with serving(digits.path, arguments=("--max-connections", "5")) as served:
        with ExitStack() as stack:
            for _ in range(5):
                assert_connected(stack.enter_context(connected(served.http)))
            assert_may_come_again(served.ask("GET", "/v2"), 503, "server_busy")
        poll(lambda: served.ask("GET", "/v2").status == 200, "there is room again")


def assert_connected(client: socket.socket) -> None:
    client.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_complaint_10_a_latency_limit_is_a_wait_for_everybody(digits: Sealed) -> None:
    """Whoever raises the limit of the wait for company makes every request wait as long."""
    with serving(digits.path, arguments=("--max-wait-ms", "3600000")) as patient:
        for row, label in zip(digits.rows[:3], digits.labels[:3], strict=True):
            reply = patient.ask("POST", "/predict", {"features": row})
            assert reply.json() == {"prediction": [label]}


def ticket(rows: list[dict[str, Any]], **chosen: Any) -> dict[str, Any]:
    kinds = {"age": "FP32", "fare": "FP32", "class": "BYTES"}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
        for name, kind in kinds.items()
    ]
    return {"inputs": inputs, **chosen}


def test_complaint_11_answers_are_mixed_up(many: Served, tickets: Sealed) -> None:
    """One client gets another's answers, texts are cut wrongly, outputs asked for are ignored."""
    chosen = [{"name": "label"}]

    def ask(number: int) -> None:
        start, count = number % 50, 1 + number % 7
        rows = tickets.rows[start : start + count]
        outputs = {"outputs": chosen} if number % 2 else {}
        question = ticket(rows, id=f"client {number}", **outputs)
        answer = many.ask("POST", "/v2/models/tickets/infer", question).json()
        assert (answer["id"], answer["model_name"]) == (f"client {number}", "tickets")
        names = [column["name"] for column in answer["outputs"]]
        assert (names == ["label"]) == bool(number % 2)
        assert names[0] == "label"
        label = answer["outputs"][0]
        assert (label["shape"], label["datatype"]) == ([count], "BYTES")
        assert label["data"] == tickets.labels[start : start + count]

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(ask, range(320), timeout=DEADLINE_S))) == 320
