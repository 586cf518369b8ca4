"""Datasets through a package: each record answered once, whatever happens on the way.

- `score` answers the records of files into a folder; killed, it goes on where it was.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.pipeline._mapping import read_columns
    from shoal.pipeline._score import Report, Settings, score

__all__ = ["Report", "Settings", "read_columns", "score"]

_LAZY = {
    "Report": "_score",
    "Settings": "_score",
    "read_columns": "_mapping",
    "score": "_score",
}


def __getattr__(name: str) -> Any:
    """Loads what needs pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
