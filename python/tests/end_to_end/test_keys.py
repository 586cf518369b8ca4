"""API keys: who may ask, and for how long."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal import serve
from shoal.errors import ConfigurationError, PathError
from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

ANN, BEN = serve.new_key("ann"), serve.new_key("ben")
OPEN = ["/v2/health/live", "/v2/health/ready"]
CLOSED = [
    "/v2",
    "/v2/models",
    "/v2/models/digits",
    "/v2/models/digits/ready",
    "/metrics",
    "/nowhere",
]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# who may ask\n\n{ANN.line}\n{BEN.line}\n", encoding="ascii")
    return path


@pytest.fixture
def guarded(digits: Sealed, keys: Path) -> Iterator[Served]:
    with serving(digits.path, arguments=("--api-keys", str(keys))) as served:
        yield served


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def status_of(stub: Any, *metadata: tuple[str, str]) -> tuple[str, str]:
    """How a call ends: its status, and its code of Shoal."""
    try:
        stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="digits"), metadata=metadata)
    except grpc.RpcError as error:
        trailing = dict(error.trailing_metadata())
        return error.code().name, trailing.get("shoal-code", "")
    return "OK", ""


def test_a_key_opens_everything_and_its_absence_only_health(
    guarded: Served, digits: Sealed
) -> None:
    for path in OPEN:
        assert guarded.ask("GET", path).status == 200
    for path in CLOSED:
        refused = guarded.ask("GET", path)
        assert (refused.status, refused.code) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
    body = {"features": digits.rows[0]}
    for headers in (bearer(ANN.secret), bearer(BEN.secret), {"X-API-Key": ANN.secret}):
        assert guarded.ask("POST", "/predict", body, headers=headers).json() == {
            "prediction": digits.labels[:1]
        }
    assert guarded.ask("GET", "/metrics", headers=bearer(ANN.secret)).status == 200


@pytest.mark.parametrize(
    "sent",
    ["", "shoal_", ANN.secret[:-1], ANN.secret + "x", ANN.line.split(":")[1]],
    ids=["nothing", "prefix", "too-short", "too-long", "digest"],
)
def test_what_is_no_key_opens_nothing(guarded: Served, sent: str) -> None:
    assert guarded.ask("GET", "/v2", headers=bearer(sent)).code == "unauthorized"
    assert guarded.ask("GET", "/v2", headers={"X-API-Key": sent}).code == "unauthorized"


def test_grpc_wants_a_key_too(guarded: Served) -> None:
    with grpc.insecure_channel(guarded.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        assert status_of(stub) == ("UNAUTHENTICATED", "unauthorized")
        assert status_of(stub, ("x-api-key", "wrong")) == ("UNAUTHENTICATED", "unauthorized")
        assert status_of(stub, ("authorization", f"Bearer {ANN.secret}")) == ("OK", "")
        assert status_of(stub, ("x-api-key", BEN.secret)) == ("OK", "")


def test_a_key_that_is_revoked_while_connected_stops_working(guarded: Served, keys: Path) -> None:
    connection = http.client.HTTPConnection(guarded.http, timeout=DEADLINE_S)
    connection.connect()
    socket = connection.sock

    def ask(key: serve.Key) -> int:
        connection.request("GET", "/v2", headers=bearer(key.secret))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    with grpc.insecure_channel(guarded.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = (("x-api-key", ANN.secret),)
        assert (ask(ANN), ask(BEN), status_of(stub, *metadata)[0]) == (200, 200, "OK")
        keys.write_text(f"{BEN.line}\n", encoding="ascii")
        poll(lambda: ask(ANN) == 401, "the revoked key was refused")
        assert status_of(stub, *metadata) == ("UNAUTHENTICATED", "unauthorized")
        assert ask(BEN) == 200
        assert connection.sock is socket  # the same connection all along
    connection.close()


def test_a_file_that_is_damaged_or_gone_leaves_the_keys_as_they_were(
    guarded: Served, keys: Path
) -> None:
    def told() -> int:
        return sum("stay as they were" in line for line in guarded.errors)

    keys.write_text("ann not-a-hash\n", encoding="ascii")
    poll(lambda: told() == 1, "the damaged file was told in the log")
    keys.unlink()
    poll(lambda: told() == 2, "the missing file was told in the log")
    assert guarded.ask("GET", "/v2", headers=bearer(ANN.secret)).status == 200
    keys.touch()
    poll(
        lambda: guarded.ask("GET", "/v2", headers=bearer(ANN.secret)).status == 401,
        "an empty file lets nobody in",
    )


def test_a_file_that_is_none_is_refused_by_its_line(digits: Sealed, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(PathError, match="there is no file of API keys at"):
        serve.start(digits.path, options=serve.Options(api_keys=path))
    path.write_text(f"{ANN.line}\nben {BEN.secret}\n", encoding="ascii")
    with pytest.raises(ConfigurationError, match="line 2 of the file of API keys") as caught:
        serve.start(digits.path, options=serve.Options(api_keys=path))
    assert BEN.secret not in str(caught.value)


def test_keys_in_plain_text_beyond_this_machine_are_warned_of(digits: Sealed, keys: Path) -> None:
    warning = "API keys travel in plain text"
    with serving(digits.path, arguments=("--api-keys", str(keys))) as local:
        local.stop()
    assert not any(warning in line for line in local.errors)
    everywhere = ("--api-keys", str(keys), "--http", "0.0.0.0:0")
    with serving(digits.path, arguments=everywhere) as exposed:
        poll(lambda: any(warning in line for line in exposed.errors), "the warning")


def test_a_new_key_shows_itself_once_and_its_line_does_not_tell_it() -> None:
    key = serve.new_key("ann")
    assert key.secret.startswith("shoal_")
    assert key.secret != serve.new_key("ann").secret
    assert key.secret not in key.line
    assert key.secret not in repr(key)
    with pytest.raises(ConfigurationError, match="no name of a key"):
        serve.new_key("ann smith")


def test_preflight_needs_no_key_because_browsers_send_none(digits: Sealed, keys: Path) -> None:
    origin = "https://example.org"
    arguments = ("--api-keys", str(keys), "--allow-origin", origin)
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with serving(digits.path, arguments=arguments) as served:
        assert served.ask("OPTIONS", "/predict", headers=asked).status == 204
        refused = served.ask("POST", "/predict", {}, headers={"Origin": origin})
        assert json.loads(refused.body)["code"] == "unauthorized"
        assert refused.headers["access-control-allow-origin"] == origin
