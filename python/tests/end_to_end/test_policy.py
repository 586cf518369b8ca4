"""What the policy that learns does for real clients of a real server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENTS = 8
TURNS = 100
INFER = "/v2/models/steady/infer"


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.story("steady", tmp_path_factory.mktemp("policy"))


@pytest.fixture
def served(steady: Path) -> Iterator[Served]:
    with serving(steady, arguments=("--allow-code",)) as served:
        yield served


def question(**parameters: int) -> dict[str, Any]:
    column = {"name": "value", "shape": [1], "datatype": "FP64", "data": [1.0]}
    return {"inputs": [column], "parameters": parameters}


def keep_asking(address: str, turns: int) -> None:
    """One connection that asks again as soon as it is answered."""
    connection = HTTPConnection(address, timeout=DEADLINE_S)
    for _ in range(turns):
        connection.request("POST", INFER, json.dumps(question()))
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["outputs"][0]["data"]) == (200, [2.0])
    connection.close()


def crowd(served: Served, turns: int) -> dict[str, Any]:
    """Clients that speak again at once; how their micro-batches came about."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: keep_asking(served.http, turns), range(CLIENTS)))
    account: dict[str, Any] = served.ask("GET", "/v2/models/steady/batching").json()
    return account


def test_clients_that_speak_again_at_once_are_answered_together(served: Served) -> None:
    account = crowd(served, TURNS)
    sizes = [batch["rows"] for batch in account["recent"]]
    # Two halves that take turns would have four rows each.
    assert sum(sizes) / len(sizes) > 0.75 * CLIENTS, account
    assert account["reasons"]["returned"] > TURNS // 2, account["reasons"]


def test_a_limit_of_nothing_waits_for_nobody(steady: Path) -> None:
    with serving(steady, arguments=("--allow-code", "--max-wait-ms", "0")) as served:
        account = crowd(served, 10)
    assert "returned" not in account["reasons"]


def test_every_micro_batch_says_what_was_expected_of_it(served: Served) -> None:
    keep_asking(served.http, 20)
    account = served.ask("GET", "/v2/models/steady/batching").json()
    first, *_, last = account["recent"]
    assert first["predicted_us"] is None
    assert last["predicted_us"] == pytest.approx(last["service_us"], rel=0.5)


def test_what_cannot_be_in_time_is_refused_at_the_door_and_told_when_to_come(
    served: Served,
) -> None:
    keep_asking(served.http, 3)
    refused = served.ask("POST", INFER, question(timeout=2000))
    assert (refused.status, refused.code) == (503, "deadline_out_of_reach")
    assert int(refused.headers["retry-after"]) >= 1
    assert served.ask("POST", INFER, question(timeout=10_000_000)).status == 200


def test_over_grpc_the_time_to_come_again_is_in_milliseconds(served: Served) -> None:
    keep_asking(served.http, 3)
    message = service_pb2.ModelInferRequest(model_name="steady")
    message.inputs.add(name="value", datatype="FP64", shape=[1]).contents.fp64_contents.append(1.0)
    message.parameters["timeout"].int64_param = 2000
    with grpc.insecure_channel(served.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=DEADLINE_S)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    said = dict(refused.value.trailing_metadata())
    assert said["shoal-code"] == "deadline_out_of_reach"
    assert 0 < int(said["grpc-retry-pushback-ms"]) < 1000
