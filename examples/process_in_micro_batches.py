"""Scores a stream of sensor readings in micro-batches, and sums it up by sensor.

The readings are made one second at a time and never all held. Each window of ten seconds is a
micro-batch; plain Python scores it in two worker processes; merges put the answers together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shoal import batch

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 60
FAR_DEGREES = 2.0
SENSORS = ("north", "east", "south", "west")


def readings() -> Iterator[pa.RecordBatch]:
    random = np.random.default_rng(7)
    for second in range(SECONDS):
        heat = 20 + 5 * math.sin(second / 9) + random.normal(size=len(SENSORS))
        at = pa.array([second] * len(SENSORS), pa.timestamp("s", "UTC"))
        yield pa.RecordBatch.from_pydict({"at": at, "sensor": SENSORS, "heat": heat})


def score(window: pa.RecordBatch) -> pa.RecordBatch:
    """Says which readings lie far from the mean of their window."""
    heat = window.column("heat").to_pylist()
    mean = math.fsum(heat) / len(heat)
    alarm = [abs(value - mean) > FAR_DEGREES for value in heat]
    return window.append_column("alarm", pa.array(alarm))


def main() -> None:
    windows = batch.split(readings(), by=batch.time("at", "10s"))
    answer = batch.process(
        windows,
        score,
        workers=batch.processes(2),
        merge=[batch.count(), batch.mean("heat"), batch.max("heat"), batch.sum("alarm")],
        by="sensor",
    )
    print("sensor  readings  mean   max    alarms")
    for row in answer.to_pylist():
        print(
            f"{row['sensor']:<6}  {row['count']:>8}  {row['mean_heat']:.2f}  "
            f"{row['max_heat']:.2f}  {row['sum_alarm']:>6}"
        )


if __name__ == "__main__":
    main()
