"""How many events a second go through the queries of Nexmark and YSB, here and in Spark?

The events lie in a folder of Parquet files, of 250,000 each; the answers go to another folder.
Both engines make the same promise: each event counts once, also if the run is killed and started
again. Both live through the whole run on the same two cores, and take turns query by query:

- **shoal**: a pipeline with a ledger.
- **spark**: Structured Streaming over all files that are there (`availableNow`), with a checkpoint.
- **spark batch**: the same SQL at once, for what streaming costs; it promises less.

Before anything is timed, all three answer each query, and DuckDB says whether they are right.
What is timed is one run from the first call until all answers are committed.
"""

from benchmarks.streams._command import main

__all__ = ["main"]
