"""The command `just bench worker`: prepares, takes the rounds, writes and prints."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from benchmarks.worker._figures import (
    Overhead,
    Round,
    overhead_of,
    round_of,
    verdict,
)
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

FOLDER = Path(__file__).parent
MODEL = """
import pyarrow as pa

def predict(batch):
    rows = batch.column("X")
    return {"first": rows.flatten().to_numpy()[:: rows.type.list_size]}
"""
ROWS = 32
FLOATS = 64
WARM_UP = 500


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    calls: int
    rounds: list[Round]
    overhead: Overhead


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 9,
    calls: Annotated[int, typer.Option(min=100, help="Calls in each half of a round.")] = 5000,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """What a worker process adds to a call of a Python model, 32 rows of 64 floats."""
    program = _build()
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        taken = _rounds(program, Path(directory), rounds, calls)
    seen = Result(
        now(), commit(), is_changed(), describe_machine(), calls, taken, overhead_of(taken)
    )
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    _print(seen, path)


def _build() -> Path:
    command = ["cargo", "build", "--release", "--quiet", "--locked"]
    subprocess.run([*command, "-p", "shoal-server", "--example", "worker"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "examples" / "worker"


def _rounds(program: Path, directory: Path, rounds: int, calls: int) -> list[Round]:
    from shoal import package

    sealed = package.open(_seal(directory))
    with sealed.payload(allow_code=True) as launch:
        question = {
            "description": sealed.description_text,
            "command": launch.command,  # type: ignore[union-attr]  # of a Python package
            "directory": launch.directory,  # type: ignore[union-attr]  # of a Python package
            "values_hex": _values().tobytes().hex(),
            "rows": ROWS,
            "warm_up": WARM_UP,
            "calls": calls,
        }
        direct = [sys.executable, str(FOLDER / "_direct.py")]
        return [
            round_of(_asked(direct, question), _asked([str(program)], question))
            for _ in range(rounds)
        ]


def _seal(directory: Path) -> Path:
    import pyarrow as pa

    from shoal import package

    source = directory / "source"
    source.mkdir()
    (source / "first.py").write_text(MODEL)
    column = pa.FixedSizeListArray.from_arrays(pa.array(_values().ravel()), FLOATS)
    package.build(
        "first:predict",
        name="first",
        version="1",
        output=directory / "first",
        example=pa.record_batch({"X": column}),
        settings=package.Settings(source=source),
    )
    return directory / "first"


def _values() -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(ROWS, FLOATS)).astype(np.float32)


def _asked(command: list[str], question: dict[str, Any]) -> list[int]:
    given = json.dumps(question)
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    answer: list[int] = json.loads(done.stdout)
    return answer


def _print(seen: Result, path: Path) -> None:
    console = Console(soft_wrap=True)
    for number, each in enumerate(seen.rounds, start=1):
        console.print(
            f"round {number}: direct {each.direct_us:.1f} us, worker {each.worker_us:.1f} us "
            f"(p99 {each.worker_p99_us:.1f}), overhead {each.overhead_us:.1f} us",
            highlight=False,
        )
    overhead = seen.overhead
    console.print(
        f"overhead: {overhead.median_us:.1f} us ({overhead.smallest_us:.1f} to "
        f"{overhead.largest_us:.1f}), {verdict(overhead)}",
        highlight=False,
    )
    console.print(f"written: {path}", highlight=False)
