"""Requests of different lengths share a micro-batch; each gets the answer it would get alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal import package
from shoal.values import Padding
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, serving
from tests.end_to_end.hold_driver import batching, held
from tests.end_to_end.stories import lengths
from tests.package.padded import sealed

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.end_to_end.driver import Served

CLIENTS = 12
ASKS = 25


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return sealed(tmp_path_factory.mktemp("padded") / "masked")


def asked(length: int) -> dict[str, Any]:
    """One record of this length; no client sends the length of another."""
    data = {
        "ids": [float(length * place) for place in range(length)],
        "mask": [float(place % 3 > 0) for place in range(length)],
    }
    columns = [
        {"name": name, "shape": [1, length], "datatype": "FP32", "data": values}
        for name, values in data.items()
    ]
    return {"inputs": columns}


def alone(sealed_model: Package, length: int) -> dict[str, list[float]]:
    """What the model answers when it is asked in this process, unpadded."""
    floats = pa.list_(pa.float32())
    columns = {each["name"]: pa.array([each["data"]], floats) for each in asked(length)["inputs"]}
    answers = sealed_model.model().predict(pa.record_batch(columns))
    return {"total": answers["total"].to_pylist(), "states": answers["states"].to_pylist()[0]}


def test_clients_of_different_lengths_share_micro_batches_and_are_answered_as_alone(
    masked: Package,
) -> None:
    expected = {length: alone(masked, length) for length in range(1, CLIENTS + 1)}
    with serving(masked.path) as served:
        shared = threading.Event()

        def client(length: int) -> list[dict[str, Any]]:
            ends_at = time.monotonic() + DEADLINE_S
            replies: list[dict[str, Any]] = []
            while len(replies) < ASKS or not (shared.is_set() or time.monotonic() > ends_at):
                replies.append(served.ask("POST", "/v2/models/masked/infer", asked(length)).json())
                if any(each["requests"] > 1 for each in batching(served, "masked")["recent"]):
                    shared.set()
            return replies

        with ThreadPoolExecutor(CLIENTS) as pool:
            told = dict(zip(expected, pool.map(client, expected), strict=True))
        account = batching(served, "masked")
    assert shared.is_set(), account
    # A request counts with its padded size: two columns of FP32 of a length that is whole.
    assert {each["bytes"] // each["rows"] for each in account["recent"]} <= {64, 128}
    for length, replies in told.items():
        for reply in replies:
            found = {each["name"]: each for each in reply["outputs"]}
            assert found["states"]["shape"] == [1, length]
            assert {name: each["data"] for name, each in found.items()} == expected[length]


def _sealed(directory: Path, *, lengths: tuple[int, ...]) -> Path:
    """A package that sums records of any length, padded to the next of `lengths`."""
    path = directory / "lengths"
    package.build(
        "lengths:answer",
        name="lengths",
        version="1",
        output=path,
        example=pa.record_batch({"values": [[1.0], [2.0, 3.0], [4.0] * 5]}),
        settings=package.Settings(
            source=models.STORIES, padding={"values": Padding(0, lengths=lengths)}
        ),
    )
    return path


def test_all_lengths_that_wait_go_in_one_micro_batch_per_rounded_length(tmp_path: Path) -> None:
    path = _sealed(tmp_path, lengths=(4, 8))
    arguments = ("--allow-code",)
    with serving(path, arguments=arguments, SHOAL_NOTES=str(tmp_path)) as served:
        sums = _sums(served, tmp_path)
        assert sums == [[float(number * (1 + number % 8))] for number in range(16)]
        assert batching(served, "lengths")["batch_rows"] == {"1": 1, "8": 2}


def test_once_costs_are_known_lengths_that_wait_together_go_in_one_micro_batch(
    tmp_path: Path,
) -> None:
    path = _sealed(tmp_path, lengths=(2, 4, 6, 8))
    arguments = ("--allow-code",)
    with serving(path, arguments=arguments, SHOAL_NOTES=str(tmp_path)) as served:
        for rows, length in [(1, 1), (1, 8), (64, 1), (64, 8), (256, 8)] * 4:
            numbers = [2.0] * (rows * length)
            column = {"name": "values", "shape": [rows, length], "datatype": "FP64"}
            reply = served.ask(
                "POST", "/v2/models/lengths/infer", {"inputs": [{**column, "data": numbers}]}
            )
            assert reply.json()["outputs"][0]["data"] == [2.0 * length] * rows
        assert _sums(served, tmp_path) == [[float(each * (1 + each % 8))] for each in range(16)]
        recent = batching(served, "lengths")["recent"]
    (together,) = (each for each in recent if each["requests"] > 1)
    # Each of the sixteen counts as one of the longest: eight numbers of eight bytes.
    assert (together["requests"], together["rows"]) == (16, 16), recent
    assert together["bytes"] == 16 * 8 * 8, recent


def _sums(served: Served, notes: Path) -> list[list[float]]:
    with held(served, notes, {"values": [lengths.WAITS]}) as hold:
        asks = []
        for number in range(16):
            asks.append(hold.predict({"values": [float(number)] * (1 + number % 8)}))
            hold.wait_for_rows(number + 1)
        hold.open()
        return [ask.result(DEADLINE_S).json()["prediction"] for ask in asks]


def test_a_request_whose_padded_size_is_beyond_the_queue_is_refused(tmp_path: Path) -> None:
    rules = {name: Padding(0, lengths=(16, 100_000)) for name in ("ids", "mask")}
    with serving(sealed(tmp_path / "masked", rules).path) as served:
        column = {"shape": [1000, 17], "datatype": "FP32", "data": [0.0] * 17_000}
        body = {"inputs": [{"name": name, **column} for name in rules]}
        reply = served.ask("POST", "/v2/models/masked/infer", body)
        assert (reply.status, reply.code) == (413, "body_too_large")
        assert served.ask("POST", "/v2/models/masked/infer", asked(3)).status == 200
