"""From raw data in several places to a package with proof.

- `collect` reads files, databases and tables into a dataset: its records, what holds for all of
  them, where they come from, and one digest.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.train._collect._collect import collect
    from shoal.train._collect._dataset import Dataset, open_dataset
    from shoal.train._collect._inputs import Input, Sql
    from shoal.train._collect._join import Join
    from shoal.train._collect._recipe import Recipe, read_recipe
    from shoal.train._collect._schema import ColumnSchema, Schema

_LAZY = {
    "ColumnSchema": "_collect._schema",
    "Dataset": "_collect._dataset",
    "Input": "_collect._inputs",
    "Join": "_collect._join",
    "Recipe": "_collect._recipe",
    "Schema": "_collect._schema",
    "Sql": "_collect._inputs",
    "collect": "_collect._collect",
    "open_dataset": "_collect._dataset",
    "read_recipe": "_collect._recipe",
}

__all__ = [
    "ColumnSchema",
    "Dataset",
    "Input",
    "Join",
    "Recipe",
    "Schema",
    "Sql",
    "collect",
    "open_dataset",
    "read_recipe",
]


def __getattr__(name: str) -> Any:
    """Loads what needs pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
