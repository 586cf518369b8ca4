"""Calls a Python model directly: a program that is told what to do as `examples/worker.rs` is."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from shoal.runtime import read_description
from shoal.runtime._python import PythonModel


def main() -> None:
    question = json.load(sys.stdin)
    description = read_description(question["description"])
    model = PythonModel(description, Path(question["directory"]))
    column = description.signature.inputs[0]
    shape = [question["rows"], *column.shape]
    data = memoryview(bytes.fromhex(question["values_hex"]))
    took_ns = []
    for _ in range(question["warm_up"] + question["calls"]):
        start_ns = time.perf_counter_ns()
        model.answer([(column.name, column.dtype.value, shape, data, None)])
        took_ns.append(time.perf_counter_ns() - start_ns)
    sys.stdout.write(json.dumps(took_ns[question["warm_up"] :]) + "\n")


if __name__ == "__main__":
    main()
