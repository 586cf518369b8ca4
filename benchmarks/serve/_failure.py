"""Why a run cannot be made or cannot be believed."""

from __future__ import annotations


class BenchmarkError(Exception):
    """The run is given up and writes nothing; the message says what to do or what went wrong."""
