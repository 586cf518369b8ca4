"""Does the simulator predict what the server does? Traces of a real server, played again.

The rules of the measurement:
- the server has one core and the clients, a program of their own, another one,
- the server writes a trace, which the simulator gets; nothing else is told to it,
- both figures are of one interval: from the moment a request enters the queue of its model to the
  end of its micro-batch. What comes before and behind it is in the trace as turnarounds,
- open: Poisson arrivals at a share of what the closed loop of 64 connections reached before,
- the first fifth of each load does not count, on either side,
- a trace that lost a line makes the whole run invalid: nothing is written.

Stalls of the machine are part of what was measured; others who use it make the figures worse.
"""

from benchmarks.replay._command import main

__all__ = ["main"]
