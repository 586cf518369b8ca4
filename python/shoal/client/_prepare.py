"""What a user gave -> what is sent: tables read, tasks encoded, keys made. No input or output.

Done by whoever calls, before an event loop has to do with it: a wrong value fails there.
"""

from __future__ import annotations

import os
from itertools import count, islice
from math import inf
from typing import TYPE_CHECKING, Any

from shoal.client._run import Item, Order
from shoal.client._tables._table import Table
from shoal.client._wire._encoding import Reduction
from shoal.errors import DuplicateTaskError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shoal.client._task import Task
    from shoal.client._wire._encoding import Encoding, Piece

MAX_NAME_BYTES = 256
MAX_PRIORITY = 255
STREAMED_TASKS = 256
FOREVER_S = 1e9
_KEY_BYTES = 12


class Preparation:
    """Encodes tasks.

    Args:
        encoding: How.
        timeout_s: How long a task may take that does not say so itself; None is no limit.
    """

    def __init__(self, encoding: Encoding, timeout_s: float | None) -> None:
        self._encoding = encoding
        self._timeout_s = timeout_s

    def call(self, task: Task) -> tuple[Piece, float | None]:
        """Gives a task that travels with whatever else is called, and how long it may take.

        Raises:
            ShoalError: Its table is none, or cannot be encoded.
        """
        return self._piece(task), self._time_s(task)

    def order(
        self,
        tasks: Iterable[Task],
        tables: Mapping[str, Any] | None,
        merge: str | Reduction | None,
    ) -> Order:
        """Gives an envelope of its own.

        Args:
            tasks: In order; one without an id is called by its place.
            tables: Shared tables, by name.
            merge: How results are joined.

        Raises:
            ShoalError: A table is none, or cannot be encoded.
            InvalidRequestError: There are no tasks, or one says what none can.
            DuplicateTaskError: Two tasks have one id.
        """
        return self._order(tasks, self._shared(tables), merge)

    def orders(
        self,
        tasks: Iterable[Task],
        tables: Mapping[str, Any] | None,
        merge: str | Reduction | None,
    ) -> Iterator[Order]:
        """Gives envelopes of as many tasks as are streamed at once, or one with a merge.

        The tasks of one are taken when it is asked for; shared tables are encoded once for all. See
        `order` for the errors.
        """
        shared = self._shared(tables)
        if merge is not None:
            yield self._order(tasks, shared, merge)
            return
        rest, first = iter(tasks), 0
        while taken := list(islice(rest, STREAMED_TASKS)):
            yield self._order(taken, shared, None, first=first)
            first += len(taken)

    def _shared(self, tables: Mapping[str, Any] | None) -> dict[str, Piece]:
        shared = {}
        for name, table in (tables or {}).items():
            _bytes_of("name of a shared table", name)
            shared[name] = self._encoding.table(Table.of(table))
        return shared

    def _order(
        self,
        tasks: Iterable[Task],
        shared: Mapping[str, Piece],
        merge: str | Reduction | None,
        *,
        first: int = 0,
    ) -> Order:
        """Gives an envelope, with those shared tables that a task of it names."""
        items, names = [], set()
        for place, task in enumerate(tasks, first):
            items.append(Item(task.id or str(place), self._piece(task), self._time_s(task)))
            if isinstance(task.table, str):
                names.add(task.table)
        if not items:
            raise InvalidRequestError("there are no tasks, expected at least one")
        _check_ids([item.id for item in items])
        named = [(name, table) for name, table in shared.items() if name in names]
        return Order(items, named, _reduction(merge))

    def _piece(self, task: Task) -> Piece:
        _check(task)
        table = task.table
        if not isinstance(table, str):
            table = self._encoding.table(Table.of(table))
        return self._encoding.task(task, table, task.idempotency_key or _keys.next())

    def _time_s(self, task: Task) -> float | None:
        if task.timeout_ms is None:
            return self._timeout_s
        if not task.timeout_ms > 0:
            raise InvalidRequestError(
                f"timeout_ms is {task.timeout_ms}, expected more than 0",
                hint="leave it out for the client's own",
            )
        return limit_s(task.timeout_ms / 1e3)


class _Keys:
    """Keys of idempotency that no other task has, in no process: a fork begins anew."""

    def __init__(self) -> None:
        self._numbers = count()
        self.begin()
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        """Gives other keys from now on."""
        self._prefix = os.urandom(_KEY_BYTES).hex()

    def next(self) -> str:
        """Gives a key."""
        return f"{self._prefix}{next(self._numbers):x}"


_keys = _Keys()


def limit_s(timeout_s: float | None) -> float | None:
    """Gives a limit in seconds; None, which is no limit, where nobody lives to see its end."""
    return None if timeout_s is None or timeout_s > FOREVER_S else timeout_s


def _check(task: Task) -> None:
    """Refuses what would break the frame, for all tasks that travel in it.

    Raises:
        InvalidRequestError: Names the field.
    """
    for name, text in (("id", task.id), ("idempotency_key", task.idempotency_key)):
        if text and _bytes_of(f"{name} of a task", text) > MAX_NAME_BYTES:
            raise InvalidRequestError(f"the {name} of a task has more than {MAX_NAME_BYTES} bytes")
    if not 0 <= task.priority <= MAX_PRIORITY:
        raise InvalidRequestError(f"priority is {task.priority}, expected 0 to {MAX_PRIORITY}")
    if not 0.0 <= task.weight < inf:
        raise InvalidRequestError(f"weight is {task.weight}, expected finite and not below 0")


def _reduction(merge: str | Reduction | None) -> Reduction | None:
    found = Reduction(merge) if isinstance(merge, str) else merge
    for text in () if found is None else (found.by, *found.columns):
        _bytes_of("text of a merge", text)
    return found


def _bytes_of(what: str, text: str) -> int:
    """Gives how many bytes a text has in UTF-8.

    Raises:
        InvalidRequestError: It has a lone surrogate.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"the {what} is {text!a}, which has a lone surrogate, expected UTF-8"
        ) from error


def _check_ids(ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise DuplicateTaskError(f"two tasks have the id {twice!r}, expected unique ids")
