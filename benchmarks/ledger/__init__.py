"""How large a ledger is after a hundred thousand epochs, and how long a killed pipeline needs.

A pipeline counts and sums records of a hundred keys in windows of a minute and appends the answers
to a file that remembers the epoch; each epoch holds ten records. It runs to 100,000 epochs, and is
killed (SIGKILL) in the middle of the next ones. Recovery is measured in a new process: from the
call that opens the pipeline to the commit of the first epoch, and from the start of the process.
"""

from benchmarks.ledger._command import main

__all__ = ["main"]
