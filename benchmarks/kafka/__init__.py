"""How much later an answer comes through Kafka than with a loop written by hand.

Records of 264 bytes are sent on a fixed schedule; each is answered by the digits model, and the
answer (16 bytes) is written in a transaction. The latency is that from the moment at which a record
was due to be sent to that at which a reader of committed records has the answer, so that a system
which falls behind does not slow the load down (Karimov et al., ICDE 2018).

The loop consumes for as long as an epoch gathers, calls the model once, and produces in one
transaction. Both run beside the same broker, one after the other, in turns.
"""

from benchmarks.kafka._command import main

__all__ = ["main"]
