"""What a client can get wrong: each has a named error, and the neighbours never notice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end.driver import asked_meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

INFER = "/v2/models/digits/infer"
TICKETS = "/v2/models/tickets/infer"
ROW = [float(value % 17) for value in range(64)]
LIMIT_BYTES = 64 * 1024 * 1024


def column(**changes: Any) -> dict[str, Any]:
    return {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": ROW} | changes


def inputs(*columns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": list(columns)} | fields


def ticket(name: str, dtype: str, value: object) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": dtype, "data": [value]}


AGE, FARE, CLASS = (
    ticket("age", "FP32", 30.0),
    ticket("fare", "FP32", 9.0),
    ticket("class", "BYTES", "first"),
)


def binary(*, stated: int, sent: int, header: int | None = None) -> tuple[bytes, dict[str, str]]:
    """A binary request that states one length and sends another."""
    asked = {
        "name": "X",
        "shape": [1, 64],
        "datatype": "FP32",
        "parameters": {"binary_data_size": stated},
    }
    head = json.dumps(inputs(asked)).encode()
    length = len(head) if header is None else header
    return head + bytes(sent), {"inference-header-content-length": str(length)}


@dataclass(frozen=True)
class Case:
    """One wrong request over HTTP, and what must come back."""

    name: str
    status: int
    code: str
    body: object = None
    path: str = INFER
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    says: str = ""


def binary_case(name: str, code: str = "invalid_binary", **lengths: Any) -> Case:
    body, headers = binary(**lengths)
    return Case(name, 400, code, body, headers=headers)


CASES = [
    Case("malformed JSON", 400, "malformed_json", b'{"inputs": [', says="line 1"),
    Case("no JSON at all", 400, "malformed_json", b"\xff\xfe"),
    Case("empty body", 400, "malformed_json", b""),
    Case("not an object", 400, "invalid_request", [1, 2]),
    Case("no inputs", 400, "invalid_request", {"id": "x"}, says="inputs"),
    Case("wrong dtype", 400, "wrong_dtype", inputs(column(datatype="INT64")), says="FP32"),
    Case("unknown dtype", 400, "wrong_dtype", inputs(column(datatype="FP33")), says="FP33"),
    Case("text for a number", 400, "wrong_dtype", inputs(column(data=["a"] * 64))),
    Case("wrong shape", 400, "wrong_shape", inputs(column(shape=[1, 63], data=ROW[1:])), says="63"),
    Case("wrong rank", 400, "wrong_shape", inputs(column(shape=[64]))),
    Case("too few values", 400, "wrong_shape", inputs(column(data=ROW[1:])), says="63"),
    Case("too many values", 400, "wrong_shape", inputs(column(data=[*ROW, 1.0]))),
    Case("negative dimension", 400, "invalid_request", inputs(column(shape=[-1, 64])), says="-1"),
    Case("a shape beyond memory", 400, "wrong_shape", inputs(column(shape=[2**62, 64]))),
    Case("wrong name", 400, "unexpected_column", inputs(column(name="Y")), says="Y"),
    Case("missing column", 400, "missing_column", inputs(AGE, FARE), TICKETS, says="class"),
    Case("no columns", 400, "missing_column", inputs(), says="X"),
    Case("extra column", 400, "unexpected_column", inputs(AGE, FARE, CLASS, column(name="Z")),
         TICKETS, says="Z"),
    Case("duplicate column", 400, "duplicate_column", inputs(column(), column()), says="X"),
    Case("columns of different lengths", 400, "wrong_shape",
         inputs(AGE, FARE, CLASS | {"shape": [2], "data": ["first", "second"]}), TICKETS),
    Case("null", 400, "null_not_allowed", inputs(AGE, FARE | {"data": [None]}, CLASS), TICKETS,
         says="fare"),
    Case("unknown output", 400, "unexpected_column", inputs(column(), outputs=[{"name": "no"}]),
         says="no"),
    Case("header length beyond the body", 400, "invalid_binary", b"{}",
         headers={"inference-header-content-length": "1000"}, says="1000"),
    Case("header length is no number", 400, "invalid_binary", b"{}",
         headers={"inference-header-content-length": "ten"}),
    binary_case("leftover bytes", stated=256, sent=260),
    binary_case("missing bytes", stated=256, sent=200),
    binary_case("raw length that is not the shape's", stated=252, sent=252),
    binary_case("header length inside the JSON", "malformed_json", stated=256, sent=256, header=20),
    Case("unknown model", 404, "unknown_model", inputs(column()), "/v2/models/nobody/infer",
         says="nobody"),
    Case("unknown version", 404, "unknown_version", inputs(column()),
         "/v2/models/digits/versions/9/infer", says="9"),
    Case("unknown model's metadata", 404, "unknown_model", None, "/v2/models/nobody", "GET"),
    Case("batching of none", 404, "unknown_model", None, "/v2/models/nobody/batching", "GET"),
    Case("unknown route", 404, "unknown_route", None, "/nowhere", "GET"),
    Case("wrong method", 405, "method_not_allowed", None, INFER, "GET", says="use POST"),
    Case("compressed body", 400, "invalid_request", inputs(column()),
         headers={"content-encoding": "gzip"}, says="gzip"),
    Case("a model that raises", 500, "model_failed", {"inputs": [ticket("value", "FP64", -1.0)]},
         "/v2/models/fragile/infer", says="below zero"),
]  # fmt: skip

PREDICT_CASES = [
    Case("malformed JSON", 400, "malformed_json", b'{"features": [1,'),
    Case("too short", 400, "wrong_shape", {"features": ROW[1:]}, says="63"),
    Case("one row too short among many", 400, "wrong_shape", {"features": [ROW, ROW[1:]]}),
    Case("text", 400, "wrong_dtype", {"features": ["a"] * 64}),
    Case("unknown column", 400, "unexpected_column", {"features": {"X": ROW, "Y": 1}}, says="Y"),
    Case("missing column", 400, "missing_column", {"features": {}}, says="X"),
    Case("no features", 400, "invalid_request", {"rows": [ROW]}, says="features"),
    Case("null", 400, "null_not_allowed", {"features": [None, *ROW[1:]]}, says="X"),
    Case("only nulls", 400, "null_not_allowed", {"features": [None] * 64}, says="X"),
]


@pytest.fixture(scope="module")
def neighbours(many: Served, digits: Sealed) -> Callable[[], Any]:
    """A good question, which must go on being answered rightly."""

    def ask_once() -> Any:
        reply = many.ask("POST", INFER, inputs(column(data=digits.rows[0])))
        return reply.json()["outputs"][0]["data"]

    return ask_once


def check(served: Served, case: Case) -> None:
    reply = served.ask(case.method, case.path, case.body, headers=case.headers)
    body = reply.json()
    assert (reply.status, body.get("code")) == (case.status, case.code), body
    assert set(body) <= {"error", "code", "hint"}
    assert case.says in body["error"], body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_http_names_the_error_and_neighbours_are_unharmed(
    many: Served, digits: Sealed, neighbours: Callable[[], Any], case: Case
) -> None:
    with asked_meanwhile(neighbours, digits.labels[:1]):
        for _ in range(3):
            check(many, case)


@pytest.mark.parametrize("case", PREDICT_CASES, ids=lambda case: case.name)
def test_predict_names_the_error(one: Served, case: Case) -> None:
    served = one.ask("POST", "/predict", {"features": ROW})
    check(one, Case(case.name, case.status, case.code, case.body, "/predict", says=case.says))
    assert one.ask("POST", "/predict", {"features": ROW}).body == served.body


DEEP = b"[" * 200_000 + b"1" + b"]" * 200_000
DEEP_OBJECT = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
DEEP_CASES = [
    Case("unknown list", 400, "invalid_request", b'{"unknown":' + DEEP + b',"inputs":[]}'),
    Case("unknown object", 400, "invalid_request", b'{"unknown":' + DEEP_OBJECT + b"}"),
    Case("in an input", 400, "invalid_request", b'{"inputs":[{"unknown":' + DEEP + b"}]}"),
    Case("a parameter", 400, "malformed_json", b'{"parameters":{"a":' + DEEP + b'},"inputs":[]}'),
    Case("the data", 400, "wrong_shape", b'{"inputs":[{"name":"X","data":' + DEEP + b"}]}"),
    Case("data before its name", 400, "wrong_shape",
         b'{"inputs":[{"data":' + DEEP + b',"name":"X","datatype":"FP32","shape":[1,64]}]}'),
    Case("the whole body", 400, "invalid_request", DEEP),
]  # fmt: skip


@pytest.mark.parametrize("case", DEEP_CASES, ids=lambda case: case.name)
def test_field_nested_200_000_deep_is_refused_and_ends_nothing(
    many: Served, digits: Sealed, neighbours: Callable[[], Any], case: Case
) -> None:
    with asked_meanwhile(neighbours, digits.labels[:1]):
        check(many, case)
    assert many.process.poll() is None


@pytest.mark.parametrize("field", ["unknown", "features"])
def test_predict_refuses_what_is_nested_200_000_deep(one: Served, field: str) -> None:
    body = b'{"' + field.encode() + b'":' + DEEP + b"}"
    assert one.ask("POST", "/predict", body).code in {"invalid_request", "wrong_shape"}
    assert one.ask("POST", "/predict", {"features": ROW}).status == 200


def test_body_over_the_limit_is_refused(
    many: Served, digits: Sealed, neighbours: Callable[[], Any]
) -> None:
    body = b'{"inputs":[],"id":"' + b"x" * LIMIT_BYTES + b'"}'
    with asked_meanwhile(neighbours, digits.labels[:1]):
        check(many, Case("large", 413, "body_too_large", body))


def test_rows_beside_one_that_makes_the_model_raise_are_answered(many: Served) -> None:
    def ask(value: float) -> Any:
        question = {"inputs": [ticket("value", "FP64", value)]}
        return many.ask("POST", "/v2/models/fragile/infer", question)

    with asked_meanwhile(lambda: ask(4.0).json()["outputs"][0]["data"], [8.0], threads=8):
        for _ in range(20):
            assert ask(-1.0).code == "model_failed"


def raw(*contents: bytes, name: str = "X", shape: tuple[int, ...] = (1, 64)) -> Any:
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.inputs.add(name=name, datatype="FP32", shape=shape)
    request.raw_input_contents.extend(contents)
    return request


def both_forms() -> Any:
    request = raw(bytes(256))
    request.inputs[0].contents.fp32_contents.extend(ROW)
    return request


def of_model(name: str, version: str = "") -> Any:
    request = raw(bytes(256))
    request.model_name, request.model_version = name, version
    return request


@dataclass(frozen=True)
class Call:
    """One wrong gRPC request, and what must come back."""

    name: str
    request: Any
    status: grpc.StatusCode
    says: str


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
CALLS = [
    Call("raw too short", raw(bytes(255)), INVALID, "255"),
    Call("raw too long", raw(bytes(260)), INVALID, "260"),
    Call("more raw than inputs", raw(bytes(256), b""), INVALID, "raw"),
    Call("no contents", raw(), INVALID, "X"),
    Call("raw and typed together", both_forms(), INVALID, "raw"),
    Call("wrong name", raw(bytes(256), name="Y"), INVALID, "Y"),
    Call("wrong shape", raw(bytes(252), shape=(1, 63)), INVALID, "63"),
    Call("unknown model", of_model("nobody"), NOT_FOUND, "nobody"),
    Call("unknown version", of_model("digits", "9"), NOT_FOUND, "9"),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_grpc_names_the_error_and_neighbours_are_unharmed(
    many: Served, digits: Sealed, neighbours: Callable[[], Any], call: Call
) -> None:
    with (
        grpc.insecure_channel(many.grpc) as channel,
        asked_meanwhile(neighbours, digits.labels[:1]),
        pytest.raises(grpc.RpcError) as caught,
    ):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(call.request)
    assert caught.value.code() == call.status
    assert call.says in caught.value.details()
