"""`python benchmarks/run.py replay`: serves, asks, plays the traces again, writes and prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.replay import _wide
from benchmarks.serve import _models
from shoal import package
from tools import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
RELEASE = machine.ROOT / "target" / "release"
MODELS = ("digits", "wide")
"""A quick one, whose micro-batches run on the event loop, and one that has a thread."""
PROMISED = 0.2
"""Predictions are to be within this share of what was measured."""
CLOSED = (8, 64)
"""Connections of the closed loads; the rate of the last one is the capacity."""


class Latency(msgspec.Struct, frozen=True):
    """Of one side."""

    answered: int
    p50_us: float
    p99_us: float
    mean_rows: float


class Prediction(msgspec.Struct, frozen=True):
    """What the simulator says, and its share of what was measured."""

    predicted: Latency
    p50_ratio: float
    p99_ratio: float


class Comparison(msgspec.Struct, frozen=True):
    """One trace, played again."""

    requests: int
    lost: int | None
    measured: Latency
    times: Prediction
    """Requests come when they came, or later where their client was answered later."""
    turnarounds: Prediction
    """Requests come as long after an answer as they did."""


class Load(msgspec.Struct, frozen=True):
    """One load on one server."""

    model: str
    kind: str
    """`closed` or `open`."""
    amount: float
    """Connections, or requests a second."""
    answered_per_s: float
    comparison: Comparison


class Result(msgspec.Struct, frozen=True):
    """Everything a run says."""

    date: str
    commit: str
    changed: bool
    machine: machine.Machine
    load_average_1m: float
    """Before the run: others who use the machine make the figures worse."""
    seconds: float
    share: float
    promised: float
    loads: list[Load]


class Asked(msgspec.Struct, frozen=True):
    """What the clients say."""

    answered: int
    seconds: float


def main(
    *,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of each load.")] = 10.0,
    share: Annotated[float, typer.Option(min=0.05, max=0.95, help="Open: of the capacity.")] = 0.5,
    results: Annotated[Path, typer.Option(help="Folder for the JSON.")] = FOLDER / "results",
) -> None:
    """Compares what a real server did with what the simulator says of its trace."""
    busy = os.getloadavg()[0]
    _build()
    with tempfile.TemporaryDirectory(prefix="shoal-") as directory:
        loads = [
            load for model in MODELS for load in _loads(Path(directory) / model, seconds, share)
        ]
    seen = Result(
        date=machine.now(),
        commit=machine.commit(),
        changed=machine.is_changed(),
        machine=machine.describe_machine(),
        load_average_1m=busy,
        seconds=seconds,
        share=share,
        promised=PROMISED,
        loads=loads,
    )
    results.mkdir(parents=True, exist_ok=True)
    name = f"{seen.date[:19].replace(':', '')}Z-{seen.commit[:10]}{'-changed' * seen.changed}"
    path = results / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    Console().print(table(seen))
    Console(stderr=True).print(f"written: {path}", soft_wrap=True)


def table(seen: Result) -> Table:
    """One row for each load and figure."""
    drawn = Table(
        "model", "load", "figure", "measured", "times kept", "ratio", "turnarounds kept", "ratio"
    )
    for load in seen.loads:
        compared = load.comparison
        unit = "connections" if load.kind == "closed" else "/s"
        for figure in ("p50", "p99"):
            cells = [f"{getattr(compared.measured, f'{figure}_us'):.0f} us"]
            for each in (compared.times, compared.turnarounds):
                predicted = getattr(each.predicted, f"{figure}_us")
                cells += [f"{predicted:.0f} us", f"{getattr(each, f'{figure}_ratio'):.2f}"]
            drawn.add_row(load.model, f"{load.kind}, {load.amount:.0f} {unit}", figure, *cells)
    return drawn


def _build() -> None:
    build = ["cargo", "build", "--locked", "--release", "--quiet"]
    programs = (["-p", "shoal-simulator"], ["-p", "shoal-server", "--example", "load"])
    for program in programs:
        subprocess.run([*build, *program], cwd=machine.ROOT, check=True)


def _loads(directory: Path, seconds: float, share: float) -> list[Load]:
    _seal(directory)
    loads = [_load(directory, ("closed", connections), seconds) for connections in CLOSED]
    rate = share * loads[-1].answered_per_s
    return [_load(directory, ("open", rate), seconds), *loads]


def _seal(directory: Path) -> None:
    """The model that the folder is named after, and the body of a request with one row."""
    directory.mkdir()
    trained = _models.train("digits", directory)
    rows = trained.held_out
    source = trained.source
    if directory.name == "wide":
        source = directory / "wide.onnx"
        _wide.write(source)
    example = pa.record_batch({"X": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 64)})
    output = directory / "package"
    package.build(source, name=directory.name, version="1", output=output, example=example)
    data = [float(value) for value in rows[0]]
    column = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": data}
    (directory / "body.json").write_text(json.dumps({"inputs": [column]}))


def _load(directory: Path, kind: tuple[str, float], seconds: float) -> Load:
    trace = directory / f"{kind[0]}-{kind[1]:.0f}.jsonl"
    with _serving(directory / "package", trace) as address:
        asked = _ask(address, directory, kind, seconds)
    return Load(directory.name, *kind, asked.answered / asked.seconds, _replay(trace))


@contextmanager
def _serving(sealed: Path, trace: Path) -> Iterator[str]:
    """A server on the first core, ended by SIGTERM so that its trace is whole."""
    words = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--log-level", "warning"]
    words += ["--trace-file", str(trace), "--profile-cache", "off"]
    command = [sys.executable, "-m", "shoal.cli", "serve", str(sealed), *words]
    with subprocess.Popen(_pinned(command, 0), stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            yield json.loads(ready)["http"]
        finally:
            process.terminate()


def _ask(address: str, directory: Path, kind: tuple[str, float], seconds: float) -> Asked:
    amount, body = f"{kind[1]:.0f}", directory / "body.json"
    path = f"/v2/models/{directory.name}/infer"
    load = str(RELEASE / "examples" / "load")
    command = [load, address, path, str(body), kind[0], amount, str(seconds)]
    done = subprocess.run(_pinned(command, -1), capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout, type=Asked)


def _pinned(command: list[str], place: int) -> list[str]:
    """A command on one of the cores that this process may use."""
    core = sorted(os.sched_getaffinity(0))[place]
    return ["taskset", "-c", str(core), *command]


def _replay(trace: Path) -> Comparison:
    command = [str(RELEASE / "shoal-simulator"), "replay", str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    compared = msgspec.json.decode(done.stdout, type=Comparison)
    if compared.lost != 0:
        message = f"the trace {trace.name} is not whole: {compared.lost} lines lost"
        raise RuntimeError(message)
    return compared
