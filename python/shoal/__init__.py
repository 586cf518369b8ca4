"""Shoal cuts what arrives into micro-batches, processes them in parallel, and merges the results.

A room is imported when it is first used: `import shoal` loads nothing heavy and has no side effect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal import (
        batch,
        client,
        errors,
        evaluate,
        package,
        pipeline,
        quickstart,
        runtime,
        serve,
        source,
        train,
        values,
    )

__all__ = [
    "batch",
    "client",
    "errors",
    "evaluate",
    "package",
    "pipeline",
    "quickstart",
    "runtime",
    "serve",
    "source",
    "train",
    "values",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"shoal.{name}")
    message = f"module 'shoal' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
