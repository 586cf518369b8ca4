"""The Open Inference Protocol over gRPC, by `tritonclient` and by its generated messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal import package, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="module")
def client(many: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(many.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def channel(many: Served) -> Iterator[Any]:
    with grpc.insecure_channel(many.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: Any) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def typed(rows: list[Any]) -> Any:
    """A request whose values are in `contents`, not raw."""
    request = service_pb2.ModelInferRequest(model_name="digits", id="nine")
    column = request.inputs.add(name="X", datatype="FP32", shape=[len(rows), 64])
    column.contents.fp32_contents.extend(value for row in rows for value in row)
    return request


def test_tritonclient_gets_the_models_answers(client: Any, digits: Sealed) -> None:
    rows = np.array(digits.rows, np.float32)
    asked = triton.InferInput("X", list(rows.shape), "FP32")
    asked.set_data_from_numpy(rows)
    answer = client.infer("digits", [asked], request_id="five")
    assert answer.as_numpy("label").tolist() == digits.labels
    assert answer.get_response().id == "five"


def test_tritonclient_sends_and_gets_text(client: Any, tickets: Sealed) -> None:
    inputs = []
    for name, kind, dtype in [
        ("age", "FP32", np.float32),
        ("fare", "FP32", np.float32),
        ("class", "BYTES", np.object_),
    ]:
        column: Any = np.array([row[name] for row in tickets.rows], dtype)
        inputs.append(triton.InferInput(name, list(column.shape), kind))
        inputs[-1].set_data_from_numpy(column)
    answer = client.infer("tickets", inputs)
    assert [value.decode() for value in answer.as_numpy("label").ravel()] == tickets.labels


def test_tritonclient_reads_health_metadata_and_index(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tickets")
    assert client.get_server_metadata().name == "shoal"
    assert client.get_model_metadata("digits").inputs[0].shape == [-1, 64]
    names = [each.name for each in client.get_model_repository_index().models]
    assert sorted(names) == ["digits", "fragile", "tickets"]


def test_typed_contents_are_answered_as_typed_contents(stub: Any, digits: Sealed) -> None:
    answer = stub.ModelInfer(typed(digits.rows))
    assert (answer.model_name, answer.model_version, answer.id) == ("digits", "1", "nine")
    assert not answer.raw_output_contents
    assert list(answer.outputs[0].contents.int64_contents) == digits.labels


def test_only_the_outputs_that_are_asked_for_come_back(stub: Any, digits: Sealed) -> None:
    request = typed(digits.rows[:2])
    request.outputs.add(name="label")
    assert [each.name for each in stub.ModelInfer(request).outputs] == ["label"]


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_standard_health_check_says_serving(channel: Any, service: str) -> None:
    # grpc.health.v1 without its generated code: request field 1 is the name, answer field 1 is 1.
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    name = service.encode()
    asked = b"\x0a" + bytes([len(name)]) + name if name else b""
    assert check(asked) == b"\x08\x01"


@pytest.mark.parametrize("name", ["classification", "shared_memory_region", "sequence_id"])
def test_what_is_not_supported_is_refused_and_not_ignored(
    stub: Any, digits: Sealed, name: str
) -> None:
    for place in ("request", "input", "output"):
        request = typed(digits.rows[:1])
        asked: Any = {
            "request": request,
            "input": request.inputs[0],
            "output": request.outputs.add(name="label"),
        }[place]
        asked.parameters[name].int64_param = 1
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_fp16_output_makes_the_whole_answer_raw(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["X"], ["a"]),
        helper.make_node("Cast", ["X"], ["h"], to=TensorProto.FLOAT16),
    ]
    tensors = [
        helper.make_tensor_value_info(name, kind, ["N", 2])
        for name, kind in (("X", 1), ("a", 1), ("h", TensorProto.FLOAT16))
    ]
    graph = helper.make_graph(nodes, "halves", tensors[:1], tensors[1:])
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    package.build(model, name="halves", version="1", output=tmp_path / "halves")
    request = service_pb2.ModelInferRequest(model_name="halves")
    column = request.inputs.add(name="X", datatype="FP32", shape=[1, 2])
    column.contents.fp32_contents.extend([0.5, 2.0])
    with serve.start(tmp_path / "halves") as server, grpc.insecure_channel(server.grpc) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    first, second = answer.raw_output_contents
    assert np.frombuffer(first, np.float32).tolist() == [0.5, 2.0]
    assert np.frombuffer(second, np.float16).tolist() == [0.5, 2.0]
