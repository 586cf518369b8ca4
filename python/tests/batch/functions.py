"""Functions that worker processes find by name."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def same(records: Any) -> Any:
    return records


def total(records: list[float]) -> float:
    return sum(records)


def doubled(records: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"value": pc.multiply(records.column("value"), 2)})


def process_id(records: Any) -> int:
    return os.getpid()


def fail_on_three(records: list[int]) -> int:
    if 3 in records:
        raise ValueError("three is not allowed")
    return len(records)


def die(records: Any) -> Any:
    os._exit(7)


def chatter(records: list[int]) -> int:
    print("to standard output", len(records), flush=True)  # noqa: T201 - the test is about it
    sys.stdin.read()
    return len(records)


def answer_with_a_set(records: list[int]) -> Any:
    return set(records)


def scalar_of_numpy(records: list[float]) -> Any:
    return np.float32(records[0])
