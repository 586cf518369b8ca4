"""What a model costs a real server: micro-batches, and what a request takes beside them.

The server has one core. Of each number of rows a few requests are sent, one after the other. What
counts is the time on the processor, of the thread that runs the model and of all others, so that
whoever else uses the machine is not in it; the least of the few. A request that the server cuts
tells nothing: it has learned then that larger micro-batches do not pay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.autoscaling import _models
from tools import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

PROFILES = Path(__file__).parent / "profiles"
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
TIMES = 5
EXAMPLE_ROWS = 40
MAX_ROWS = 512  # of a package that says nothing
EXECUTOR = "shoal-executor"


class Profile(msgspec.Struct, frozen=True):
    """The costs of one model on one core."""

    model: str
    date: str
    commit: str
    machine: machine.Machine
    load_average_1m: float
    sizes: list[tuple[int, float]]
    """(rows, milliseconds of a micro-batch of so many)."""
    request_ms: float
    """Of the processor for a request of one row, beside its micro-batch."""

    @property
    def one_row_ms(self) -> float:
        """A micro-batch of one row."""
        return self.sizes[0][1]

    @property
    def capacity_per_ms(self) -> float:
        """Rows, at the cheapest size."""
        return max(rows / ms for rows, ms in self.sizes)


def read(model: str) -> Profile:
    """The profile that is kept of a model."""
    return msgspec.json.decode((PROFILES / f"{model}.json").read_bytes(), type=Profile)


def measure(model: str) -> Profile:
    """Measures a model on a server of its own, and keeps what it says."""
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="shoal-") as directory:
        sealed = _seal(model, Path(directory))
        with _serving(sealed) as (process, address):
            seen = [(rows, _costs(process, address, model, rows)) for rows in SIZES]
    sizes = [(rows, least) for rows, (least, _) in seen if least is not None]
    request_ms = seen[0][1][1]
    place = machine.describe_machine()
    profile = Profile(model, machine.now(), machine.commit(), place, busy, sizes, request_ms)
    PROFILES.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(profile), indent=1)
    (PROFILES / f"{model}.json").write_bytes(text + b"\n")
    return profile


def _seal(model: str, directory: Path) -> Path:
    import numpy as np
    import pyarrow as pa

    from shoal import package

    _models.write(model, directory / "model.onnx")
    numbers = np.random.default_rng(0).random((EXAMPLE_ROWS, _models.INPUTS), np.float32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), _models.INPUTS)
    output = directory / "package"
    example = pa.record_batch({"X": rows})
    package.build(directory / "model.onnx", name=model, version="1", output=output, example=example)
    return output


@contextmanager
def _serving(sealed: Path) -> Iterator[tuple[int, str]]:
    """A server on the first core that this process may use: its process, and where it answers."""
    core = str(min(os.sched_getaffinity(0)))
    words = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--profile-cache", "off"]
    serve = [sys.executable, "-m", "shoal.cli", "serve", str(sealed), "--log-level", "warning"]
    command = ["taskset", "-c", core, *serve, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            yield process.pid, json.loads(ready)["http"]
        finally:
            process.terminate()


def _costs(process: int, address: str, model: str, rows: int) -> tuple[float | None, float]:
    """(a micro-batch of so many rows; what a request takes beside it), in milliseconds."""
    seen = [_asked(process, address, model, rows) for _ in range(TIMES)]
    whole = [in_model_ms for in_model_ms, _, is_whole in seen if is_whole]
    return min(whole, default=None), min(beside_ms for _, beside_ms, _ in seen)


def _asked(process: int, address: str, model: str, rows: int) -> tuple[float, float, bool]:
    """Of one request: time in the model, time beside it, and whether it was one micro-batch."""
    column = {"name": "X", "shape": [rows, _models.INPUTS], "datatype": "FP32"}
    body = json.dumps({"inputs": [column | {"data": [0.5] * rows * _models.INPUTS}]})
    connection = HTTPConnection(address, timeout=60)
    before = _processor_ms(process)
    connection.request("POST", f"/v2/models/{model}/infer", body)
    answer = connection.getresponse()
    if answer.status != HTTPStatus.OK:
        message = f"the server answered {answer.status}: {answer.read()!r}"
        raise RuntimeError(message)
    answer.read()
    in_model_ms, beside_ms = (
        round(now - then, 3) for now, then in zip(_processor_ms(process), before, strict=True)
    )
    connection.request("GET", f"/v2/models/{model}/batching")
    latest = json.load(connection.getresponse())["recent"][-1]
    connection.close()
    return in_model_ms, beside_ms, latest["rows"] == rows


def _processor_ms(process: int) -> tuple[float, float]:
    """Time on the processor: of the thread that runs the model, and of all others.

    Source: Linux, Documentation/scheduler/sched-stats.rst: nanoseconds come first.
    """
    used_ms = {True: 0.0, False: 0.0}
    for task in Path("/proc", str(process), "task").iterdir():
        is_executor = (task / "comm").read_text().strip() == EXECUTOR
        used_ms[is_executor] += int((task / "schedstat").read_text().split()[0]) / 1e6
    return used_ms[True], used_ms[False]
