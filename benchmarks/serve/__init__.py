"""How fast is one core at answering single rows? Shoal, its peers, and the limit.

The rules of the measurement:
- every server runs the same ONNX file on one thread, pinned to one core; wrk has the other core,
- one server lives at a time; they take turns within a round, so that a slow minute hits them all,
- before it is timed, a server's answers to a sample of rows must be the original model's labels,
- one failed request makes the whole run invalid: nothing is written,
- a figure is the median of the rounds, printed with the least and the greatest.
"""

from benchmarks.serve._command import main

__all__ = ["main"]
