"""SIGTERM and SIGINT: what was accepted is answered, then the process ends with 0."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

REQUESTS = 12


def refuses(served: Served) -> bool:
    """Whether a newcomer is turned away: no connection, or a plain 503."""
    try:
        return served.ask("GET", "/v2/health/ready").status == 503
    except (OSError, HTTPException):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_everything_accepted_is_answered_when_a_signal_comes(
    gated: Path, tmp_path: Path, number: int
) -> None:
    with (
        serving(gated, arguments=("--allow-code",), SHOAL_GATE=str(tmp_path)) as served,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):
        body = {"features": {"value": 21.0}}
        under_way = [pool.submit(served.ask, "POST", "/predict", body)]
        poll((tmp_path / "reached").exists, "the model was reached")
        rest = range(REQUESTS - 1)
        under_way += [pool.submit(served.ask, "POST", "/predict", body) for _ in rest]
        poll(lambda: served.waiting_rows() == len(rest), "all others wait behind the first")
        served.process.send_signal(number)
        poll(lambda: refuses(served), "newcomers are turned away")
        assert not any(each.done() for each in under_way)
        (tmp_path / "open").touch()
        answered = [each.result(DEADLINE_S) for each in under_way]
        assert served.process.wait(DEADLINE_S) == 0
    assert [each.json() for each in answered] == [{"prediction": [42.0]}] * REQUESTS


def test_signal_right_after_the_ready_line_ends_cleanly(digits: Sealed) -> None:
    with serving(digits.path) as served:
        assert served.stop() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once_and_names_what_is_abandoned(
    gated: Path, tmp_path: Path, second: int
) -> None:
    arguments = ("--allow-code", "--log-format", "json")
    with (
        serving(gated, arguments=arguments, SHOAL_GATE=str(tmp_path)) as served,
        ThreadPoolExecutor(3) as pool,
    ):
        body = {"features": {"value": 21.0}}
        lost = [pool.submit(served.ask, "POST", "/predict", body)]
        poll((tmp_path / "reached").exists, "the model was reached")
        lost += [pool.submit(served.ask, "POST", "/predict", body) for _ in range(2)]
        poll(lambda: served.waiting_rows() == 2, "the others wait behind it")
        served.process.send_signal(signal.SIGTERM)
        poll(lambda: refuses(served), "the server drains")
        assert served.stop(second) == 1
        assert all(isinstance(each.exception(DEADLINE_S), OSError | HTTPException) for each in lost)
    told = [json.loads(line) for line in served.errors]
    abandoned = next(event for event in told if event["message"] == "requests were abandoned")
    assert (abandoned["level"], abandoned["model"]) == ("ERROR", "gated")
    assert abandoned["requests"] == 3
    assert told[-1]["message"] == "a second signal ended the drain"


def test_notice_of_a_drain_is_given_while_requests_are_still_taken(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--drain-notice-ms", "60000")) as served:
        kept = HTTPConnection(served.http, timeout=DEADLINE_S)
        question = json.dumps({"features": digits.rows[0]}).encode()
        assert answered(kept, question).getheader("Connection") is None
        with grpc.insecure_channel(served.grpc) as channel:
            # Source: grpc/health/v1/health.proto; messages of one field, as bytes.
            health = channel.unary_unary("/grpc.health.v1.Health/Check")
            of_service = b"\x0a\x1einference.GRPCInferenceService"
            assert health(of_service) == b"\x08\x01", "SERVING"
            served.process.send_signal(signal.SIGTERM)
            poll(lambda: refuses(served), "readiness says no")
            assert served.ask("GET", "/v2/health/ready").code == "shutting_down"
            assert served.ask("GET", "/v2/health/live").status == 200
            # A client that is connected is told to go, and a newcomer is answered all the same.
            assert answered(kept, question).getheader("Connection") == "close"
            newcomer = served.ask("POST", "/predict", question)
            assert newcomer.json() == {"prediction": [digits.labels[0]]}
            assert health(of_service) == b"\x08\x02", "NOT_SERVING"
        kept.close()
        # Who does not want to wait for the end of the notice sends another signal.
        assert served.stop() == 1


def answered(connection: HTTPConnection, question: bytes) -> HTTPResponse:
    """The answer to one more question on a connection, read whole."""
    connection.request("POST", "/predict", question)
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    return answer


def test_a_drain_begins_when_its_notice_is_over(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--drain-notice-ms", "50")) as served:
        assert served.stop() == 0
