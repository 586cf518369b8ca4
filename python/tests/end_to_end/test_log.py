"""What a server tells on stderr, and what it never tells."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from shoal import serve
from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed

CANARY = "canary-2f6c"
TWO_SERVERS = """
import sys
from shoal import serve
options = [serve.Options(log_level=level, log_format="json") for level in ("info", "off")]
with serve.start(sys.argv[1], options=options[0]) as loud:
    with serve.start(sys.argv[1], options=options[1]):
        pass
    print(loud.http, flush=True)
"""


def events(lines: list[str]) -> list[dict[str, Any]]:
    """The lines as objects; every one must be one."""
    return [json.loads(line) for line in lines]


def test_each_line_is_an_object_and_start_and_end_are_told(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--log-format", "json")) as served:
        assert served.ask("POST", "/predict", {"features": digits.rows[0]}).status == 200
        assert served.ask("POST", "/predict", b"{").status == 400
        served.stop()
    told = events(served.errors)
    assert [event["message"] for event in told] == [
        "the server listens",
        "the server drains: what was accepted is answered",
        "the server has ended",
    ]
    assert {event["level"] for event in told} == {"INFO"}
    assert (told[0]["http"], told[0]["grpc"]) == (served.http, served.grpc)
    assert (told[0]["models"], told[0]["tls"], told[0]["keys"]) == ("digits", False, False)


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_that_a_client_sends_is_ever_told(fragile: Path, tmp_path: Path, form: str) -> None:
    key, path = serve.new_key("ann"), tmp_path / "keys"
    path.write_text(key.line + "\n", encoding="ascii")
    headers = {"X-API-Key": key.secret, "X-Other": CANARY, CANARY: "x"}
    arguments = ("--allow-code", "--api-keys", str(path))
    chosen = ("--log-level", "debug", "--log-format", form)
    with serving(fragile, arguments=(*arguments, *chosen)) as served:
        for body in (
            {"features": {"value": CANARY}},
            {"features": {CANARY: 1}},
            {CANARY: 1},
            CANARY.encode(),
            {"features": {"value": -1.0}},
        ):
            assert served.ask("POST", "/predict", body, headers=headers).status >= 400
        assert served.ask("GET", f"/{CANARY}?{CANARY}", headers=headers).status == 404
        assert served.ask("GET", "/v2", headers={"X-API-Key": CANARY}).status == 401
        with grpc.insecure_channel(served.grpc) as channel, pytest.raises(grpc.RpcError):
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
                service_pb2.ModelInferRequest(model_name=CANARY),
                metadata=(("x-api-key", key.secret), ("x-other", CANARY)),
            )
        served.stop()
    text = "".join(served.errors)
    assert "the model raised ValueError" in text
    assert "unknown_route" in text
    assert "a value below zero" not in text
    for secret in (CANARY, key.secret, key.line.split(":")[1]):
        assert secret not in text


def test_a_model_that_fails_again_and_again_does_not_flood_the_log(fragile: Path) -> None:
    with serving(fragile, arguments=("--allow-code", "--log-format", "json")) as served:
        for _ in range(50):
            assert served.ask("POST", "/predict", {"features": {"value": -1.0}}).status == 500
        served.stop()
    failures = [event for event in events(served.errors) if event["level"] == "ERROR"]
    assert 1 <= len(failures) < 25
    assert failures[0]["model"] == "fragile"


def test_two_servers_of_one_process_have_a_log_each(digits: Sealed) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SERVERS, str(digits.path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    listening = [each for each in events(done.stderr.splitlines()) if "http" in each]
    assert {each["http"] for each in listening} == {done.stdout.strip()}


def test_a_server_started_from_python_is_silent(digits: Sealed, capfd: Any) -> None:
    with serve.start(digits.path) as server:
        assert server.http
    assert capfd.readouterr() == ("", "")


def test_keys_that_are_read_anew_are_told(digits: Sealed, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch()
    with serving(digits.path, arguments=("--api-keys", str(path))) as served:
        path.write_text(serve.new_key("ann").line, encoding="ascii")
        poll(lambda: any("read anew keys=1" in line for line in served.errors), "it is told")
