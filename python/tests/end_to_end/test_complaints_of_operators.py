"""What those who run model servers complain about most, and that none of it is true here.

The numbers are those of `test_complaints.py`: 12 to 20. A docstring says what people meet
elsewhere, the test what they meet here.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shoal import package, serve
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, SHOAL, asked_meanwhile, poll, serving
from tests.end_to_end.hold_driver import asked, batching, calls, hazards, held
from tests.end_to_end.repository_driver import keeping
from tests.end_to_end.stories.crowded import CHEAP_ROWS
from tests.end_to_end.test_drain import refuses
from tests.end_to_end.test_repository import children, resident_bytes, threads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

MIB = 2**20
READY = "/v2/models/hazard/ready"
RESTARTS = 'shoal_worker_restarts_total{model="hazard",version="1"}'


@pytest.fixture(scope="module")
def hazard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.story("hazard", tmp_path_factory.mktemp("hazard"))


def onnx_package(
    path: Path, nodes: list[Any], *, width: str | int, constants: dict[str, Any]
) -> Path:
    """A package of an ONNX graph from the input `X`, rows of `width` numbers, to one number `Y`."""
    graph = helper.make_graph(
        nodes,
        path.name,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(numbers, name) for name, numbers in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    package.build(model, name=path.name, version="1", output=path)
    return path


def question(rows: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[bytes, dict[str, str]]:
    """The body and the header that send rows of `X` as a binary tensor."""
    raw = rows.tobytes()
    size = {"binary_data_size": len(raw)}
    column = {"name": "X", "shape": rows.shape, "datatype": "FP32", "parameters": size}
    head = json.dumps({"inputs": [column]}).encode()
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


def test_complaint_12_tuning_is_guess_work(tmp_path: Path) -> None:
    """The best size is found by trial, and a model that is slower in company gets slower still."""
    crowded = models.story("crowded", tmp_path)
    with serving(crowded, arguments=("--allow-code",)) as served:

        def micro_batches_of(count: int) -> int:
            """How many a request of so many rows is cut into."""
            before = sum(batching(served, "crowded")["batch_rows"].values())
            rows = [float(number) for number in range(count)]
            column = {"name": "value", "shape": [count], "datatype": "FP64", "data": rows}
            reply = served.ask("POST", "/v2/models/crowded/infer", {"inputs": [column]})
            assert reply.json()["outputs"][0]["data"] == [2.0 * row for row in rows]
            return int(sum(batching(served, "crowded")["batch_rows"].values()) - before)

        # It learns while it is busy, and noise may teach it wrong for a while.
        poll(lambda: micro_batches_of(400) >= 400 / (2 * CHEAP_ROWS), "many rows are cut to size")
        poll(lambda: micro_batches_of(40) >= 40 / (2 * CHEAP_ROWS), "one call could take all")
        assert "best_size" in batching(served, "crowded")["reasons"]


def test_complaint_13_metrics_are_missing(one: Served, digits: Sealed) -> None:
    """No percentile can be derived, nor the length of the queue or the size of batches."""

    def samples() -> dict[str, float]:
        text = one.ask("GET", "/metrics").body.decode()
        families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # untyped there
        return {
            f"{sample.name} {sample.labels.get('le', '')}".strip(): sample.value
            for family in families
            for sample in family.samples
        }

    before = samples()
    for number in range(100):
        one.ask("POST", "/predict", {"features": digits.rows[: 1 + number % 4]})
    after = samples()
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    assert grown["shoal_request_seconds_count"] == 100
    assert grown["shoal_batch_rows_sum"] == 250
    assert grown["shoal_batch_seconds_count"] == grown["shoal_batch_rows_count"]
    assert {"shoal_queue_rows", "shoal_queue_bytes", "shoal_connections"} <= after.keys()
    buckets = {
        float(name.split()[1]): count
        for name, count in grown.items()
        if name.startswith("shoal_request_seconds_bucket ")
    }
    p99_s = min(bound for bound, count in buckets.items() if count >= 99)
    assert buckets[math.inf] == 100
    assert 0 < p99_s < math.inf


def test_complaint_14_memory_grows(tmp_path: Path) -> None:
    """Each new shape leaves something behind, and after some days the server is killed."""
    node = helper.make_node("ReduceSum", ["X", "axis"], ["Y"], keepdims=0)
    constants = {"axis": np.array([1])}
    sums = onnx_package(tmp_path / "sums", [node], width="L", constants=constants)
    with serving(sums) as served:

        def ask_many(client: int) -> None:
            connection = HTTPConnection(served.http, timeout=DEADLINE_S)
            for number in range(300):
                length = 1 + (number * 37 + client * 101) % 997
                body, headers = question(np.ones((1 + number % 3, length), np.float32))
                connection.request("POST", "/v2/models/sums/infer", body, headers)
                answer = json.loads(connection.getresponse().read())
                assert answer["outputs"][0]["data"] == [length] * (1 + number % 3)
                connection.request("POST", f"/v2/models/unknown{number}/infer", b"{}")
                assert b"unknown_model" in connection.getresponse().read()
            connection.close()

        def resident_after_all() -> int:
            with ThreadPoolExecutor(4) as pool:
                assert len(list(pool.map(ask_many, range(4)))) == 4
            return resident_bytes(served.process)

        settled = resident_after_all()
        assert resident_after_all() < settled + 16 * MIB


def test_complaint_15_reloading_hurts_live_traffic(digits: Sealed, tmp_path: Path) -> None:
    """While a version is loaded or replaced, requests fail or nobody answers."""
    first, second = (models.tree(tmp_path, version) for version in ("1", "2"))
    with keeping(tmp_path, first) as kept:

        def ask_once() -> int:
            return kept.served.ask("POST", "/predict", {"features": digits.rows[0]}).status

        with asked_meanwhile(ask_once, 200):
            kept.put(second)
            for _ in range(5):
                assert kept.load("digits", "2").json() == {"serving": ["1", "2"]}
                assert kept.answering(digits.rows[0]) == "2"
                assert kept.unload("digits", "2").json() == {"unloaded": ["2"]}
        text = kept.served.ask("GET", "/metrics").body.decode()
    assert "shoal_rejected_total{" not in text


def test_complaint_16_readiness_lies(digits: Sealed, hazard: Path, tmp_path: Path) -> None:
    """A server says it is ready before its model is, and the first requests pay for warming up."""
    with serving(digits.path) as served:
        assert served.ask("GET", "/v2/health/ready").json() == {"ready": True}
        served.ask("POST", "/predict", {"features": digits.rows[0]})
        (first,) = batching(served, "digits")["recent"]
        assert first["predicted_us"] is not None, "micro-batches were run before the first request"
    with hazards(hazard, tmp_path) as served:
        assert served.counted('shoal_workers{model="hazard",version="1"}') == 1
        with held(served, tmp_path):
            served.process.send_signal(signal.SIGTERM)
            poll(lambda: refuses(served), "it drains, and says so")
        assert served.process.wait(DEADLINE_S) == 0


def test_complaint_16_no_ready_line_before_the_model_is_open(hazard: Path, tmp_path: Path) -> None:
    """The address answers, and every request is told that the model is not there yet."""
    (tmp_path / "slow").touch()
    command = [*SHOAL, "serve", str(hazard), "--allow-code", "--http", "127.0.0.1:0"]
    command += ["--grpc", "127.0.0.1:0"]
    environment = os.environ | {"SHOAL_NOTES": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            poll((tmp_path / "opening").exists, "the model is opening")
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 0)[0] == [], "nothing is said yet"
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
            assert process.stdout.read() == b""
        finally:
            process.kill()


def test_complaint_17_nobody_notices_that_a_worker_died(hazard: Path, tmp_path: Path) -> None:
    """Health says yes, and requests hang; or the death of a worker takes the server with it."""
    with hazards(hazard, tmp_path) as served:
        with held(served, tmp_path):
            os.kill(calls(tmp_path)[0][0], signal.SIGKILL)
            poll(lambda: len(calls(tmp_path)) == 2, "its micro-batch is run by the next one")
        poll(lambda: served.counted(RESTARTS) == 1, "it is counted")
        (tmp_path / "broken").touch()  # from now on none can be started
        os.kill(calls(tmp_path)[-1][0], signal.SIGKILL)
        poll(lambda: served.ask("GET", READY).status == 503, "the model is not ready")
        for refused in (asked(served, 1.0), served.ask("GET", "/v2/health/ready")):
            assert (refused.status, refused.code) == (503, "model_unavailable")
            assert "the library of this model is not here" in refused.json()["error"]
        (tmp_path / "broken").unlink()
        poll(lambda: served.ask("GET", READY).status == 200, "it is ready again")
        assert asked(served, 1.0).json() == {"prediction": [2.0]}


def test_complaint_18_each_request_costs_too_much(one: Served, digits: Sealed) -> None:
    """A connection for each request, and numbers only as text.

    What a request costs is measured by `just bench serve`: see docs/guides/benchmarks.md, and
    benchmarks/serve/results for the figures.
    """
    connection = HTTPConnection(one.http, timeout=DEADLINE_S)
    connection.connect()
    socket = connection.sock
    rows = np.array(digits.rows, np.float32)
    column = {"name": "X", "shape": [64, 64], "datatype": "FP32", "data": rows.ravel().tolist()}
    text = json.dumps({"inputs": [column]}).encode()
    binary, length = question(rows)
    for body, headers in [(text, {}), (binary, length)] * 50:
        connection.request("POST", "/v2/models/digits/infer", body, headers)
        answer = json.loads(connection.getresponse().read())
        assert answer["outputs"][0]["data"] == digits.labels
    assert len(binary) < rows.nbytes + 200 < len(text)

    def is_the_only_one() -> bool:
        connection.request("GET", "/metrics")
        return b"\nshoal_connections 1\n" in connection.getresponse().read()

    poll(is_the_only_one, "those of other tests are closed, and this one is counted once")
    assert connection.sock is socket
    connection.close()


def test_complaint_19_each_connection_or_worker_holds_the_model_again(tmp_path: Path) -> None:
    """So many workers or threads, so many times the memory of the model."""
    weights = np.ones((4096, 1024), np.float32)
    nodes = [
        helper.make_node("MatMul", ["X", "weights"], ["H"]),
        helper.make_node("ReduceMax", ["H", "axis"], ["Y"], keepdims=0),
    ]
    constants = {"weights": weights, "axis": np.array([1])}
    large = onnx_package(tmp_path / "large", nodes, width=4096, constants=constants)
    body, headers = question(np.ones((1, 4096), np.float32))
    with serving(large) as served, ExitStack() as stack:

        def ask(_: int) -> None:
            connection = HTTPConnection(served.http, timeout=DEADLINE_S)
            stack.callback(connection.close)
            connection.request("POST", "/v2/models/large/infer", body, headers)
            answer = json.loads(connection.getresponse().read())
            assert answer["outputs"][0]["data"] == [4096.0]

        ask(0)
        before = resident_bytes(served.process), threads(served.process)
        with ThreadPoolExecutor(16) as pool:
            assert len(list(pool.map(ask, range(32)))) == 32
        assert served.counted("shoal_connections") >= 33
        assert resident_bytes(served.process) < before[0] + weights.nbytes
        assert threads(served.process) <= before[1] + 2
        assert children(served) == []


@pytest.mark.parametrize(("arguments", "count"), [((), 1), (("--workers", "2"), 2)])
def test_complaint_19_processes_of_a_python_model_are_the_operators_choice(
    hazard: Path, tmp_path: Path, arguments: tuple[str, ...], count: int
) -> None:
    """Every core gets a copy of the model, wanted or not."""
    with hazards(hazard, tmp_path, *arguments) as served:
        assert asked(served, 1.0).status == 200
        assert len(children(served)) == count


def test_complaint_20_a_language_of_its_own_for_configuration(digits: Sealed) -> None:
    """Nothing is served without a file in a language that nobody can write or check."""
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb"}

    def shoal(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*SHOAL, "serve", *words]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=DEADLINE_S,
            check=False,
        )

    in_python = {field.name.replace("_", "-") for field in msgspec.structs.fields(serve.Options)}
    on_the_command_line = set(re.findall(r"--([a-z][a-z-]+)", shoal("--help").stdout))
    only_there = {"http", "grpc", "repository", "allow-code", "help"}  # `serve.start` has these
    assert on_the_command_line - only_there == in_python
    unknown = shoal(str(digits.path), "--max-wiat-ms", "5")
    assert unknown.returncode == 2
    assert "--max-wiat-ms" in unknown.stderr
    assert "--max-wait-ms" in unknown.stderr, "and what was meant"
    with pytest.raises(TypeError, match="max_wiat_ms"):
        serve.Options(max_wiat_ms=5)  # type: ignore[call-arg]  # the mistake
    with serving(digits.path) as served:  # a package, and nothing else
        assert served.ask("GET", "/v2/health/ready").status == 200
        limits = batching(served, "digits")["limits"]
        assert (64 <= limits["max_rows"] <= 512, limits["max_bytes"]) == (True, 16 * MIB)
