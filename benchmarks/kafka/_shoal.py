"""The pipeline: `python -m benchmarks.kafka._shoal SERVERS IN OUT PACKAGE LEDGER SECONDS`.

Ends when its standard input does. SECONDS is how long an epoch gathers; 0 lets it learn that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.kafka._records import answered, asked
from shoal.pipeline import Options, Pipeline
from shoal.source import KafkaSink, KafkaSource


def main() -> None:
    servers, before, after, package, ledger, seconds = sys.argv[1:]
    pipeline = (
        Pipeline(KafkaSource(servers, before, start="latest"))
        .map(asked)
        .map(Path(package), keep=["due_ns"])
        .map(answered)
        .to(KafkaSink(servers, after))
    )
    options = Options(workers=1, commit_every_seconds=float(seconds) or None, exactly_once=True)
    with pipeline.start(ledger, options=options) as running:
        print("ready", flush=True)
        sys.stdin.read()
        running.stop()
        running.wait()
    print(running.epochs, running.totals, flush=True)


if __name__ == "__main__":
    main()
