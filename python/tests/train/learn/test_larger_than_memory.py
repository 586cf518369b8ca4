"""Twenty million records of 60 numbers are learned from in less memory than a tenth of them takes.

The claim is that of `just prove`: 20,000,000 records, 4.8 GB of floats, in less than 1 GB resident;
here it is a two-hundredth of them, and memory must not grow by more than a few micro-batches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]
ROWS = 100_000
BATCH_ROWS = 50_000
WIDTH = 60
LIMIT_BYTES = 1 << 30

LEARN = """
import json, resource, sys, time
from pathlib import Path

import numpy as np

from shoal import train

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

if __name__ == "__main__":
    began, told = time.monotonic(), []
    settings = train.LearnSettings(epochs=2, held_out=0.02, workers=int(sys.argv[2]))
    model = train.Gradient(learning_rate=0.2)
    fitted = train.learn(sys.argv[1], "label", model, settings=settings, tell=told.append)
    weights = fitted.pipeline.steps[-1][1].coef_[0]
    print(json.dumps({
        "peak_bytes": status("VmHWM"),
        "children_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10,
        "seconds": round(time.monotonic() - began, 1),
        "held_out_loss": told[-1].held_out_loss,
        "weights": weights.tolist(),
    }))
"""


def truth() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, WIDTH)


def write(place: Path, rows: int) -> float:
    """Records in micro-batches, sorted by their label; gives the least loss that there can be."""
    chance = np.random.default_rng(1)
    names = [f"x{number}" for number in range(WIDTH)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("label", pa.bool_())])
    loss = 0.0
    with pq.ParquetWriter(place, schema) as writer:
        for label in (True, False):
            for _ in range(rows // BATCH_ROWS // 2):
                values = chance.standard_normal((3 * BATCH_ROWS, WIDTH), np.float32)
                leaning = values @ truth()
                found = np.flatnonzero(
                    (chance.random(len(values)) < 1 / (1 + np.exp(-leaning))) == label
                )
                chosen = found[:BATCH_ROWS]
                assert len(chosen) == BATCH_ROWS
                loss += np.logaddexp(0, (-1 if label else 1) * leaning[chosen]).sum()
                columns = [pa.array(column) for column in values[chosen].T]
                labels = pa.array(np.full(BATCH_ROWS, label))
                writer.write_batch(pa.record_batch([*columns, labels], schema))
    return float(loss / rows)


def test_records_that_memory_does_not_hold_are_learned_from(
    tmp_path: Path, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    rows = ROWS * prove_scale
    least = write(tmp_path / "records.parquet", rows)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "TMPDIR": str(tmp_path)}
    (tmp_path / "learning.py").write_text(LEARN)
    command = [sys.executable, "-W", "error", str(tmp_path / "learning.py")]
    done = subprocess.run(
        [*command, str(tmp_path / "records.parquet"), "2"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (tmp_path / "records.parquet").unlink()
    found = json.loads(done.stdout)
    weights = np.array(found.pop("weights"))
    record_property("cases", rows)
    record_property("learned from more records than memory holds", {"rows": rows, **found})
    assert found["children_bytes"] == 0
    assert found["peak_bytes"] < LIMIT_BYTES
    assert found["held_out_loss"] < least * 1.01 + 20 / np.sqrt(rows)
    assert np.corrcoef(weights, truth())[0, 1] > 0.99
