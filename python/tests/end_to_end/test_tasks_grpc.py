"""Many tasks over gRPC, by grpcio: `shoal.v1.Tasks/Run` and `/Stream`."""

from __future__ import annotations

import json
import queue
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest

from shoal import serve
from shoal.client._wire._messages import message
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.envelopes import Gated, gated_server
from tests.end_to_end.http2 import LARGEST_WINDOW, Speaker
from tests.end_to_end.test_slow_clients import TIMEOUT_MS, dropped, patient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served

IN_FLIGHT = 256


def numbers(*values: float) -> Any:
    """A table for the models of `stories`: one column `value`."""
    column = message("Column")(
        name="value", dtype="FP64", values=struct.pack(f"<{len(values)}d", *values)
    )
    return message("Table")(rows=len(values), columns=[column])


def task(id: str, model: str, *values: float, **fields: Any) -> Any:  # noqa: A002 - its name there
    """A task with a table of its own, unless it refers to a shared one."""
    given = fields if "shared" in fields else {"table": numbers(*values), **fields}
    return message("Task")(id=id, model=model, **given)


def envelope(*tasks: Any, **fields: Any) -> Any:
    return message("RunRequest")(tasks=tasks, **fields)


def doubles(result: Any) -> list[float]:
    """The values of the only column of a result that is an answer."""
    assert result.WhichOneof("outcome") == "table", result
    (column,) = result.table.columns
    return list(struct.unpack(f"<{result.table.rows}d", column.values))


def code(result: Any) -> str:
    return str(result.error.code)


def shoal_code(error: grpc.RpcError) -> str:
    """The code of a status."""
    metadata = dict(error.trailing_metadata() or ())
    return str(metadata.get("shoal-code") or dict(error.initial_metadata() or ())["shoal-code"])


class Flow:
    """One stream: what is said is sent, and answers are taken one by one."""

    def __init__(self, channel: grpc.Channel, **options: Any) -> None:
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stream = channel.stream_stream(
            "/shoal.v1.Tasks/Stream",
            request_serializer=message("StreamRequest").SerializeToString,
            response_deserializer=message("TaskResult").FromString,
        )
        self.call = stream(iter(self._said.get, None), timeout=DEADLINE_S, **options)

    def say(self, *tasks: Any) -> Self:
        for each in tasks:
            self._said.put(message("StreamRequest")(task=each))
        return self

    def share(self, name: str, table: Any) -> Self:
        shared = message("SharedTable")(name=name, table=table)
        self._said.put(message("StreamRequest")(table=shared))
        return self

    def end(self) -> Self:
        self._said.put(None)
        return self

    def take(self, count: int) -> dict[str, Any]:
        """The next results, by their ids."""
        return {result.id: result for result in (next(self.call) for _ in range(count))}

    def refusal(self) -> str:
        """The code with which it ends, once nothing is answered any more."""
        with pytest.raises(grpc.RpcError) as refused:
            for _ in self.call:
                pass
        return shoal_code(refused.value)


@contextmanager
def connected(served: Served) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(served.grpc, options) as channel:
        yield channel


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


@pytest.fixture(scope="module")
def channel(gate_keeper: Gated) -> Iterator[grpc.Channel]:
    with connected(gate_keeper.served) as channel:
        yield channel


@pytest.fixture(scope="module")
def run(channel: grpc.Channel) -> Any:
    return running(channel)


def running(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/shoal.v1.Tasks/Run",
        request_serializer=message("RunRequest").SerializeToString,
        response_deserializer=message("RunResponse").FromString,
    )


def test_an_envelope_is_answered_in_its_order(run: Any) -> None:
    shared = message("SharedTable")(name="some", table=numbers(5, 6))
    tasks = [
        task("a", "fragile", 1, 2),
        task("", "fragile", shared="some"),
        task("c", "fragile", 1, version="9"),
        task("d", "fragile", shared="none"),
        task("e", "fragile", -1),
    ]
    answer = run(envelope(*tasks, tables=[shared]))
    assert [result.id for result in answer.results] == ["a", "1", "c", "d", "e"]
    assert [doubles(result) for result in answer.results[:2]] == [[2, 4], [10, 12]]
    first = answer.results[0]
    assert (first.model, first.version, first.batch_rows > 0) == ("fragile", "1", True)
    assert [code(result) for result in answer.results[2:]] == [
        "unknown_version",
        "unknown_table",
        "model_failed",
    ]


def test_results_are_merged(run: Any) -> None:
    merge = message("Merge")(by="mean")
    weighted = [task("a", "fragile", 1, 2), task("b", "fragile", 6, weight=2)]
    answer = run(envelope(*weighted, task("c", "nobody", 1), merge=merge))
    assert not any(result.HasField("table") for result in answer.results)
    assert list(answer.merged.left_out) == ["c"]
    (column,) = answer.merged.table.columns
    assert struct.unpack("<d", column.values) == ((2 + 4 + 12 * 2) / 4,)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (envelope(), ("INVALID_ARGUMENT", "invalid_request")),
        (
            envelope(task("a", "fragile", 1), task("a", "fragile", 1)),
            ("INVALID_ARGUMENT", "duplicate_task"),
        ),
        (
            envelope(*[task("", "fragile")] * 10_001),
            ("RESOURCE_EXHAUSTED", "too_many_tasks"),
        ),
        (
            envelope(task("a", "fragile", 1), merge=message("Merge")(by="median")),
            ("INVALID_ARGUMENT", "invalid_request"),
        ),
    ],
)
def test_an_envelope_that_is_none_is_a_status(
    run: Any, request_: Any, expected: tuple[str, str]
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        run(request_)
    assert (refused.value.code().name, shoal_code(refused.value)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xff\xff", ("INVALID_ARGUMENT", "invalid_protobuf")),
        # Two bytes are a shared table: millions of them would be gigabytes of messages.
        (b"\x0a\x00" * (16 << 20), ("RESOURCE_EXHAUSTED", "body_too_large")),
        (b"\x00" * ((64 << 20) + 1), ("RESOURCE_EXHAUSTED", "body_too_large")),
    ],
)
def test_bytes_that_are_no_message_are_refused(
    channel: grpc.Channel, body: bytes, expected: tuple[str, str]
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/shoal.v1.Tasks/Run")(body)
    assert (refused.value.code().name, shoal_code(refused.value)) == expected
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/shoal.v1.Tasks/Walk")(b"")
    assert (refused.value.code().name, shoal_code(refused.value)) == (
        "UNIMPLEMENTED",
        "unknown_route",
    )


def test_the_timeout_of_a_call_is_the_budget_of_its_tasks(gate: Gated, run: Any) -> None:
    answer = run(envelope(task("late", "gated", 1), task("done", "fragile", 2)), timeout=1.0)
    late, done = answer.results
    assert (code(late), doubles(done)) == ("deadline_exceeded", [4])
    gate.open()
    assert doubles(run(envelope(task("a", "gated", 3))).results[0]) == [6]


def test_a_client_that_cancels_gives_its_tasks_up(gate: Gated, run: Any) -> None:
    running = run.future(envelope(task("a", "gated", 1)))
    gate.until_reached()
    waiting = run.future(envelope(*[task(str(each), "gated", each) for each in range(9)]))
    gate.until_waiting(9)
    waiting.cancel()
    gate.until_waiting(0)
    gate.open()
    assert doubles(running.result(DEADLINE_S).results[0]) == [2]


def test_answers_of_a_stream_come_as_they_are_ready(gate: Gated, channel: grpc.Channel) -> None:
    flow = Flow(channel).say(task("slow", "gated", 1), task("quick", "fragile", 2))
    assert doubles(flow.take(1)["quick"]) == [4]
    flow.say(task("bad", "nobody", 1), task("quick", "fragile", 3))
    answers = flow.take(2)
    assert (code(answers["bad"]), doubles(answers["quick"])) == ("unknown_model", [6])
    gate.open()
    assert doubles(flow.take(1)["slow"]) == [2]
    assert list(flow.end().call) == []


def test_tasks_of_a_stream_share_micro_batches(gate: Gated, channel: grpc.Channel) -> None:
    flow = Flow(channel).say(task("first", "gated", 1))
    gate.until_reached()
    flow.say(*[task(str(each), "gated", each) for each in range(40)])
    gate.until_waiting(40)
    gate.open()
    answers = flow.end().take(41)
    assert {answers[str(each)].batch_rows for each in range(40)} == {40}
    assert [doubles(answers[str(each)]) for each in range(40)] == [[2 * each] for each in range(40)]


def test_a_shared_table_holds_until_another_takes_its_place(channel: grpc.Channel) -> None:
    flow = Flow(channel).share("some", numbers(1))
    flow.say(task("a", "fragile", shared="some"), task("b", "fragile", shared="some"))
    assert [doubles(result) for result in flow.take(2).values()] == [[2], [2]]
    flow.share("some", numbers(4)).say(task("c", "fragile", shared="some"))
    assert doubles(flow.take(1)["c"]) == [8]
    wrong = message("Column")(name="value", dtype="FP64", values=b"short")
    flow.share("some", message("Table")(rows=1, columns=[wrong]))
    flow.say(task("d", "fragile", shared="some"), task("e", "fragile", shared="none"))
    answers = flow.take(2)
    assert code(answers["d"]) in {"invalid_protobuf", "wrong_shape"}
    assert code(answers["e"]) == "unknown_table"
    flow.call.cancel()


def test_a_stream_is_not_read_while_it_has_as_many_tasks_as_it_may(
    gate: Gated, channel: grpc.Channel
) -> None:
    flow = Flow(channel).say(*[task(str(each), "gated", 1) for each in range(2 * IN_FLIGHT)])
    gate.until_reached()
    sample = 'shoal_queue_rows{model="gated",version="1"}'
    beside = Flow(channel).say(task("beside", "fragile", 1))
    assert doubles(beside.end().take(1)["beside"]) == [2]  # the server reads on, elsewhere
    assert gate.served.counted(sample) < IN_FLIGHT
    gate.open()
    answers = flow.end().take(2 * IN_FLIGHT)
    assert len(answers) == 2 * IN_FLIGHT
    assert max(result.batch_rows for result in answers.values()) <= IN_FLIGHT


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (task("", "fragile", 1), "invalid_request"),
        (task("a" * 257, "fragile", 1), "invalid_request"),
        (task("first", "gated", 1), "duplicate_task"),
        (message("Task")(id="x", model="fragile"), "invalid_request"),
        (task("x", "fragile", 1, priority=256), "invalid_request"),
    ],
)
def test_what_would_refuse_an_envelope_ends_the_stream_after_the_tasks_before(
    gate: Gated, channel: grpc.Channel, said: Any, expected: str
) -> None:
    sample = f'shoal_rejected_total{{reason="{expected}"}}'
    before = gate.served.counted(sample)
    flow = Flow(channel).say(task("first", "gated", 1), said, task("behind", "fragile", 1))
    poll(lambda: gate.served.counted(sample) == before + 1, "it is refused")
    gate.open()
    assert doubles(flow.take(1)["first"]) == [2]
    assert flow.refusal() == expected


def test_shared_tables_of_a_stream_have_a_limit(channel: grpc.Channel) -> None:
    wide = message("Column")(name="wide", dtype="FP64", shape=[5 << 20], values=bytes(40 << 20))
    large = message("Table")(rows=1, columns=[wide])
    flow = Flow(channel).share("one", large).share("one", large)
    flow.say(task("a", "fragile", 1))
    assert doubles(flow.take(1)["a"]) == [2]
    flow.share("two", large)
    assert flow.refusal() == "body_too_large"


def test_a_stream_holds_what_is_in_flight_and_no_more(
    fragile: Path, gated: Path, tmp_path: Path
) -> None:
    limit = ("--bodies-in-flight-limit-bytes", str(1 << 18), "--body-limit-bytes", str(1 << 18))
    many = [0.5] * 9_000  # a quarter of the limit, and more
    arguments = ("--allow-code", *limit)
    with (
        serving(fragile, gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as served,
        connected(served) as channel,
    ):

        def own(flow: Flow, number: int, model: str) -> Flow:
            return flow.say(task(str(number), model, *many))

        def shared(flow: Flow, number: int, model: str) -> Flow:
            return flow.share("some", numbers(*many)).say(task(str(number), model, shared="some"))

        def refused(times: int) -> bool:
            return served.counted('shoal_rejected_total{reason="server_busy"}') == times

        for times, said in enumerate((own, shared), start=1):
            (tmp_path / "open").unlink(missing_ok=True)
            flow = Flow(channel)
            for number in range(12):  # more than the limit, one after the other
                answers = said(flow, number, "fragile").take(1)
                assert len(doubles(answers[str(number)])) == len(many)
            for number in range(9):
                said(flow, number, "gated")
            poll(partial(refused, times), "there is no room for more")
            (tmp_path / "open").touch()
            assert flow.refusal() == "server_busy"
            poll(lambda: served.counted("shoal_bodies_bytes") == 0, "nothing is held")


def test_a_stream_may_be_silent_between_messages_and_not_within_one(fragile: Path) -> None:
    arguments = ("--allow-code", *patient(body=TIMEOUT_MS))
    with serving(fragile, arguments=arguments) as served, connected(served) as channel:
        silent = Flow(channel).say(task("a", "fragile", 1))
        silent.take(1)
        asked = message("StreamRequest")(task=task("a", "fragile", 1)).SerializeToString()
        with Speaker(served.grpc, window=LARGEST_WINDOW) as client:
            client.ask(1, "/shoal.v1.Tasks/Stream", asked, sent=20)
            poll(lambda: dropped(served, "body") == 1, "half a message was given up")
        assert doubles(silent.say(task("b", "fragile", 2)).take(1)["b"]) == [4]
        silent.call.cancel()


def test_a_client_that_leaves_a_stream_gives_its_tasks_up(
    gate: Gated, channel: grpc.Channel
) -> None:
    held = Flow(channel).say(task("held", "gated", 1))
    gate.until_reached()
    flow = Flow(channel).say(*[task(str(each), "gated", each) for each in range(9)])
    gate.until_waiting(9)
    flow.call.cancel()
    gate.until_waiting(0)
    gate.open()
    assert doubles(held.end().take(1)["held"]) == [2]


def test_keys_of_idempotency_hold_over_both_doors(channel: grpc.Channel, gate: Gated) -> None:
    asked = task("a", "fragile", 3, idempotency_key="grpc-and-http")
    assert doubles(Flow(channel).say(asked).end().take(1)["a"]) == [6]
    column = {"name": "value", "dtype": "FP64", "data": [4]}
    other = {"model": "fragile", "table": {"columns": [column]}, "idempotency_key": "grpc-and-http"}
    reply = gate.served.ask("POST", "/v1/tasks", {"tasks": [other]}).json()
    assert reply["results"][0]["error"]["code"] == "idempotency_conflict"


def test_without_its_key_no_call_is_let_in(fragile: Path, tmp_path: Path) -> None:
    key = serve.new_key("ann")
    (tmp_path / "keys").write_text(f"{key.line}\n", encoding="ascii")
    arguments = ("--allow-code", "--api-keys", str(tmp_path / "keys"))
    with serving(fragile, arguments=arguments) as served, connected(served) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            running(channel)(envelope(task("a", "fragile", 1)))
        assert shoal_code(refused.value) == "unauthorized"
        assert Flow(channel).refusal() == "unauthorized"
        metadata = (("authorization", f"Bearer {key.secret}"),)
        answer = running(channel)(envelope(task("a", "fragile", 1)), metadata=metadata)
        assert doubles(answer.results[0]) == [2]
        flow = Flow(channel, metadata=metadata).say(task("b", "fragile", 2)).end()
        assert doubles(flow.take(1)["b"]) == [4]


def test_a_server_that_ends_answers_what_it_took(
    gated: Path, fragile: Path, tmp_path: Path
) -> None:
    with (
        gated_server(gated, fragile, tmp_path) as server,
        connected(server.served) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"\x0a\x0eshoal.v1.Tasks") == b"\x08\x01"  # it is serving
        flow, silent = Flow(channel).say(task("a", "gated", 1)), Flow(channel)
        silent.say(task("b", "fragile", 1)).take(1)
        server.until_reached()
        server.served.process.send_signal(signal.SIGTERM)
        assert silent.refusal() == "shutting_down"
        ended = pool.submit(server.served.process.wait, DEADLINE_S)
        server.open()
        assert doubles(flow.take(1)["a"]) == [2]
        assert flow.refusal() == "shutting_down"
        assert ended.result(DEADLINE_S) == 0


def test_both_doors_say_the_same(gate: Gated, run: Any) -> None:
    answer = run(envelope(task("a", "fragile", 1, 2), task("b", "nobody", 1)))
    column = {"name": "value", "dtype": "FP64", "data": [1, 2]}
    tasks = [
        {"id": "a", "model": "fragile", "table": {"columns": [column]}},
        {"id": "b", "model": "nobody", "table": {"columns": [column]}},
    ]
    told = gate.served.ask("POST", "/v1/tasks", {"tasks": tasks}).json()["results"]
    assert doubles(answer.results[0]) == told[0]["table"]["columns"][0]["data"]
    assert answer.results[1].error.error == told[1]["error"]["error"]
    assert json.dumps(told[1]["error"]["code"]) == '"unknown_model"'
