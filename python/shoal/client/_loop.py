"""One event loop in a thread of its own, for all threads that use a client.

- The thread starts when it is first needed and ends with `stop`, or with the process.
- What threads post is run in the order in which it came. Many posts wake the loop once.
- A process that was forked has no such thread, and shares the connections and the selector with its
  parent. A client that was used before is refused there; one that was not starts its own thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Answer = TypeVar("_Answer")


class Signal:
    """What a thread waits for until somebody sets it; lighter than an event, and for one only."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self) -> None:
        """Waits until `set_result` was called."""
        self._lock.acquire()

    def set_result(self, result: None, /) -> None:
        """Ends the wait."""
        del result
        self._lock.release()


class LoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def post(self, function: Callable[[_Answer], object], argument: _Answer) -> None:
        """Has a function called in the event loop, soon."""
        loop = self.running()
        self._posted.append((function, argument))
        if not self._is_woken:
            self._is_woken = True
            loop.call_soon_threadsafe(self._take)

    def call(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Runs a coroutine in the event loop and waits for what it gives."""
        future = asyncio.run_coroutine_threadsafe(work, self.running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def running(self) -> asyncio.AbstractEventLoop:
        """Gives the loop, which runs.

        Raises:
            ConfigurationError: It runs in the process that this one was forked from.
        """
        if self._loop is None:
            return self._start()
        if self._process != os.getpid():
            raise ConfigurationError(
                "this client was used before the process was forked, and belongs to its parent",
                hint="make a client in each process",
            )
        return self._loop

    @property
    def is_running(self) -> bool:
        """Whether the loop runs in this process."""
        return self._loop is not None and self._process == os.getpid()

    @property
    def is_current(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Ends the loop and its thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None or self._process != os.getpid():
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is not None:
                return self._loop
            self._posted, self._is_woken = deque(), False
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_run, args=(loop,), name="shoal-client", daemon=True
            )
            self._thread.start()
            self._loop, self._process = loop, os.getpid()
            return loop

    def _take(self) -> None:
        self._is_woken = False
        while self._posted:
            function, argument = self._posted.popleft()
            function(argument)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
