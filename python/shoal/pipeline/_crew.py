"""Answers in the order of the batches, from many threads, within bounded memory.

- One pool of threads answers for all who read; each reader gets its answers in its own order.
- What is read and not yet answered and handed on has a bound in bytes, for all readers together:
  the **window**. A reader that has nothing under way may always read one batch more, so that none
  waits for another.
- An exception comes at the place of its batch; what is under way after it is given up.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Batches of one reader under way at most, for each thread: more would only hold memory.
AHEAD = 2


class Crew:
    """Threads that answer."""

    def __init__(self, threads: int, window_bytes: int) -> None:
        self._threads = threads
        self._window = Window(window_bytes)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shoal-answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads once they are done; what has not begun is given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def executor(self) -> Executor:
        """The threads, for other work in pieces; nobody who runs there may wait for them."""
        return self._pool

    def limit(self, window_bytes: int) -> None:
        """Changes the bound."""
        self._window.limit_bytes = window_bytes

    @property
    def held_bytes(self) -> int:
        """What is held now."""
        return self._window.held_bytes

    def answers(
        self, items: Iterable[Item], answer: Callable[[Item], Answer], size: Callable[[Item], int]
    ) -> Iterator[Answer]:
        """The answer to each item, in order; `size` says how many bytes it holds meanwhile."""
        waiting: deque[tuple[int, Future[Answer]]] = deque()
        try:
            for item in items:
                taken = size(item)
                while len(waiting) >= AHEAD * self._threads or not self._window.take(
                    taken, is_first=not waiting
                ):
                    yield self._next(waiting)
                waiting.append((taken, self._pool.submit(answer, item)))
            while waiting:
                yield self._next(waiting)
        finally:
            for taken, future in waiting:
                future.cancel()
                self._window.give(taken)

    def _next(self, waiting: deque[tuple[int, Future[Answer]]]) -> Answer:
        taken, future = waiting.popleft()
        try:
            return future.result()
        finally:
            self._window.give(taken)


class Window:
    """Bytes that are held, and how many may be."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._lock = Lock()

    def take(self, size_bytes: int, *, is_first: bool) -> bool:
        """Counts bytes, if there is room for them, or if they are the first of their reader."""
        with self._lock:
            if self.held_bytes + size_bytes > self.limit_bytes and not is_first:
                return False
            self.held_bytes += size_bytes
            return True

    def give(self, size_bytes: int) -> None:
        """Counts bytes that are held no longer."""
        with self._lock:
            self.held_bytes -= size_bytes
