"""Does anybody notice when a model is loaded or unloaded? Latency of others, quiet and meanwhile.

The rules of the measurement:
- one client asks a small model for single rows, as fast as it is answered; it has a process,
- windows take turns: in one nothing else happens, in the next a large model (about 35 MiB) is
  loaded and unloaded again and again, so that a slow minute hits both,
- one failed request makes the whole run invalid: nothing is written,
- a figure is the median of the rounds; the spike is p99 meanwhile over p99 quiet, of that round.

It says what a load costs where it has to share the cores: with two, the load has one of them.
"""

from benchmarks.switch._command import main

__all__ = ["main"]
