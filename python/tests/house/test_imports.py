"""`import shoal` is light, fast and without side effects."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("numpy", "pandas", "pyarrow", "onnx", "onnxruntime", "sklearn", "rich", "typer", "grpc")
IMPORT_LIMIT_S = 0.150
ATTEMPTS = 5  # the fastest of five: what else the machine does can only slow an import down


def answer_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_shoal_loads_nothing_heavy() -> None:
    loaded = json.loads(
        answer_of("import json, sys, shoal; print(json.dumps(sorted(sys.modules)))")
    )
    assert [name for name in HEAVY if name in loaded] == []


def test_importing_shoal_is_fast() -> None:
    program = (
        "import time; start = time.perf_counter(); import shoal; print(time.perf_counter() - start)"
    )
    assert min(float(answer_of(program)) for _ in range(ATTEMPTS)) < IMPORT_LIMIT_S


def test_importing_shoal_prints_nothing_and_starts_no_thread() -> None:
    assert answer_of("import threading, shoal; assert threading.active_count() == 1") == ""
