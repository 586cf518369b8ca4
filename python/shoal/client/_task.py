"""What is asked, and what is answered: tasks, results, and results that were merged.

Source: protocol/protocol.md, "Tasks".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict, overload

import msgspec

from shoal.errors import AnswerError, ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.client._tables._table import Table


class TaskOptions(TypedDict, total=False):
    """What may be said of a call, beside its model and its table; see `Task`."""

    version: str
    outputs: Sequence[str]
    priority: int
    timeout_ms: float | None
    idempotency_key: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task of an envelope: a table for a model.

    Attributes:
        model: The model's name, or a router's.
        table: What `Table.of` takes, or the name of a shared table.
        id: By which the result is told; without one it is the place of the task, from 0.
        version: Empty is whichever version answers requests that name none.
        outputs: The output columns that are wanted, in this order; all without any.
        priority: 1 is the most urgent, 0 comes after all others; at most 255.
        timeout_ms: How long it may take, retries included; None is the client's.
        idempotency_key: Tasks of one key are computed once; without one the client makes one.
        weight: How much each of its records counts in a merge; finite and not negative.
    """

    model: str
    table: Any
    id: str = ""
    version: str = ""
    outputs: Sequence[str] = ()
    priority: int = 0
    timeout_ms: float | None = None
    idempotency_key: str = ""
    weight: float = 1.0


class Result:
    """The answer to one task: a table, or an error.

    Attributes:
        id: The task's.
        model: Who answered; empty where nobody did.
        version: Which version of it.
        batch_rows: How many rows the largest micro-batch had in which the task travelled.
        error: Why there is no table, with `task_id` set; None where there is one.
    """

    __slots__ = ("_read", "_table", "batch_rows", "error", "id", "model", "version")

    def __init__(
        self,
        id: str,  # noqa: A002 - the protocol's word
        *,
        model: str = "",
        version: str = "",
        batch_rows: int = 0,
        outcome: Callable[[], Table] | ShoalError | None = None,
    ) -> None:
        self.id = id
        self.model = model
        self.version = version
        self.batch_rows = batch_rows
        self.error = outcome if isinstance(outcome, ShoalError) else None
        self._read = None if isinstance(outcome, ShoalError) else outcome
        self._table: Table | None = None
        if self.error is not None:
            self.error.task_id = id

    @property
    def table(self) -> Table:
        """The answer.

        Raises:
            ShoalError: The task failed; this is `error`.
            AnswerError: What came is no table, or the answer went into a merge.
        """
        if self._table is None:
            if self.error is not None:
                raise self.error
            self._table = read_outcome(self._read, f"task {self.id!r}")
        return self._table

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Result {self.id!r}: {self.error.code}>"
        return f"<Result {self.id!r} of {self.model} {self.version}>"


class Merged:
    """The results of an envelope joined into one table.

    Attributes:
        left_out: The ids of the tasks that failed, which are not in it.
        error: Why there is no table, or None.
    """

    __slots__ = ("_read", "_table", "error", "left_out")

    def __init__(
        self, outcome: Callable[[], Table] | ShoalError, left_out: Sequence[str] = ()
    ) -> None:
        self.left_out = list(left_out)
        self.error = outcome if isinstance(outcome, ShoalError) else None
        self._read = None if isinstance(outcome, ShoalError) else outcome
        self._table: Table | None = None

    @property
    def table(self) -> Table:
        """The results, joined.

        Raises:
            ShoalError: They could not be joined; this is `error`.
            AnswerError: What came is no table.
        """
        if self._table is None:
            if self.error is not None:
                raise self.error
            self._table = read_outcome(self._read, "the merge")
        return self._table


class Results:
    """The results of an envelope, in the order of its tasks; `results["id"]` is the one of an id.

    Attributes:
        merged: The results joined, where a merge was asked for.
    """

    __slots__ = ("_results", "merged")

    def __init__(self, results: Sequence[Result], merged: Merged | None = None) -> None:
        self._results = list(results)
        self.merged = merged

    @property
    def tables(self) -> list[Table]:
        """The table of each task.

        Raises:
            ShoalError: The first task that failed, with `task_id`.
        """
        return [result.table for result in self._results]

    @property
    def errors(self) -> dict[str, ShoalError]:
        """The errors of the tasks that failed, by id."""
        return {each.id: each.error for each in self._results if each.error is not None}

    @overload
    def __getitem__(self, at: int | str) -> Result: ...
    @overload
    def __getitem__(self, at: slice) -> list[Result]: ...
    def __getitem__(self, at: int | str | slice) -> Result | list[Result]:
        if not isinstance(at, str):
            return self._results[at]
        for result in self._results:
            if result.id == at:
                return result
        raise KeyError(at)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        return f"<Results of {len(self)} tasks{failed}>"


def read_outcome(read: Callable[[], Table] | None, whose: str) -> Table:
    """Gives the table of an answer.

    Raises:
        AnswerError: There is none, or it is not what the protocol says.
    """
    if read is None:
        raise AnswerError(
            f"the answer to {whose} holds no table",
            hint="with a merge the tables are joined: see `merged`",
        )
    try:
        return read()
    except Exception as error:  # whatever a library made of it, the answer is at fault
        raise AnswerError(f"the answer to {whose} is no table of the protocol: {error}") from error
