"""Candidates, how they are compared, and how the next one is chosen."""
