"""Weights share the requests that name no version, exactly and without chance."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import tritonclient.grpc

from tests.end_to_end import models
from tests.end_to_end.repository_driver import keeping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.repository_driver import Kept

ROW = [0.0] * 64


@pytest.fixture
def kept(places: Path, tmp_path: Path, one: Path) -> Iterator[Kept]:
    with keeping(tmp_path, one) as kept:
        yield kept


@pytest.fixture(scope="session")
def one(places: Path) -> Path:
    return models.tree(places, "21")


@pytest.fixture(scope="session")
def two(places: Path) -> Path:
    return models.tree(places, "22")


def share(kept: Kept, **weights: int) -> None:
    named = {version.removeprefix("v"): weight for version, weight in weights.items()}
    assert kept.call("models/digits/canary", {"weights": named}).json() == {"weights": named}


def answers(kept: Kept, requests: int) -> Counter[str]:
    return Counter(kept.answering(ROW) for _ in range(requests))


def weights_of(kept: Kept) -> dict[str, int]:
    return {
        line["version"]: line["weight"] for line in kept.call("index").json() if "weight" in line
    }


def test_new_version_gets_nothing_until_it_is_given_a_share_and_then_exactly_that(
    kept: Kept, two: Path
) -> None:
    share(kept, v21=100)
    kept.put(two)
    assert kept.load("digits").status == 200
    assert answers(kept, 20) == {"21": 20}
    share(kept, v21=95, v22=5)
    assert answers(kept, 100) == {"21": 95, "22": 5}
    assert answers(kept, 200) == {"21": 190, "22": 10}
    assert weights_of(kept) == {"21": 95, "22": 5}
    text = kept.served.ask("GET", "/metrics").body.decode()
    assert 'shoal_canary_weight{model="digits",version="22"} 5' in text
    share(kept, v22=1)
    assert answers(kept, 5) == {"22": 5}
    assert kept.call("models/digits/canary", {"weights": {}}).status == 200
    assert weights_of(kept) == {}
    assert "shoal_canary_weight{" not in kept.served.ask("GET", "/metrics").body.decode()


def test_request_that_names_a_version_gets_that_one(kept: Kept, two: Path) -> None:
    kept.put(two)
    kept.load("digits")
    share(kept, v21=1)
    column = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": ROW}
    path = "/v2/models/digits/versions/22/infer"
    reply = kept.served.ask("POST", path, {"inputs": [column]})
    assert reply.json()["model_version"] == "22"
    assert kept.served.ask("POST", "/predict", {"features": ROW}).status == 200


def test_both_doors_share_one_order(kept: Kept, two: Path) -> None:
    import numpy as np

    kept.put(two)
    kept.load("digits")
    share(kept, v21=1, v22=1)
    column = tritonclient.grpc.InferInput("X", [1, 64], "FP32")
    column.set_data_from_numpy(np.zeros((1, 64), np.float32))
    seen = []
    with tritonclient.grpc.InferenceServerClient(kept.served.grpc) as client:
        for _ in range(3):
            seen.append(client.infer("digits", [column]).get_response().model_version)
            seen.append(kept.answering(ROW))
    assert seen == ["21", "22"] * 3


def test_share_of_a_version_that_goes_is_its_neighbours(kept: Kept, two: Path) -> None:
    kept.put(two)
    kept.load("digits")
    share(kept, v21=1, v22=9)
    assert kept.unload("digits", "22").status == 200
    assert answers(kept, 10) == {"21": 10}
    assert weights_of(kept) == {"21": 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"weights": {"7": 1}}, "unknown_version"),
        ({"weights": {"21": 0}}, "invalid_request"),
        ({"weights": {"21": -1}}, "invalid_request"),
        ({"weights": {"21": 0.5}}, "invalid_request"),
        ({"weights": {"21": 1}, "model": "x"}, "invalid_request"),
        ({}, "invalid_request"),
        (None, "invalid_request"),
    ],
)
def test_weights_that_mean_nothing_are_refused(kept: Kept, body: object, code: str) -> None:
    assert kept.call("models/digits/canary", body).code == code
    assert kept.call("models/other/canary", {"weights": {"21": 1}}).code == "unknown_model"
