"""What a server takes at most: heads, bodies, connections, streams; all of it is given back."""

from __future__ import annotations

import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal import serve
from shoal.errors import ConfigurationError
from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

CONNECTIONS = 1000
MIB = 2**20


def connected(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def spoken(served: Served, words: bytes) -> bytes:
    """All that the server says to these words until it hangs up."""
    heard = b""
    with connected(served.http) as client, suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(words)
        while more := client.recv(65536):
            heard += more
    return heard


def rejected(served: Served, code: str) -> float:
    return served.counted(f'shoal_rejected_total{{reason="{code}"}}')


def descriptors(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


def resident_bytes(served: Served) -> int:
    status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def refusal(heard: bytes) -> tuple[str, Any]:
    """The status line and the error of one whole answer."""
    head, _, body = heard.partition(b"\r\n\r\n")
    status, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    error = json.loads(body)
    assert set(error) == {"error", "code", "hint"}
    return status, error["code"]


TOO_LARGE = ("http/1.1 431 request header fields too large", "headers_too_large")
MALFORMED = ("http/1.1 400 bad request", "invalid_request")


def test_a_head_over_the_limit_is_refused_with_431(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--header-limit-bytes", "2000")) as served:
        begin = b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        assert spoken(served, begin + b"X-Small: " + b"x" * 1000 + b"\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )
        large = begin + b"X-Large: " + b"x" * 3000 + b"\r\n\r\n"
        many = begin + b"".join(b"X-%d: 1\r\n" % number for number in range(101)) + b"\r\n"
        assert refusal(spoken(served, large)) == TOO_LARGE
        assert refusal(spoken(served, many)) == TOO_LARGE
        poll(lambda: rejected(served, "headers_too_large") == 2, "both are counted")


def test_a_client_hears_its_refusal_though_it_sends_far_more_than_is_read(one: Served) -> None:
    for _ in range(10):  # a reset would take the answer away, now and then
        heard = spoken(one, b"GET /v2 HTTP/1.1\r\nX-Large: " + b"x" * 700_000)
        assert refusal(heard) == TOO_LARGE


def test_a_path_that_is_too_long_is_a_head_that_is_too_large(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--header-limit-bytes", "200000")) as served:
        heard = spoken(served, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert refusal(heard) == TOO_LARGE


@pytest.mark.parametrize(
    "words",
    [
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: some\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_by_name_and_harms_nobody(one: Served, words: bytes) -> None:
    before = rejected(one, "invalid_request")
    assert refusal(spoken(one, words)) == MALFORMED
    poll(lambda: rejected(one, "invalid_request") == before + 1, "it is counted")
    assert one.ask("GET", "/v2").status == 200


def test_what_is_no_http_behind_a_request_is_refused_after_its_answer(one: Served) -> None:
    with connected(one.http) as client:
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(b"and now for something else\r\n\r\n")
        heard = b""
        while more := client.recv(1000):
            heard += more
    assert refusal(heard) == MALFORMED


def test_one_connection_too_many_is_told_so_and_the_next_finds_room(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--max-connections", "5")) as served:
        with ExitStack() as stack:
            for _ in range(5):
                client = stack.enter_context(connected(served.http))
                client.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            refused = served.ask("GET", "/v2")
            assert (refused.status, refused.code) == (503, "server_busy")
            assert refused.headers["retry-after"] == "1"
            with connected(served.grpc) as client:  # one count for both doors
                assert client.recv(100) == b""
        poll(lambda: served.ask("GET", "/v2").status == 200, "there is room again")
        assert served.counted('shoal_connections_dropped_total{reason="limit"}') >= 2
        assert sum("a connection was refused" in line for line in served.errors) in {1, 2}


def test_1000_connections_opened_and_dropped_leave_nothing_behind(digits: Sealed) -> None:
    with serving(digits.path) as served:

        def come_and_go(words: bytes, address: str) -> None:
            with ExitStack() as stack:
                for _ in range(CONNECTIONS // 10):
                    stack.enter_context(connected(address)).sendall(words)

        def all_come_and_go() -> None:
            for _ in range(5):
                come_and_go(b"POST /predict HTTP/1.1\r\nContent-Length: 9999\r\n\r\n{", served.http)
                come_and_go(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", served.grpc)
            poll(lambda: served.counted("shoal_connections") == 1, "all are closed")

        assert served.counted("shoal_connections") == 1  # the one that asks
        before = descriptors(served)
        all_come_and_go()
        poll(lambda: descriptors(served) <= before, "all descriptors are given back")
        settled = resident_bytes(served)
        all_come_and_go()
        assert resident_bytes(served) < settled + 8 * MIB
        assert served.counted("shoal_bodies_bytes") == 0


def upload(served: Served, *, announced: int, sent: int) -> socket.socket:
    """A client in the middle of sending a body."""
    client = connected(served.http)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    client.sendall(head.encode() + b" " * sent)
    return client


def test_bodies_in_flight_have_one_limit_and_announcing_takes_no_room(digits: Sealed) -> None:
    limits = ("--body-limit-bytes", str(MIB), "--bodies-in-flight-limit-bytes", str(MIB))
    with serving(digits.path, arguments=limits) as served, ExitStack() as stack:
        for _ in range(10):  # ten times the room is announced, and none is taken
            stack.enter_context(upload(served, announced=MIB, sent=0))
        body = {"features": digits.rows[0]}
        assert served.ask("POST", "/predict", body).status == 200
        with upload(served, announced=MIB, sent=MIB - 100):
            poll(lambda: served.counted("shoal_bodies_bytes") == MIB - 100, "it is held")
            refused = served.ask("POST", "/predict", body)
            assert (refused.status, refused.code) == (503, "server_busy")
            assert refused.headers["retry-after"] == "1"
            assert grpc_refusal(served, digits) == ("UNAVAILABLE", "server_busy")
        poll(lambda: served.counted("shoal_bodies_bytes") == 0, "it is given back")
        assert served.ask("POST", "/predict", body).status == 200


def test_what_a_compressed_body_becomes_counts_among_the_bodies_in_flight(digits: Sealed) -> None:
    limits = ("--body-limit-bytes", str(MIB), "--bodies-in-flight-limit-bytes", str(MIB))
    body = gzip.compress(json.dumps({"features": digits.rows[0]}).encode() + b" " * 100_000)
    assert len(body) < 2_000
    with serving(digits.path, arguments=limits) as served:

        def asked() -> tuple[int, str]:
            reply = served.ask("POST", "/predict", body, headers={"Content-Encoding": "gzip"})
            return reply.status, reply.code if reply.status != 200 else ""

        with upload(served, announced=MIB, sent=MIB - 4_000):
            poll(lambda: served.counted("shoal_bodies_bytes") == MIB - 4_000, "it is held")
            assert asked() == (503, "server_busy")
        poll(lambda: served.counted("shoal_bodies_bytes") == 0, "it is given back")
        assert asked() == (200, "")


def question(rows: list[Any]) -> Any:
    request = service_pb2.ModelInferRequest(model_name="digits")
    column = request.inputs.add(name="X", datatype="FP32", shape=[len(rows), 64])
    column.contents.fp32_contents.extend(value for row in rows for value in row)
    return request


def code_of(error: grpc.RpcError) -> tuple[str, str]:
    return error.code().name, dict(error.trailing_metadata()).get("shoal-code", "")


def grpc_refusal(served: Served, digits: Sealed) -> tuple[str, str]:
    with grpc.insecure_channel(served.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(question(digits.rows[:1]))
    return code_of(caught.value)


def test_what_grpc_itself_refuses_has_a_code_and_is_counted(digits: Sealed) -> None:
    with (
        serving(digits.path, arguments=("--body-limit-bytes", "1000")) as served,
        grpc.insecure_channel(served.grpc) as channel,
    ):
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for number, (call, message, expected) in enumerate(
            [
                (infer, question(digits.rows[:8]).SerializeToString(),
                 ("RESOURCE_EXHAUSTED", "body_too_large")),
                (infer, b"\xff\xff\xff\xff", ("INVALID_ARGUMENT", "invalid_request")),
                (channel.unary_unary("/inference.GRPCInferenceService/Nothing"), b"",
                 ("UNIMPLEMENTED", "unknown_route")),
                (channel.unary_unary("/nothing.Here/Nothing"), b"",
                 ("UNIMPLEMENTED", "unknown_route")),
            ]
        ):  # fmt: skip
            before = rejected(served, expected[1])
            with pytest.raises(grpc.RpcError) as caught:
                call(message)
            assert code_of(caught.value) == expected, number
            assert rejected(served, expected[1]) == before + 1
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(question(digits.rows[:1])).model_name == "digits"


def test_a_connection_has_as_many_streams_as_it_may_and_the_others_wait(
    gated: Path, tmp_path: Path
) -> None:
    request = service_pb2.ModelInferRequest(model_name="gated")
    column = request.inputs.add(name="value", datatype="FP64", shape=[1])
    column.contents.fp64_contents.append(2.0)
    arguments = ("--allow-code", "--max-streams", "3")
    with (
        serving(gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as served,
        grpc.insecure_channel(served.grpc) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        asked = [stub.ModelInfer.future(request, timeout=DEADLINE_S)]
        poll((tmp_path / "reached").exists, "the first is being run")
        asked += [stub.ModelInfer.future(request, timeout=DEADLINE_S) for _ in range(7)]
        poll(lambda: served.waiting_rows() == 2, "two more have arrived")
        # A fourth stream would have come before this answer over another connection.
        pool.submit(served.ask, "GET", "/v2").result(DEADLINE_S)
        assert served.waiting_rows() == 2
        (tmp_path / "open").touch()
        answers = [each.result(DEADLINE_S) for each in asked]
    assert [list(each.outputs[0].contents.fp64_contents) for each in answers] == [[4.0]] * 8


def test_nan_and_infinity_are_no_json_and_no_answer_in_json(one: Served, many: Served) -> None:
    for word in ("NaN", "Infinity", "-Infinity"):
        text = json.dumps({"features": [0.0] * 64}).replace("0.0", word, 1).encode()
        assert one.ask("POST", "/predict", text).code == "malformed_json"
    for number in ("1e999", "-1e999", "1e39"):
        text = json.dumps({"features": [0.0] * 64}).replace("0.0", number, 1).encode()
        assert one.ask("POST", "/predict", text).code in {"wrong_dtype", "malformed_json"}
    large = {"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [1.7e308]}]}
    refused = many.ask("POST", "/v2/models/fragile/infer", large)  # doubled, it is infinite
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert "binary" in refused.json()["hint"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"body_limit_bytes": 600 * MIB}, "bodies_in_flight_limit_bytes is 536870912"),
        ({"header_limit_bytes": 10}, "header_limit_bytes is 10; expected at least 1024"),
        ({"max_connections": 0}, "max_connections is 0; expected at least 1"),
        ({"idle_timeout_ms": 0}, "idle_timeout_ms is 0; expected at least 1"),
    ],
)
def test_numbers_with_which_nothing_can_be_answered_are_refused(
    digits: Sealed, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        serve.start(digits.path, options=serve.Options(**options))
