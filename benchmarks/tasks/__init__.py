"""What do envelopes, the clients and their micro-batches save?

The server is pinned to one core; whoever asks it has the other. Everything is measured in one run:
within a round all ways of asking take turns, and a figure is the median of the rounds.

| part | what is compared |
|---|---|
| `envelope` | 64 tasks in one envelope against 64 requests, by the Python client and by wrk |
| `callers` | 256 callers, client micro-batching on and off, in Python and JavaScript |
| `alone` | one caller, on and off in turn |
| `tables` | 10,000 rows of 20 mixed columns, as Arrow and as JSON |
| `triton` | 64 asyncio callers, beside tritonclient on the same server |
| `server` | processor time of the server for a task of 64 in an envelope, one or four in flight |
"""

from benchmarks.tasks._command import main

__all__ = ["main"]
