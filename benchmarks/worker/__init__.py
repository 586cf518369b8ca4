"""What a worker process costs: a micro-batch through it, less the same call of the model directly.

The line is 32 rows of 64 floats. Rounds take turns: calls in one Python process, then as many
through a worker by the server's own executor (`crates/shoal-server/examples/worker.rs`), each in
fresh processes. A round's overhead is the difference of the two medians; the result is the median
of the rounds, with the smallest and the largest beside it.
"""

from benchmarks.worker._command import main

__all__ = ["main"]
