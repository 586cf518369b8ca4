"""Learning from more records than memory holds, in micro-batches."""
