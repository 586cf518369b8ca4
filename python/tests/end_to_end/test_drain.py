"""SIGTERM and SIGINT: what was accepted is answered, then the process ends with 0."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import DEADLINE_S, poll, serving

if TYPE_CHECKING:
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
