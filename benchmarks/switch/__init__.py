"""Does anybody notice when models are loaded and versions switched? Latency, quiet and meanwhile.

The rules of the measurement:
- one client asks a small model for single rows, as fast as it is answered; it has a process,
- windows take turns: in one nothing else happens, in the next, again and again, the client's own
  model is switched to another version, a large model (about 35 MiB) is loaded, and both changes are
  taken back; so a slow minute hits both kinds of window,
- every answer says which version gave it: a run in which the new one never answered is invalid, and
  so is one with a failed request; nothing is written then,
- a figure is the median of the rounds; the spike is p99 meanwhile over p99 quiet, of that round.

It says what a load costs where it has to share the cores: with two, the load has one of them.
"""

from benchmarks.switch._command import main

__all__ = ["main"]
