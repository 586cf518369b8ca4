"""The client for threads: the same work as the one for asyncio, in an event loop beside them.

A thread encodes its task and decodes its answer itself; the loop's thread only sends and receives.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Unpack, overload

from shoal.client._answers import internal
from shoal.client._call import Call
from shoal.client._loop import LoopThread, Signal
from shoal.client._options import ClientOptions, Parts
from shoal.client._task import Task, TaskOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from shoal.client._run import Order
    from shoal.client._tables._table import Table
    from shoal.client._task import Merged, Result, Results
    from shoal.client._wire._encoding import Reduction


class Client:
    """Asks a server; any number of threads may use one client at the same time.

    Calls of `predict` that threads make at the same time travel together.

    Args:
        address: `http://HOST:PORT`, `https://`, `grpc://` or `grpcs://`.
        **options: See `ClientOptions`.

    Raises:
        ConfigurationError: The address or an option is none.
    """

    def __init__(self, address: str, **options: Unpack[ClientOptions]) -> None:
        self._parts = Parts(address, options)
        self._inside = _Inside(self._parts)
        self._end = weakref.finalize(self, _Inside.close, self._inside)

    def predict(self, model: str, table: Any, **options: Unpack[TaskOptions]) -> Table:
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
        signal = Signal()
        piece, timeout_s = self._parts.preparation.call(task)
        call = Call(piece, model, timeout_s, signal)
        running = self._inside.thread.running()
        running.post(self._inside.submit, call)
        try:
            signal.wait()
        except BaseException:  # Ctrl-C, while it waits
            if running.is_open:
                running.post(self._inside.withdraw, call)
            raise
        return call.table()

    def run(
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
        order = self._parts.preparation.order(tasks, tables, merge)
        return self._inside.thread.running().call(self._inside.run, order)

    @overload
    def stream(
        self, tasks: Iterable[Task], *, tables: Mapping[str, Any] | None = None
    ) -> Iterator[Result]: ...
    @overload
    def stream(
        self,
        tasks: Iterable[Task],
        *,
        tables: Mapping[str, Any] | None = None,
        merge: str | Reduction,
    ) -> Iterator[Result | Merged]: ...
    def stream(
        self,
        tasks: Iterable[Task],
        *,
        tables: Mapping[str, Any] | None = None,
        merge: str | Reduction | None = None,
    ) -> Iterator[Any]:
        """Gives the result of each task as it is ready, in any order; see `run`.

        With a merge, all tasks travel in one request, and what was merged comes last. Without one
        they are taken 256 at a time, so that there may be any number of them.
        """
        running = self._inside.thread.running()
        for order in self._parts.preparation.orders(tasks, tables, merge):
            results = running.call(self._inside.stream, order)
            try:
                while (result := running.call(_next, results)) is not None:
                    yield result
            finally:
                if running.is_open and not running.is_current:
                    running.call(_ended, results)

    def close(self) -> None:
        """Ends what is under way, the connections and the thread. The client may be used again."""
        self._inside.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        server = self._parts.server
        return f"<{type(self).__name__} of {server.scheme}://{server.address}>"


class _Inside:
    """What lives in the event loop, and the thread that runs it.

    Args:
        parts: What the client is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self.thread = LoopThread(parts.disconnect)
        self._parts = parts

    def submit(self, call: Call) -> None:
        """Sends a call; in the loop."""
        try:
            self._parts.connected()[0].submit(call)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            call.settle(internal(error))

    def withdraw(self, call: Call) -> None:
        """Forgets a call; in the loop."""
        if call.outcome is None:
            self._parts.connected()[0].withdraw(call)

    async def run(self, order: Order) -> Results:
        """Sends an order; in the loop."""
        return await self._parts.connected()[1].run(order)

    async def stream(self, order: Order) -> AsyncIterator[Result | Merged]:
        """Gives the results of an order; in the loop."""
        return self._parts.connected()[1].stream(order)

    def close(self) -> None:
        """Ends it all."""
        self.thread.stop()


async def _next(results: AsyncIterator[Result | Merged]) -> Result | Merged | None:
    return await anext(results, None)


async def _ended(results: Any) -> None:
    await results.aclose()
