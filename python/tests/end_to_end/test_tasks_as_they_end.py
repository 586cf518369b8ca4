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
from tests.end_to_end.envelopes import ARROW, LINES, PATH, code, data, run, task, values

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


@pytest.fixture
def served(gated: Path, fragile: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of a model that waits for a file, and of one that does not."""
    with serving(gated, fragile, arguments=("--allow-code",), SHOAL_GATE=str(tmp_path)) as server:
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


def test_each_task_is_answered_as_soon_as_it_is_known(served: Served, tmp_path: Path) -> None:
    with lines_of(served, *TASKS) as response:
        assert response.getheader("content-type") == LINES
        first = {each["id"]: each for each in (line(response) for _ in range(3))}
        assert set(first) == {"quick", "bad", "unknown"}
        assert data(first["quick"], "double") == [4.0]
        assert (code(first["bad"]), code(first["unknown"])) == ("model_failed", "unknown_model")
        (tmp_path / "open").touch()
        assert data(line(response), "double") == [2.0]
        assert response.readline() == b""


def test_the_last_line_is_the_merge(served: Served, tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    with lines_of(served, *TASKS, merge={"by": "sum"}) as response:
        *results, last = [json.loads(each) for each in response]
    assert {result["id"] for result in results} == {each["id"] for each in TASKS}
    assert not any("table" in result for result in results)
    assert set(last["merged"]["left_out"]) == {"bad", "unknown"}
    assert last["merged"]["table"]["columns"][0]["data"] == [6.0]


def test_a_budget_ends_a_line_and_not_the_answer(served: Served, tmp_path: Path) -> None:
    late = task("gated", values(3), id="late", timeout_us=100_000)
    with lines_of(served, *TASKS[:1], late) as response:
        assert code(line(response)) == "deadline_exceeded"
        (tmp_path / "open").touch()
        assert data(line(response), "double") == [2.0]


def test_connections_go_on_after_lines(served: Served, tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    connection = HTTPConnection(served.http, timeout=DEADLINE_S)
    for accept in (LINES, "application/json", LINES):
        connection.request("POST", PATH, json.dumps({"tasks": TASKS}), {"Accept": accept})
        assert connection.getresponse().read().count(b'"id"') == len(TASKS)
    connection.close()
    assert served.counted("shoal_connections") == 1.0  # the one that asks


def test_lines_are_not_cut_off_by_the_patience_of_an_idle_connection(
    gated: Path, tmp_path: Path
) -> None:
    arguments = ("--allow-code", "--idle-timeout-ms", "100")
    with (
        serving(gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as server,
        lines_of(
            server, task("gated", values(1), id="slow"), task("nobody", values(1))
        ) as response,
    ):
        assert code(line(response)) == "unknown_model"
        before = server.counted('shoal_connections_dropped_total{reason="idle_timeout"}')
        with socket.create_connection(server.http.split(":"), timeout=DEADLINE_S) as idle:  # type: ignore[arg-type]  # text is taken for a port
            assert idle.recv(1) == b"", "an idle connection is given up after its patience"
        (tmp_path / "open").touch()
        assert data(line(response), "double") == [2.0]
        dropped = server.counted('shoal_connections_dropped_total{reason="idle_timeout"}')
        assert dropped == before + 1


@pytest.mark.parametrize("accept", [LINES, "application/json", ARROW])
def test_tasks_of_a_client_that_leaves_are_not_run(
    served: Served, tmp_path: Path, accept: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, served, task("gated", values(1)))
        poll((tmp_path / "reached").exists, "the model was reached")
        connection = HTTPConnection(served.http, timeout=DEADLINE_S)
        tasks = [task("gated", values(number)) for number in range(50)]
        connection.request("POST", PATH, json.dumps({"tasks": tasks}), {"Accept": accept})
        waiting = 'shoal_queue_rows{model="gated",version="1"}'
        poll(lambda: served.counted(waiting) == 50, "all wait for the model")
        connection.close()
        poll(lambda: served.counted(waiting) == 0, "none is run any more")
        poll(lambda: served.counted("shoal_abandoned_total") == 1, "one that left is counted")
        poll(lambda: served.counted("shoal_bodies_bytes") > 0, "the other one is still there")
        (tmp_path / "open").touch()
        assert data(first.result(DEADLINE_S)[0], "double") == [2.0]
    poll(lambda: served.counted("shoal_bodies_bytes") == 0, "nothing is held")


def test_a_server_that_ends_answers_what_it_has_accepted(served: Served, tmp_path: Path) -> None:
    with lines_of(served, *TASKS) as response:
        first = [line(response) for _ in range(3)]
        served.process.send_signal(signal.SIGTERM)
        (tmp_path / "open").touch()
        assert data(line(response), "double") == [2.0]
        assert response.read() == b""
    assert len(first) == 3
    assert served.process.wait(DEADLINE_S) == 0


def test_a_server_that_is_gone_leaves_an_answer_without_an_end(served: Served) -> None:
    with lines_of(served, *TASKS) as response:
        known = [line(response) for _ in range(3)]
        served.process.kill()
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            response.read()
    assert "slow" not in {each["id"] for each in known}
    served.process.wait(DEADLINE_S)
