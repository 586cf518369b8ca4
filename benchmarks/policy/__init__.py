"""When should a free executor wait? Shoal's policy against the best fixed delay of each load.

The rules of the measurement:
- a simulator plays the loads; Shoal's side of it is the very state machine that serves,
- open, closed and mixed loads, on six costs of a micro-batch, one of which is not monotone per row,
- latencies are compared at equal goodput, with the fixed delay that is best for that very load,
- a case is one load; the figure is the worst case, beside the median and the nine in ten.
"""

from benchmarks.policy._command import main

__all__ = ["main"]
