"""Shoal cuts whatever arrives into micro-batches, processes them in parallel, and merges the results."""
