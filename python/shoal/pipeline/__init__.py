"""Datasets and streams: each record counts once, whatever happens on the way.

- `score` answers the records of files into a folder; killed, it goes on where it was.
- `Pipeline` takes records from any source through functions, models and windows to any sink, by
  epochs that a ledger remembers.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.pipeline._dataset._score import Report, Settings, score
    from shoal.pipeline._event_time._windows import Window, session, sliding, tumbling
    from shoal.pipeline._ledger import DeadLetter, Ledger, Result
    from shoal.pipeline._mapping import read_columns
    from shoal.pipeline._options import Options
    from shoal.pipeline._pipeline import Outcome, Pipeline, Running, find_pipeline
    from shoal.pipeline._status import Status, read_status

_LAZY = {
    "DeadLetter": "_ledger",
    "Ledger": "_ledger",
    "Options": "_options",
    "Outcome": "_pipeline",
    "Pipeline": "_pipeline",
    "Report": "_dataset._score",
    "Result": "_ledger",
    "Running": "_pipeline",
    "Settings": "_dataset._score",
    "Status": "_status",
    "Window": "_event_time._windows",
    "find_pipeline": "_pipeline",
    "read_columns": "_mapping",
    "read_status": "_status",
    "score": "_dataset._score",
    "session": "_event_time._windows",
    "sliding": "_event_time._windows",
    "tumbling": "_event_time._windows",
}

__all__ = [
    "DeadLetter",
    "Ledger",
    "Options",
    "Outcome",
    "Pipeline",
    "Report",
    "Result",
    "Running",
    "Settings",
    "Status",
    "Window",
    "find_pipeline",
    "read_columns",
    "read_status",
    "score",
    "session",
    "sliding",
    "tumbling",
]


def __getattr__(name: str) -> Any:
    """Loads what needs pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
