"""TLS on both doors: who is understood, who is not, and which files are refused."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import ExitStack
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal import serve
from shoal.errors import ConfigurationError, PathError
from tests.end_to_end.certificates import Certified, certify
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.test_leaving import SOON_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(digits: Sealed, certified: Certified) -> Iterator[Served]:
    with serving(digits.path, arguments=certified.arguments) as served:
        yield served


def predict(address: str, context: ssl.SSLContext, rows: list[Any]) -> Any:
    connection = HTTPSConnection(address, timeout=DEADLINE_S, context=context)
    try:
        connection.request("POST", "/predict", json.dumps({"features": rows}))
        return json.loads(connection.getresponse().read())["prediction"]
    finally:
        connection.close()


def serial(address: str, certified: Certified) -> str:
    """Which certificate the server shows now."""
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE_S) as plain,
        certified.context().wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


def spoken(address: str, words: bytes) -> bytes:
    """All that a server says to a client that speaks plain text; nothing when it hangs up."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as plain:
        plain.sendall(words)
        heard = b""
        try:
            while more := plain.recv(4096):
                heard += more
        except ConnectionResetError:
            pass
        return heard


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_python_speaks_tls_with_the_http_door(
    secure: Served, certified: Certified, digits: Sealed, version: ssl.TLSVersion
) -> None:
    context = certified.context()
    context.minimum_version = context.maximum_version = version
    assert predict(secure.http, context, digits.rows) == digits.labels


def test_a_client_that_does_not_know_the_authority_does_not_trust_the_server(
    secure: Served, digits: Sealed
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        predict(secure.http, ssl.create_default_context(), digits.rows)


def test_grpc_speaks_tls(secure: Served, certified: Certified, digits: Sealed) -> None:
    credentials = grpc.ssl_channel_credentials(certified.authority.read_bytes())
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.inputs.add(name="X", datatype="FP32", shape=[len(digits.rows), 64])
    request.raw_input_contents.append(np.array(digits.rows, np.float32).tobytes())
    with grpc.secure_channel(secure.grpc, credentials) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == digits.labels


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tritonclient_speaks_tls(
    secure: Served, certified: Certified, digits: Sealed, kind: str
) -> None:
    module: Any = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    if kind == "http":
        context = certified.context
        client = module.InferenceServerClient(
            secure.http, ssl=True, ssl_context_factory=context, insecure=False
        )
    else:
        client = module.InferenceServerClient(
            secure.grpc, ssl=True, root_certificates=str(certified.authority)
        )
    with client:
        asked = module.InferInput("X", [len(digits.rows), 64], "FP32")
        asked.set_data_from_numpy(np.array(digits.rows, np.float32))
        assert client.infer("digits", [asked]).as_numpy("label").tolist() == digits.labels


def test_plain_text_is_dropped_and_harms_nobody(
    secure: Served, certified: Certified, digits: Sealed
) -> None:
    for address in (secure.http, secure.grpc):
        heard = spoken(address, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert b"HTTP" not in heard  # a TLS alert, or nothing
    assert predict(secure.http, certified.context(), digits.rows[:1]) == digits.labels[:1]
    assert secure.process.poll() is None


def test_one_connection_too_many_is_closed_under_tls_and_the_next_finds_room(
    digits: Sealed, certified: Certified
) -> None:
    arguments = (*certified.arguments, "--max-connections", "2")
    context = certified.context()
    with serving(digits.path, arguments=arguments) as served:
        with ExitStack() as stack:
            held = [HTTPSConnection(served.http, timeout=DEADLINE_S, context=context) for _ in "ab"]
            for connection in held:
                stack.callback(connection.close)
                connection.connect()
            for address in (served.http, served.grpc):  # one count for both doors
                assert spoken(address, b"") == b""
                with pytest.raises(OSError):  # noqa: PT011 - a reset, an end, or an error of TLS
                    predict(address, context, digits.rows[:1])
            for connection in held:
                connection.request("GET", "/metrics")
                text = connection.getresponse().read().decode()
        assert 'shoal_connections_dropped_total{reason="limit"} 4' in text
        poll(lambda: finds_room(served, context), "there is room again")
        assert predict(served.http, context, digits.rows) == digits.labels


def finds_room(served: Served, context: ssl.SSLContext) -> bool:
    try:
        return bool(predict(served.http, context, [[0.0] * 64]))
    except OSError:
        return False


def test_a_client_that_never_begins_tls_does_not_hold_the_end_up(
    digits: Sealed, certified: Certified
) -> None:
    options = serve.Options(tls_certificate=certified.certificate, tls_key=certified.key)
    server = serve.start(digits.path, options=options)
    addresses = [address.split(":") for address in (server.http, server.grpc)]
    with ExitStack() as stack:
        for host, port in addresses:
            stack.enter_context(socket.create_connection((host, int(port)), timeout=DEADLINE_S))
        predict(server.http, certified.context(), digits.rows[:1])
        before = time.monotonic()
        server.close()
        assert time.monotonic() - before < SOON_S


def test_a_new_certificate_is_shown_without_a_restart(digits: Sealed, tmp_path: Path) -> None:
    first = certify(tmp_path)
    with serving(digits.path, arguments=first.arguments) as served:
        before = serial(served.http, first)
        again = certify(tmp_path)

        def is_shown() -> bool:
            try:
                return serial(served.http, again) != before
            except ssl.SSLCertVerificationError:  # the old one, which the new authority never saw
                return False

        poll(is_shown, "the new certificate was shown")
        again.key.write_text("damaged", encoding="ascii")
        poll(lambda: any("stays as it was" in line for line in served.errors), "a word in the log")
        assert predict(served.http, again.context(), digits.rows[:1]) == digits.labels[:1]


def test_files_that_cannot_be_used_are_refused_by_name(
    digits: Sealed, certified: Certified, tmp_path: Path
) -> None:
    def refused(certificate: Path | None, key: Path | None) -> tuple[type, str]:
        with pytest.raises((ConfigurationError, PathError)) as caught:
            serve.start(
                digits.path, options=serve.Options(tls_certificate=certificate, tls_key=key)
            )
        return type(caught.value), str(caught.value)

    other, empty = certify(tmp_path), tmp_path / "empty.pem"
    empty.touch()
    good, key, gone = certified.certificate, certified.key, tmp_path / "gone.pem"
    assert refused(gone, key) == (PathError, f"there is no TLS certificate at {gone}")
    assert refused(good, gone) == (PathError, f"there is no TLS key at {gone}")
    for certificate, private, says in [
        (good, other.key, f"it is not the key of the certificate {good}"),
        (empty, key, "it has no certificate in PEM"),
        (good, empty, "it has no private key in PEM"),
        (good, tmp_path, "cannot be read"),
        (good, None, "TLS needs both a certificate and its key"),
    ]:
        kind, message = refused(certificate, private)
        assert kind is ConfigurationError
        assert says in message
