"""Threads that answer in the order of the questions, with a bound on what is under way.

Threads and not processes: a process would load its libraries once more, at 250 MB each, and what
takes the time in a step (reading, arithmetic, scikit-learn's inner loops) releases the GIL. Every
thread computes with one thread of BLAS, so that none waits for another's.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Threads:
    """So many threads; one is the caller's own."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, "shoal-learn") if count > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def answers(self, answer: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """The answer to each item, in order; at most one more than there are threads is held.

        Raises:
            Exception: what `answer` raises, at its place.
        """
        if self._pool is None:
            yield from map(answer, items)
            return
        waiting: deque[Future[Answer]] = deque()
        try:
            for item in items:
                waiting.append(self._pool.submit(answer, item))
                if len(waiting) > self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
