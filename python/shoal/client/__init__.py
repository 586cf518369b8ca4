"""Asks a server: tables in, tables out, many tasks in one request.

    with Client("http://127.0.0.1:8000") as client:
        table = client.predict("digits", {"features": rows})

`Client` is for threads and `AsyncClient` for asyncio; both do the same. What needs numpy, pyarrow,
pandas, aiohttp or gRPC loads when it is first used.

Source: protocol/protocol.md, "Tasks".
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.client._async import AsyncClient
    from shoal.client._gather import Gathering
    from shoal.client._options import ClientOptions
    from shoal.client._retry import Retry
    from shoal.client._sync import Client
    from shoal.client._tables._column import Column, Kind
    from shoal.client._tables._state import column
    from shoal.client._tables._table import Table
    from shoal.client._task import Merged, Result, Results, Task, TaskOptions
    from shoal.client._wire._encoding import Reduction

__all__ = [
    "AsyncClient",
    "Client",
    "ClientOptions",
    "Column",
    "Gathering",
    "Kind",
    "Merged",
    "Reduction",
    "Result",
    "Results",
    "Retry",
    "Table",
    "Task",
    "TaskOptions",
    "column",
]

_HOMES = {
    "AsyncClient": "_async",
    "Client": "_sync",
    "ClientOptions": "_options",
    "Column": "_tables._column",
    "Gathering": "_gather",
    "Kind": "_tables._column",
    "Merged": "_task",
    "Reduction": "_wire._encoding",
    "Result": "_task",
    "Results": "_task",
    "Retry": "_retry",
    "Table": "_tables._table",
    "Task": "_task",
    "TaskOptions": "_task",
    "column": "_tables._state",
}


def __getattr__(name: str) -> Any:
    """Loads a name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'shoal.client' has no attribute {name!r}")
    return getattr(import_module(f"shoal.client.{home}"), name)
