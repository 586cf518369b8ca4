"""Envelopes and answers in protobuf.

A message is its fields one after the other, so an envelope is made of tasks that were encoded
apart, and a task of what was said of it, its id and its budget.

Source: protobuf.dev/programming-guides/encoding, "Last One Wins" and "Message Structure".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from shoal.client._answers import error_of_task
from shoal.client._task import Merged, Result, Results
from shoal.client._wire._encoding import PROTOBUF, Body, Due, Piece
from shoal.client._wire._messages import MESSAGES, message
from shoal.client._wire._protobuf_tables import parsed, read_table, write_table
from shoal.errors import AnswerError, InvalidRequestError, ShoalError

if TYPE_CHECKING:
    from shoal.client._tables._table import Table
    from shoal.client._task import Task
    from shoal.client._wire._encoding import Envelope

_LENGTH, _VARINT = 2, 0


class ProtobufEncoding:
    """Messages of `shoal.v1`.

    Args:
        arrow_from: How many values a table has that is sent as an Arrow stream; None is never.
    """

    def __init__(self, arrow_from: int | None = None) -> None:
        self._arrow_from = arrow_from

    def table(self, table: Table) -> Piece:
        """Gives a table as `Table`."""
        found = message("Table")()
        if self._arrow_from is None or table.size < self._arrow_from or not table.names:
            write_table(table, found)
        else:
            from shoal.client._wire._arrow_streams import write_stream

            found.arrow = write_stream(table)
        return Piece(found.SerializeToString())

    def task(self, task: Task, table: Piece | str, key: str) -> Piece:
        """Gives a task as fields of `Task`, without its id and its budget."""
        try:
            name = message("Task")(model=task.model, version=task.version).SerializeToString()
            head = message("Task")(outputs=task.outputs, priority=task.priority)
            tail = message("Task")(idempotency_key=key)
            if task.weight != 1.0:
                tail.weight = task.weight
            if isinstance(table, str):
                held = message("Task")(shared=table).SerializeToString()
            else:
                held = field("Task", "table", table.head)
        except (UnicodeEncodeError, ValueError, TypeError) as error:
            raise InvalidRequestError(f"the task cannot be said in protobuf: {error}") from error
        return Piece(name + held + head.SerializeToString(), tail.SerializeToString())

    def body(self, envelope: Envelope) -> Body:
        """Gives an envelope as `RunRequest`."""
        parts = [
            field("RunRequest", "tables", shared_table(name, each))
            for name, each in envelope.shared
        ]
        parts += [field("RunRequest", "tasks", whole_task(each)) for each in envelope.tasks]
        if envelope.merge is not None:
            merge = message("Merge")(by=envelope.merge.by, columns=envelope.merge.columns)
            parts.append(field("RunRequest", "merge", merge.SerializeToString()))
        parts.append(number("RunRequest", "timeout_us", envelope.timeout_us))
        return Body(PROTOBUF, b"".join(parts))


def whole_task(due: Due) -> bytes:
    """Gives a task with its id and its budget."""
    name = field("Task", "id", due.id.encode())
    budget = number("Task", "timeout_us", due.budget_us)
    return name + due.piece.head + budget + due.piece.tail


def shared_table(name: str, table: Piece) -> bytes:
    """Gives a shared table as `SharedTable`."""
    head: bytes = message("SharedTable")(name=name).SerializeToString()
    return head + field("SharedTable", "table", table.head)


def number(of: str, name: str, content: int) -> bytes:
    """Gives a field of a message that is a whole number, not below 0; nothing for 0."""
    return _varint(_number(of, name) << 3 | _VARINT) + _varint(content) if content else b""


def field(of: str, name: str, content: bytes) -> bytes:
    """Gives a field of a message that is bytes, text or a message."""
    return _varint(_number(of, name) << 3 | _LENGTH) + _varint(len(content)) + content


def read_protobuf(body: bytes) -> Results:
    """Gives the results of a `RunResponse`.

    Raises:
        AnswerError: It is none.
    """
    answer = _parsed("RunResponse", body)
    merged = None
    if answer.HasField("merged"):
        merged = Merged(_outcome(answer.merged) or _nothing(), list(answer.merged.left_out))
    return Results([result_of(each) for each in answer.results], merged)


def read_result(body: bytes) -> Result:
    """Gives a `TaskResult`.

    Raises:
        AnswerError: It is none.
    """
    return result_of(_parsed("TaskResult", body))


def result_of(found: Any) -> Result:
    """Gives the result that a message is."""
    return Result(
        found.id,
        model=found.model,
        version=found.version,
        batch_rows=found.batch_rows,
        outcome=_outcome(found),
    )


def _outcome(found: Any) -> Any:
    """Gives the error of an answer, what reads its table, or None."""
    member = found.WhichOneof("outcome")
    if member == "table":
        return partial(read_table, found.table)
    if member is None:
        return None
    told = found.error
    after_ms = told.retry_after_ms if told.HasField("retry_after_ms") else None
    return error_of_task(told.code, told.error, told.hint or None, after_ms)


def _nothing() -> ShoalError:
    raise AnswerError("the merge has neither a table nor an error")


def _parsed(name: str, body: bytes) -> Any:
    try:
        return parsed(name, body)
    except ShoalError as error:
        raise AnswerError(f"the answer is not one of the protocol: {error}") from error


def _number(of: str, name: str) -> int:
    return int(MESSAGES[of][name].split()[-1])


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
