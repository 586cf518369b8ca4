"""The client for asyncio."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Unpack, overload

from shoal.client._call import Call
from shoal.client._options import ClientOptions, Parts
from shoal.client._task import Task, TaskOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from shoal.client._tables._table import Table
    from shoal.client._task import Merged, Result, Results
    from shoal.client._wire._encoding import Reduction


class AsyncClient:
    """Asks a server, in the event loop in which it is used.

    Calls of `predict` that are made at the same time travel together. One client serves any
    number of tasks; each client keeps connections of its own.

    Args:
        address: `http://HOST:PORT`, `https://`, `grpc://` or `grpcs://`.
        **options: See `ClientOptions`.

    Raises:
        ConfigurationError: The address or an option is none.
    """

    def __init__(self, address: str, **options: Unpack[ClientOptions]) -> None:
        self._parts = Parts(address, options)

    async def predict(self, model: str, table: Any, **options: Unpack[TaskOptions]) -> Table:
        """Gives a model's answer to a table, record by record.

        Args:
            model: The model's name, or a router's.
            table: What `Table.of` takes: a dict of columns, a list of dicts, a frame of pandas, a
                table of pyarrow.
            **options: See `Task`.

        Raises:
            ShoalError: The table is none, the task failed, or the server was not reached.
        """
        task = Task(model=model, table=table, **options)
        piece, timeout_s = self._parts.preparation.call(task)
        dispatcher = self._parts.connected()[0]
        answered = asyncio.get_running_loop().create_future()
        call = Call(piece, model, timeout_s, answered)
        dispatcher.submit(call)
        try:
            await answered
        except asyncio.CancelledError:
            dispatcher.withdraw(call)
            raise
        return call.table()

    async def run(
        self,
        tasks: Iterable[Task],
        *,
        tables: Mapping[str, Any] | None = None,
        merge: str | Reduction | None = None,
    ) -> Results:
        """Sends tasks in one request, and gives the result or the error of each.

        Args:
            tasks: In order.
            tables: Shared tables, by the name by which tasks refer to them.
            merge: How results are joined: `concat`, `sum`, `mean`, `min`, `max`, `count` or
                `variance`, or a `Reduction`, which names columns.

        Raises:
            ShoalError: A table is none, the envelope was refused, or the server was not reached.
        """
        runner = self._parts.connected()[1]
        return await runner.run(self._parts.preparation.order(tasks, tables, merge))

    @overload
    def stream(
        self, tasks: Iterable[Task], *, tables: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Result]: ...
    @overload
    def stream(
        self,
        tasks: Iterable[Task],
        *,
        tables: Mapping[str, Any] | None = None,
        merge: str | Reduction,
    ) -> AsyncIterator[Result | Merged]: ...
    async def stream(
        self,
        tasks: Iterable[Task],
        *,
        tables: Mapping[str, Any] | None = None,
        merge: str | Reduction | None = None,
    ) -> AsyncIterator[Any]:
        """Gives the result of each task as it is ready, in any order; see `run`.

        With a merge, all tasks travel in one request, and what was merged comes last. Without one
        they are taken 256 at a time, so that there may be any number of them.
        """
        runner = self._parts.connected()[1]
        for order in self._parts.preparation.orders(tasks, tables, merge):
            async with aclosing(runner.stream(order)) as results:
                async for result in results:
                    yield result

    async def close(self) -> None:
        """Ends what is under way, and the connections. The client may be used again."""
        await self._parts.disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self._parts.server.scheme}://{self._parts.server.address}>"
        )
