"""Runs queries as pipelines, one after the other: `python -m benchmarks.streams._shoal DIRECTORY`.

Each line of standard input is a task as JSON: `query`, the folder `events`, and the folder
`output`, which is not there yet. Each line of standard output says how many seconds it took, from
the first call until all answers are committed. DIRECTORY is for ledgers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.streams._queries import QUERIES
from shoal.source import ParquetSink, folder


def run(task: dict[str, str], directory: str) -> float:
    """Answers a task; gives the seconds."""
    with TemporaryDirectory(prefix="ledger-", dir=directory) as ledger:
        began = time.perf_counter()
        pipeline = QUERIES[task["query"]](Path(task["events"]))
        pipeline.to(ParquetSink(folder(task["output"]))).run(ledger)
        return time.perf_counter() - began


def main() -> None:
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        seconds = run(json.loads(line), sys.argv[1])
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
