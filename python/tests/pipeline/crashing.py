"""A pipeline over files, run by itself so that it can be killed: `crashing.py DIRECTORY KIND`.

KIND is `records` (each goes through by itself) or `windows`. The directory holds `in/*.parquet`;
the pipeline writes to `out` and remembers in `ledger`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shoal import batch
from shoal.pipeline import Options, Pipeline, tumbling
from shoal.source import FileSource, ParquetSink, folder


def build(directory: Path, kind: str) -> Pipeline:
    """The pipeline."""
    source = FileSource(directory / "in")
    pipeline = Pipeline(source).filter("tests.pipeline.steps:positive")
    if kind == "windows":
        keyed = pipeline.key_by("key").window(tumbling("10s"), on="time", lateness="1s")
        pipeline = keyed.aggregate(batch.count(), batch.sum("value"))
    return pipeline.to(ParquetSink(folder(str(directory / "out"))))


def main() -> None:
    """Runs it."""
    directory, kind = Path(sys.argv[1]), sys.argv[2]
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    options = Options(workers=2, epoch_bytes=4_000, error_rate=1.0)
    build(directory, kind).run(directory / "ledger", options=options)


if __name__ == "__main__":
    main()
