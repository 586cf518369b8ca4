"""Bodies that travel compressed: for clients who ask, and never larger than the limit."""

from __future__ import annotations

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.http as triton

from tests.end_to_end.driver import DEADLINE_S, asked_meanwhile, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

LIMIT_BYTES = 1_000_000
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


def question(digits: Sealed) -> bytes:
    return json.dumps({"features": digits.rows}).encode()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_client_of_triton_compresses_both_ways(one: Served, digits: Sealed, encoding: str) -> None:
    rows = np.array(digits.rows * 20, np.float32)
    with triton.InferenceServerClient(one.http) as client:
        for binary in (True, False):
            column = triton.InferInput("X", list(rows.shape), "FP32")
            column.set_data_from_numpy(rows, binary_data=binary)
            wanted = triton.InferRequestedOutput("label", binary_data=binary)
            answer = client.infer(
                "digits",
                [column],
                outputs=[wanted],
                request_compression_algorithm=encoding,
                response_compression_algorithm=encoding,
            )
            assert answer.as_numpy("label").tolist() == digits.labels * 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_answer_is_compressed_where_that_is_asked_for_and_worth_while(
    one: Served, digits: Sealed, encoding: str
) -> None:
    path, accepted = "/v1/models/digits:predict", {"Accept-Encoding": f"br, {encoding};q=0.5"}
    body = {"instances": digits.rows}
    plain = one.ask("POST", path, body)
    packed = one.ask("POST", path, body, headers=accepted)
    assert packed.headers["content-encoding"] == encoding
    assert packed.headers["vary"] == "accept-encoding"
    assert len(packed.body) < len(plain.body)
    unpack: Any = gzip.decompress if encoding == "gzip" else zlib.decompress
    predictions = json.loads(unpack(packed.body))["predictions"]
    assert [each["label"] for each in predictions] == digits.labels
    # How many rows went together may move the last digit of a probability.
    for each, other in zip(predictions, plain.json()["predictions"], strict=True):
        assert each.keys() == other.keys()
        for name in each.keys() - {"label"}:
            assert each[name] == pytest.approx(other[name], rel=1e-5, abs=1e-6)
    small = one.ask("POST", "/predict", {"features": digits.rows[0]}, headers=accepted)
    assert "content-encoding" not in small.headers
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bomb_is_refused_and_costs_nobody_anything(digits: Sealed, encoding: str) -> None:
    bomb = PACKERS[encoding](b" " * (1000 * LIMIT_BYTES // 10))
    assert len(bomb) < LIMIT_BYTES
    with serving(digits.path, arguments=("--body-limit-bytes", str(LIMIT_BYTES))) as served:

        def ask_once() -> int:
            return served.ask("POST", "/predict", question(digits)).status

        with asked_meanwhile(ask_once, 200, threads=2):
            for _ in range(5):
                headers = {"Content-Encoding": encoding}
                refused = served.ask("POST", "/predict", bomb, headers=headers)
                assert (refused.status, refused.code) == (413, "body_too_large")
        fits = PACKERS[encoding](question(digits) + b" " * (LIMIT_BYTES - len(question(digits))))
        answer = served.ask("POST", "/predict", fits, headers={"Content-Encoding": encoding})
        assert answer.json() == {"prediction": digits.labels}


def test_bombs_at_once_take_no_memory(digits: Sealed) -> None:
    limit_bytes = 64 * 2**20
    bomb = gzip.compress(b" " * (limit_bytes + 1), compresslevel=1)
    with serving(digits.path) as served, ThreadPoolExecutor(16) as pool:
        headers = {"Content-Encoding": "gzip"}
        before_bytes = most_resident_bytes(served)
        asked = [
            pool.submit(served.ask, "POST", "/predict", bomb, headers=headers) for _ in range(16)
        ]
        assert {each.result(DEADLINE_S).code for each in asked} == {"body_too_large"}
        assert most_resident_bytes(served) - before_bytes < limit_bytes / 2  # of 16 times that


def most_resident_bytes(served: Served) -> int:
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", b""),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-1]),
        ("gzip", zlib.compress(b"{}")),
        ("deflate", zlib.compress(b"{}") + b"tail"),
        ("br", b"{}"),
        ("gzip, gzip", b"{}"),
    ],
)
def test_body_that_is_not_what_it_says_is_refused_by_name(
    one: Served, encoding: str, body: bytes
) -> None:
    refused = one.ask("POST", "/predict", body, headers={"Content-Encoding": encoding})
    assert (refused.status, refused.code) == (400, "invalid_request")
