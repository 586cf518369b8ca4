"""`just bench switch` measures what it says, in short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_short_run_writes_its_windows_and_the_spike(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "switch"]
    options = ["--rounds", "1", "--seconds", "1", "--results", str(tmp_path)]
    subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True)
    [path] = tmp_path.glob("*.json")
    result = json.loads(path.read_text("utf-8"))
    [taken] = result["rounds"]
    assert taken["changes"] > 0
    assert taken["quiet"]["of_version"] == {"1": taken["quiet"]["requests"]}
    assert taken["meanwhile"]["of_version"]["2"] > 0
    assert result["spike"] == taken["meanwhile"]["p99_us"] / taken["quiet"]["p99_us"]
    assert {"date", "commit", "machine", "neighbours"} <= set(result)
