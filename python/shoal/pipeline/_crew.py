"""Answers in the order of the batches, from many threads, within bounded memory.

- A batch is answered by the thread that read it, while it still lies in that core's cache, unless
  there are more threads than readers: then the others answer, and the reader reads on.
- What is read and not yet answered and handed on has a bound in bytes, for all readers together:
  the **window**. A reader that has nothing under way may always read one batch more, so that none
  waits for another.
- An exception comes at the place of its batch; what is under way after it is given up.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Batches under way for each thread that does not read: one is answered, and one is at hand.
AHEAD = 2


class Crew:
    """Threads that answer."""

    def __init__(self, threads: int, window_bytes: int) -> None:
        self._hands = Hands(threads)
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
            with self._hands.reading():
                for item in items:
                    taken = size(item)
                    while not self._window.take(taken, is_first=not waiting):
                        yield self._next(waiting)
                    waiting.append((taken, self._begun(answer, item)))
                    while waiting and waiting[0][1].done():
                        yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            for taken, future in waiting:
                future.cancel()
                self._window.give(taken)

    def _begun(self, answer: Callable[[Item], Answer], item: Item) -> Future[Answer]:
        if not self._hands.take():
            return _done(answer, item)
        future = self._pool.submit(answer, item)
        future.add_done_callback(self._hands.give)
        return future

    def _next(self, waiting: deque[tuple[int, Future[Answer]]]) -> Answer:
        taken, future = waiting.popleft()
        try:
            return future.result()
        finally:
            self._window.give(taken)


def _done(answer: Callable[[Item], Answer], item: Item) -> Future[Answer]:
    future: Future[Answer] = Future()
    try:
        future.set_result(answer(item))
    except BaseException as error:  # noqa: BLE001 - raised at the place of its batch
        future.set_exception(error)
    return future


class Hands:
    """The threads that do not read, and what they may have under way."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._readers = 0
        self._taken = 0
        self._lock = Lock()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Counts one reader."""
        with self._lock:
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1

    def take(self) -> bool:
        """Counts one more batch, if there is a thread for it."""
        with self._lock:
            if self._taken >= AHEAD * (self._threads - self._readers):
                return False
            self._taken += 1
            return True

    def give(self, _future: Future[Any]) -> None:
        """Counts a batch that is answered, or given up."""
        with self._lock:
            self._taken -= 1


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
