"""Several blobs at once, and how far all of them are.

- Of jobs that run at once, the first failure ends the others and is the one that is told; so does
  an interruption.
- Progress is told by one thread at a time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shoal.package._registry._wire import Wire

    Progress = Callable[[int, int], object]

T = TypeVar("T")
_WORKERS = 4


class Meter:
    """How many bytes are done of how many."""

    def __init__(self, total_bytes: int, progress: Progress | None) -> None:
        self._total_bytes = total_bytes
        self._progress = progress
        self._done_bytes = 0
        self._lock = Lock()

    def add(self, size_bytes: int) -> None:
        """So many more, or fewer."""
        with self._lock:
            self._done_bytes += size_bytes
            if self._progress is not None:
                self._progress(self._done_bytes, self._total_bytes)


def together(wire: Wire, jobs: Sequence[Callable[[], T]]) -> list[T]:
    """What the jobs give, in no particular order.

    Args:
        wire: What all of them use; it is stopped when one fails.
        jobs: What is to be done.
    """
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="shoal-registry") as pool:
        try:  # an interruption may come as soon as the first job has begun
            futures = [pool.submit(job) for job in jobs]
            return [each.result() for each in as_completed(futures)]
        except BaseException:
            wire.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
