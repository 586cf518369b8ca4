"""One event loop in a thread of its own, for all threads that use a client.

- The thread starts when it is first needed and ends with `stop`, or with the process.
- What threads post is run in the order in which it came. Many posts wake the loop once.
- Nobody waits for a loop that has ended: what was posted before is run, what runs is cancelled, and
  whoever comes too late is told. All of these end as `server_unreachable`.
- A process that was forked has no such thread, and shares the connections and the selector with its
  parent. A client that was used before is refused there; one that was not starts its own thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from shoal.client._transport import closed
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Answer = TypeVar("_Answer")
_Argument = TypeVar("_Argument")


class Signal:
    """What a thread waits for until somebody sets it; lighter than an event, and for one only."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self) -> None:
        """Waits until `set_result` was called."""
        self._lock.acquire()

    def done(self) -> bool:
        """Whether `set_result` was called, and nobody saw it yet."""
        return not self._lock.locked()

    def set_result(self, result: None, /) -> None:
        """Ends the wait."""
        del result
        self._lock.release()


class Running:
    """A loop that runs in a thread of its own, from its beginning to its end.

    Args:
        finish: Done in the loop at its end.
    """

    def __init__(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._finish = finish
        self._posted: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._is_woken = False
        self._is_stopped = False
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="shoal-client", daemon=True)
        self._thread.start()

    def post(self, function: Callable[[_Argument], object], argument: _Argument) -> None:
        """Has a function called in the event loop, soon.

        Raises:
            UnreachableError: The loop has ended; the function may have been called.
            ConfigurationError: It runs in the process that this one was forked from.
        """
        self._check()
        self._posted.append((function, argument))
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # it is closed
                raise closed() from None
        self._check()  # what is posted behind this is run

    def call(
        self, work: Callable[[_Argument], Coroutine[Any, Any, _Answer]], argument: _Argument
    ) -> _Answer:
        """Runs a coroutine in the event loop and waits for what it gives; see `post`."""
        self._check()
        coroutine = work(argument)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # it is closed
            coroutine.close()
            raise closed() from None
        try:
            self._check()
            return future.result()
        except concurrent.futures.CancelledError:
            raise closed() from None
        except BaseException:
            future.cancel()
            raise

    @property
    def is_current(self) -> bool:
        """Whether this is the loop's own thread, which cannot wait for itself."""
        return threading.current_thread() is self._thread

    @property
    def is_open(self) -> bool:
        """Whether it takes what is posted, in this process."""
        return not self._is_stopped and self._process == os.getpid()

    def stop(self) -> None:
        """Ends it; waits for that, unless it is the loop's own thread, which collects garbage."""
        self._is_stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.is_current:
            self._thread.join()

    def _check(self) -> None:
        if self._process != os.getpid():
            raise ConfigurationError(
                "this client was used before the process was forked, and belongs to its parent",
                hint="make a client in each process",
            )
        if self._is_stopped:
            raise closed()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._end())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _end(self) -> None:
        """Ends all that was posted or called before the loop was stopped."""
        self._take()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._finish()

    def _take(self) -> None:
        self._is_woken = False
        while self._posted:
            function, argument = self._posted.popleft()
            function(argument)


class LoopThread:
    """Starts a loop in a thread of its own when it is needed, and again after it was stopped.

    Args:
        finish: Done in the loop at its end.
    """

    def __init__(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._finish = finish
        self._lock = threading.RLock()
        self._running: Running | None = None

    def running(self) -> Running:
        """Gives the loop, which runs."""
        running = self._running
        if running is not None:
            return running
        with self._lock:
            if self._running is None:
                self._running = Running(self._finish)
            return self._running

    def stop(self) -> None:
        """Ends the loop and its thread; a process that was forked leaves its parent's alone.

        No other is started before it has ended: the two would share what a client is made of.
        """
        with self._lock:
            running = self._running
            if running is not None and running.is_open:
                self._running = None
                running.stop()
