"""How fast is one core at answering rows? Shoal, its peers, and the limit.

The rules of the measurement:
- every server runs the same ONNX file on one thread, pinned to one core; the load has the other,
- one server lives at a time; they take turns within a round, so that a slow minute hits them all,
- before it is timed, a server's answers to a sample of rows must be the original model's labels, in
  every form it is asked in,
- a peer that fails is named in the result with where and why, and the others go on; if Shoal or
  echo fails, the run is invalid and nothing is written,
- a figure is the median of the rounds, printed with the least and the greatest.
"""

from benchmarks.serve._command import main

__all__ = ["main"]
