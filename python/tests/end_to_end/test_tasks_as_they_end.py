"""Answers line by line: each as soon as it is known, and what happens when somebody leaves."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, IncompleteRead
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.envelopes import (
    ARROW,
    LINES,
    PATH,
    Gated,
    code,
    data,
    gated_server,
    run,
    task,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse
    from pathlib import Path

    from tests.end_to_end.driver import Served

TASKS = [
    task("gated", values(1), id="slow"),
    task("fragile", values(2), id="quick"),
    task("fragile", values(-1), id="bad"),
    task("nobody", values(1), id="unknown"),
]


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


@pytest.fixture
def mortal(gated: Path, fragile: Path, tmp_path: Path) -> Iterator[Gated]:
    """The same, for a test that ends its server."""
    with gated_server(gated, fragile, tmp_path) as server:
        yield server


@contextmanager
def lines_of(served: Served, *tasks: dict[str, Any], **fields: Any) -> Iterator[HTTPResponse]:
    """The answer to an envelope while it comes."""
    connection = HTTPConnection(served.http, timeout=DEADLINE_S)
    body = json.dumps({"tasks": tasks, **fields})
    connection.request("POST", PATH, body, {"Accept": LINES})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def line(response: HTTPResponse) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(response.readline())
    return read


def test_each_task_is_answered_as_soon_as_it_is_known(gate: Gated) -> None:
    with lines_of(gate.served, *TASKS) as response:
        assert response.getheader("content-type") == LINES
        first = {each["id"]: each for each in (line(response) for _ in range(3))}
        assert set(first) == {"quick", "bad", "unknown"}
        assert data(first["quick"], "double") == [4.0]
        assert (code(first["bad"]), code(first["unknown"])) == ("model_failed", "unknown_model")
        gate.open()
        assert data(line(response), "double") == [2.0]
        assert response.readline() == b""


def test_the_last_line_is_the_merge(gate: Gated) -> None:
    gate.open()
    with lines_of(gate.served, *TASKS, merge={"by": "sum"}) as response:
        *results, last = [json.loads(each) for each in response]
    assert {result["id"] for result in results} == {each["id"] for each in TASKS}
    assert not any("table" in result for result in results)
    assert set(last["merged"]["left_out"]) == {"bad", "unknown"}
    assert last["merged"]["table"]["columns"][0]["data"] == [6.0]


def test_a_budget_ends_a_line_and_not_the_answer(gate: Gated) -> None:
    late = task("gated", values(3), id="late", timeout_us=100_000)
    with lines_of(gate.served, *TASKS[:1], late) as response:
        assert code(line(response)) == "deadline_exceeded"
        gate.open()
        assert data(line(response), "double") == [2.0]


def test_connections_go_on_after_lines(gate: Gated) -> None:
    gate.open()
    connection = HTTPConnection(gate.served.http, timeout=DEADLINE_S)
    for accept in (LINES, "application/json", LINES):
        connection.request("POST", PATH, json.dumps({"tasks": TASKS}), {"Accept": accept})
        assert connection.getresponse().read().count(b'"id"') == len(TASKS)
    # The connection is the same all the time, beside the one that asks.
    assert gate.served.counted("shoal_connections") == 2.0
    connection.close()


def test_lines_are_not_cut_off_by_the_patience_with_idle_connections(
    gated: Path, tmp_path: Path
) -> None:
    dropped = 'shoal_connections_dropped_total{reason="idle_timeout"}'
    arguments = ("--allow-code", "--idle-timeout-ms", "100")
    tasks = (task("gated", values(1)), task("nobody", values(1)))
    with (
        serving(gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as served,
        lines_of(served, *tasks) as response,
    ):
        assert code(line(response)) == "unknown_model"
        before = served.counted(dropped)
        host, port = served.http.split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as idle:
            assert idle.recv(1) == b"", "an idle connection is given up"
        (tmp_path / "open").touch()
        assert data(line(response), "double") == [2.0]
        assert served.counted(dropped) == before + 1


@pytest.mark.parametrize("accept", [LINES, "application/json", ARROW])
def test_tasks_of_a_client_that_leaves_are_not_run(gate: Gated, accept: str) -> None:
    served = gate.served
    before = served.counted("shoal_abandoned_total")
    tasks = [task("gated", values(number)) for number in range(50)]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, served, task("gated", values(1)))
        gate.until_reached()
        connection = HTTPConnection(served.http, timeout=DEADLINE_S)
        connection.request("POST", PATH, json.dumps({"tasks": tasks}), {"Accept": accept})
        gate.until_waiting(50)
        connection.close()
        gate.until_waiting(0)
        poll(lambda: served.counted("shoal_abandoned_total") == before + 1, "it is counted")
        assert served.counted("shoal_bodies_bytes") > 0, "the first one is still there"
        gate.open()
        assert data(first.result(DEADLINE_S)[0], "double") == [2.0]
    poll(lambda: served.counted("shoal_bodies_bytes") == 0, "nothing is held")


def test_a_server_that_ends_answers_what_it_has_accepted(mortal: Gated) -> None:
    with lines_of(mortal.served, *TASKS) as response:
        first = [line(response) for _ in range(3)]
        mortal.served.process.send_signal(signal.SIGTERM)
        mortal.open()
        assert data(line(response), "double") == [2.0]
        assert response.read() == b""
    assert len(first) == 3
    assert mortal.served.process.wait(DEADLINE_S) == 0


def test_a_server_that_is_gone_leaves_an_answer_without_an_end(mortal: Gated) -> None:
    with lines_of(mortal.served, *TASKS) as response:
        known = [line(response) for _ in range(3)]
        mortal.served.process.kill()
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            response.read()
    assert "slow" not in {each["id"] for each in known}
    mortal.served.process.wait(DEADLINE_S)
