"""A server on several threads answers as one on one: each thread has connections of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton

from shoal import serve
from shoal.errors import InvalidRequestError
from tests.end_to_end import models
from tests.end_to_end.driver import asked_meanwhile, poll, serving
from tests.end_to_end.repository_driver import keeping

if TYPE_CHECKING:
    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

THREADS = ("--threads", "3")
CLIENTS = 12


def names(served: Served) -> set[str]:
    """The names of the process's threads."""
    tasks = Path(f"/proc/{served.process.pid}/task").iterdir()
    return {(task / "comm").read_text().strip() for task in tasks}


def grpc_labels(served: Served, rows: list[list[float]]) -> list[int]:
    column = triton.InferInput("X", [len(rows), 64], "FP32")
    column.set_data_from_numpy(np.array(rows, np.float32))
    with triton.InferenceServerClient(served.grpc) as client:
        answer = client.infer("digits", [column]).as_numpy("label")
    assert answer is not None
    return list(answer)


def test_every_connection_is_answered_whatever_thread_it_was_dealt_to(digits: Sealed) -> None:
    with (
        serving(digits.path, arguments=THREADS) as served,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        threads = {"shoal-server", "shoal-server-1", "shoal-server-2"}
        poll(lambda: threads <= names(served), "all threads run")
        bodies = [{"features": row} for row in digits.rows]
        replies = pool.map(lambda body: served.ask("POST", "/predict", body), bodies)
        assert [reply.json()["prediction"] for reply in replies] == [[one] for one in digits.labels]
        asked = pool.map(lambda row: grpc_labels(served, [row]), digits.rows[:CLIENTS])
        assert [label for labels in asked for label in labels] == digits.labels[:CLIENTS]
        model = 'model="digits",version="1"'
        answered = len(digits.rows) + CLIENTS
        assert served.counted(f"shoal_batch_rows_sum{{{model}}}") == answered
        poll(lambda: served.counted("shoal_connections") == 1, "all connections are given back")
        assert served.stop() == 0


def test_models_of_one_queue_are_asked_from_every_thread(tmp_path: Path) -> None:
    crowded = models.story("crowded", tmp_path)
    arguments = ("--allow-code", *THREADS)
    with serving(crowded, arguments=arguments) as served, ThreadPoolExecutor(CLIENTS) as pool:
        bodies = [{"features": {"value": float(number)}} for number in range(5 * CLIENTS)]
        replies = pool.map(lambda body: served.ask("POST", "/predict", body), bodies)
        predictions = [reply.json()["prediction"] for reply in replies]
        assert predictions == [[2.0 * number] for number in range(5 * CLIENTS)]
        assert served.stop() == 0


def test_versions_change_on_all_threads_while_everybody_is_answered(
    places: Path, digits: Sealed, tmp_path: Path
) -> None:
    body = {"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP32", "data": digits.rows[0]}]}
    one, two = models.tree(places, "1"), models.tree(places, "2")
    with keeping(tmp_path, one, arguments=THREADS) as kept:

        def ask_once() -> int:
            return kept.served.ask("POST", "/v2/models/digits/infer", body).status

        with asked_meanwhile(ask_once, 200):
            kept.put(two)
            assert kept.load("digits").status == 200
            assert kept.unload("digits", "1").status == 200
        assert {kept.answering(digits.rows[0]) for _ in range(CLIENTS)} == {"2"}
        assert kept.served.stop() == 0


def test_a_number_of_threads_that_makes_no_sense_is_refused(digits: Sealed) -> None:
    for threads in (0, 257):
        with (
            pytest.raises(InvalidRequestError, match=f"threads is {threads}, expected 1 to 256"),
            serve.start(digits.path, options=serve.Options(threads=threads)),
        ):
            pass
