"""Running a function over micro-batches: in order, in parallel, within bounded memory.

- Answers come in the order of the micro-batches, whatever finishes first.
- At most `in_flight` micro-batches are read and not yet handed on as answers.
- A function that raises ends the run with a `ModelError` at its place in the order: earlier answers
  are given first, none after it. The cause is kept, and the number (from 0) is in the message.
- Closing the iterator early, or dropping it, ends worker processes at once; threads finish the
  micro-batch they are at, since a thread cannot be stopped.
- The answer does not depend on how many workers there are: merges combine in split order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from shoal.batch._merges import Merge, Merges, Partial
from shoal.batch._records import as_answer, is_tabular
from shoal.batch._workers import _functions
from shoal.batch._workers._pool import Pool, failed
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    import pyarrow as pa

Function: TypeAlias = str | Callable[[Any], object]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Workers:
    """What runs a function: made by `threads` or `processes`.

    Attributes:
        kind: `threads` or `processes`.
        count: How many micro-batches run at a time.
        in_flight: How many are read and not yet handed on.
    """

    kind: Literal["threads", "processes"]
    count: int
    in_flight: int


def threads(count: int, *, in_flight: int | None = None) -> Workers:
    """Runs in threads: best where the function releases the GIL, as NumPy, Arrow and models do.

    Args:
        count: How many; 1 runs in the caller's own thread.
        in_flight: At most so many micro-batches are held; twice `count` unless told.
    """
    return _workers("threads", count, in_flight)


def processes(count: int, *, in_flight: int | None = None) -> Workers:
    """Runs in spawned processes: for functions that hold the GIL.

    The function is found by name in each of them, so it must stand at the top of a module, or of
    a script that does its own work under `if __name__ == "__main__":`. Records travel as Arrow.

    Args:
        count: How many processes; each is started when first needed.
        in_flight: At most so many micro-batches are held; twice `count` unless told.
    """
    return _workers("processes", count, in_flight)


@overload
def process(
    batches: Iterable[Any], function: Function, *, workers: int | Workers = 1, merge: None = None
) -> Iterator[Any]: ...


@overload
def process(
    batches: Iterable[Any],
    function: Function,
    *,
    workers: int | Workers = 1,
    merge: Merge | Sequence[Merge],
    by: str | Sequence[str] = (),
) -> pa.RecordBatch: ...


def process(
    batches: Iterable[Any],
    function: Function,
    *,
    workers: int | Workers = 1,
    merge: Merge | Sequence[Merge] | None = None,
    by: str | Sequence[str] = (),
) -> Iterator[Any] | pa.RecordBatch:
    """Runs a function over micro-batches, and merges the answers if told how.

    Args:
        batches: Micro-batches, as `split` gives them.
        function: Takes a micro-batch; answers with a table of any length, an array, a list, or
            one value. A callable or `"module:object"`.
        workers: `threads(n)`, `processes(n)`, or a number of threads.
        merge: How answers become one: a merge or several, e.g. `[count(), mean("score")]`.
        by: The column or columns of the answers to group by; only with `merge`.

    Returns:
        Without `merge`, an iterator over the answers in split order, one per micro-batch; tables
        and frames as record batches. With `merge`, one row per group (exactly one without `by`).

    Raises:
        InvalidRequestError: The function cannot be found by name, or an argument is wrong.
        ModelError: The function raised, or its worker died.
        DtypeError: A value cannot go to another process, or cannot be merged.
    """
    crew = workers if isinstance(workers, Workers) else threads(workers)
    _check_batches(batches)
    answer, close = _answering(function, crew)
    if merge is None:
        if by:
            raise InvalidRequestError(
                f"by={by!r} groups nothing without merge=", hint="to cut by key: split(by=key(...))"
            )
        return _in_order(batches, answer, crew=crew, close=close)
    plan = Merges(merge, by=by)

    def lift(number: int, batch: object) -> Partial:
        return plan.lift(answer(number, batch))

    return plan.finish(plan.gather(_in_order(batches, lift, crew=crew, close=close)))


def _workers(kind: Literal["threads", "processes"], count: int, in_flight: int | None) -> Workers:
    held = 2 * count if in_flight is None else in_flight
    checked: tuple[tuple[object, str], ...] = ((count, kind), (held, "in_flight"))
    for number, label in checked:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InvalidRequestError(f"{label} is {number!r}, expected a whole number from 1 up")
    return Workers(kind, count, held)


def _check_batches(batches: object) -> None:
    if is_tabular(batches):
        raise InvalidRequestError(
            f"a {type(batches).__name__} is not cut into micro-batches",
            hint="give split(data, by=rows(1024))",
        )


def _answering(
    function: Function, crew: Workers
) -> tuple[Callable[[int, object], Any], Callable[[], None]]:
    """Gives what answers a numbered micro-batch, and what ends the workers."""
    if crew.kind == "processes":
        path = _functions.path_of(function)
        _functions.check_is_not_worker_script()
        pool = Pool(path)
        return pool.answer, pool.close
    called = _functions.find(function) if isinstance(function, str) else function
    return lambda number, batch: _call(called, number, batch), lambda: None


def _call(function: Callable[[Any], object], number: int, batch: object) -> Any:
    try:
        return as_answer(function(batch))
    except Exception as cause:
        raise failed(number, cause) from cause


def _in_order(
    batches: Iterable[Any],
    call: Callable[[int, object], Answer],
    *,
    crew: Workers,
    close: Callable[[], None],
) -> Iterator[Answer]:
    """Gives answers in order, reading on only while fewer than `in_flight` wait."""
    if crew.kind == "threads" and crew.count == 1:
        yield from (call(number, batch) for number, batch in enumerate(batches))
        return
    waiting: deque[Future[Answer]] = deque()
    executor = ThreadPoolExecutor(crew.count, thread_name_prefix="shoal-batch")
    try:
        for submitted in _submitted(batches, lambda n, b: executor.submit(call, n, b)):
            waiting.append(submitted)
            if len(waiting) == crew.in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        close()
        executor.shutdown(wait=True)


def _submitted(
    batches: Iterable[Any], submit: Callable[[int, object], Future[Answer]]
) -> Iterator[Future[Answer]]:
    """Submits micro-batches; an error while reading them takes its place behind those read."""
    number = 0
    try:
        for number, batch in enumerate(batches):
            yield submit(number, batch)
    except Exception as error:  # noqa: BLE001 - raised again by `result`, in its place
        failed: Future[Answer] = Future()
        failed.set_exception(error)
        yield failed
