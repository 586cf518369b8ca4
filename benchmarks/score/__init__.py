"""How near is `shoal score` to what two cores can do, and to a loop written by hand?

Two million rows of 64 numbers lie in a Parquet file; the digits model answers them into another
one. Rounds take turns, each part in a fresh process on the same cores:

- **limit**: the processor time of reading, of the model's kernel and of writing, each alone and
  in one thread, divided by the cores. Less time than that nobody can take who does all three.
- **by hand**: what an engineer would write with pyarrow, onnxruntime and threads, at its best
  batch.
- **shoal**: the command `shoal score`, from start to end, start of the process included.

A round's share is limit / shoal; the result is the median of the rounds, with the least and the
greatest beside it.
"""

from benchmarks.score._command import main

__all__ = ["main"]
