"""A client loads what it needs, when it needs it."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"numpy", "pandas", "pyarrow", "aiohttp", "grpc", "google", "shoal._native"}
IMPORT_LIMIT_S = 0.150
ATTEMPTS = 5  # the fastest of five: what else the machine does can only slow an import down

LOADED = "import json, sys, {}; print(json.dumps(sorted(sys.modules)))"
TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def answer_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_the_room_loads_nothing_heavy() -> None:
    assert HEAVY.isdisjoint(json.loads(answer_of(LOADED.format("shoal.client"))))


def test_importing_the_room_is_fast() -> None:
    program = TIMED.format("shoal.client")
    assert min(float(answer_of(program)) for _ in range(ATTEMPTS)) < IMPORT_LIMIT_S


def test_a_client_over_http_loads_neither_pandas_nor_pyarrow_nor_grpc() -> None:
    made = "from shoal.client import Client\nClient('http://localhost:1')\nimport shoal.client"
    loaded = set(json.loads(answer_of(f"{made}\n{LOADED.format('shoal.client')}")))
    assert {"pandas", "pyarrow", "grpc"}.isdisjoint(loaded)
