"""Answers in JSON, and in Arrow, whose head is JSON: results, and errors of tasks and requests.

Source: protocol/protocol.md, "Tasks" and "Errors".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from shoal.client._answers import error_of_task
from shoal.client._task import Merged, Result, Results
from shoal.client._wire._json_read import TableJson, decoded, read_table
from shoal.errors import AnswerError, ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.client._tables._table import Table
    from shoal.client._wire._arrow_streams import Streams


class ErrorJson(msgspec.Struct, gc=False):
    """An error of a task or of a request."""

    code: str
    error: str
    hint: str | None = None
    retry_after_ms: int | None = None


class ResultJson(msgspec.Struct, gc=False):
    """The answer to one task."""

    id: str
    model: str = ""
    version: str = ""
    batch_rows: int = 0
    table: TableJson | None = None
    error: ErrorJson | None = None


class MergedJson(msgspec.Struct, gc=False):
    """The results joined."""

    table: TableJson | None = None
    error: ErrorJson | None = None
    left_out: list[str] = []


class AnswerJson(msgspec.Struct, gc=False):
    """An answer to an envelope."""

    results: list[ResultJson]
    merged: MergedJson | None = None


class LineJson(msgspec.Struct, gc=False):
    """A line of an answer that comes as it is ready: a result, or in the end what was merged."""

    id: str = ""
    model: str = ""
    version: str = ""
    batch_rows: int = 0
    table: TableJson | None = None
    error: ErrorJson | None = None
    merged: MergedJson | None = None


_Answer = TypeVar("_Answer")
_answer = msgspec.json.Decoder(AnswerJson)
_line = msgspec.json.Decoder(LineJson)


def read_json(body: bytes) -> Results:
    """Gives the results of an answer in JSON.

    Raises:
        AnswerError: It is not what the protocol says.
    """
    answer = _read(_answer, body)
    results = [result_of(each, _reader(each.table)) for each in answer.results]
    merged = answer.merged
    return Results(results, None if merged is None else merged_of(merged, _reader(merged.table)))


def read_line(line: bytes) -> Result | Merged:
    """Gives what one line of an answer says.

    Raises:
        AnswerError: It is not what the protocol says.
    """
    found = _read(_line, line)
    if found.merged is not None:
        return merged_of(found.merged, _reader(found.merged.table))
    return result_of(found, _reader(found.table))


def read_arrow(body: bytes) -> Results:
    """Gives the results of an answer in Arrow.

    Raises:
        AnswerError: It is not what the protocol says, or bytes are missing or left over.
    """
    from shoal.client._wire._arrow_streams import Streams

    try:
        streams = Streams(body)
        answer = decoded(_answer, streams.head)
        results = [result_of(each, _placed(each.table, streams)) for each in answer.results]
        merged, found = answer.merged, None
        if merged is not None:
            found = merged_of(merged, _placed(merged.table, streams))
        streams.finish()
    except ShoalError as error:
        raise AnswerError(f"the answer is not one of the protocol: {error}") from error
    return Results(results, found)


def result_of(found: ResultJson | LineJson, read: Callable[[], Table] | None) -> Result:
    """Gives a result, whose table is read when it is asked for."""
    if found.error is not None:
        return Result(found.id, outcome=error_of(found.error))
    return Result(
        found.id,
        model=found.model,
        version=found.version,
        batch_rows=found.batch_rows,
        outcome=read,
    )


def merged_of(found: MergedJson, read: Callable[[], Table] | None) -> Merged:
    """Gives what was merged.

    Raises:
        AnswerError: There is neither a table nor an error.
    """
    if found.error is not None:
        return Merged(error_of(found.error), found.left_out)
    if read is None:
        raise AnswerError("the merge has neither a table nor an error")
    return Merged(read, found.left_out)


def error_of(found: ErrorJson) -> ShoalError:
    """Gives the error of a task."""
    return error_of_task(found.code, found.error, found.hint, found.retry_after_ms)


def _read(decoder: msgspec.json.Decoder[_Answer], body: bytes) -> _Answer:
    try:
        return decoded(decoder, body)
    except ShoalError as error:
        raise AnswerError(f"the answer is not one of the protocol: {error}") from error


def _reader(table: TableJson | None) -> Callable[[], Table] | None:
    return None if table is None else partial(read_table, table)


def _placed(table: TableJson | None, streams: Streams) -> Callable[[], Table] | None:
    if table is None or table.arrow is None:
        return _reader(table)
    return streams.next(table.arrow)
