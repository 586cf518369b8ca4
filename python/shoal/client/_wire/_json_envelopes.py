"""Envelopes in JSON, and in Arrow: the same JSON as a head, in which large tables are streams.

Which of the two an envelope is decides what is in it: with one Arrow stream it is Arrow.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from shoal.client._wire._encoding import ARROW, JSON, Body, Piece
from shoal.client._wire._json_write import write_table, write_text
from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from shoal.client._tables._table import Table
    from shoal.client._task import Task
    from shoal.client._wire._encoding import Due, Envelope, Reduction

LARGE_VALUES = 4096

_encode = msgspec.json.Encoder().encode


class _ModelJson(msgspec.Struct, omit_defaults=True):
    """What is said of a task before its table, but for its id; in the order of the protocol."""

    model: str
    version: str = ""


class _WishesJson(msgspec.Struct, omit_defaults=True):
    """What is said between its table and its budget."""

    outputs: tuple[str, ...] = ()
    priority: int = 0


class _TailJson(msgspec.Struct, omit_defaults=True):
    """What is said behind it."""

    idempotency_key: str = ""
    weight: float | msgspec.UnsetType = msgspec.UNSET


class _MergeJson(msgspec.Struct, omit_defaults=True):
    by: str
    columns: tuple[str, ...] = ()


class JsonEncoding:
    """JSON, with tables in Arrow where they are large.

    Args:
        arrow_from: How many values a table has that is sent as Arrow; None is never.
    """

    def __init__(self, arrow_from: int | None = LARGE_VALUES) -> None:
        self._arrow_from = arrow_from

    def table(self, table: Table) -> Piece:
        """Gives a table as JSON, or as an Arrow stream."""
        if self._arrow_from is None or table.size < self._arrow_from or not table.names:
            return Piece(write_table(table))
        from shoal.client._wire._arrow_streams import write_stream

        stream = write_stream(table)
        return Piece(b'{"arrow":%d}' % len(stream), streams=(stream,))

    def task(self, task: Task, table: Piece | str, key: str) -> Piece:
        """Gives a task, without its id and its budget, and without its braces."""
        try:
            before, behind = _frame(task.model, task.version, tuple(task.outputs), task.priority)
            held = _encode(table) if isinstance(table, str) else table.head
            tail = _tail(key, task.weight)
        except UnicodeEncodeError as error:
            raise InvalidRequestError(f"a text of the task is none: {error}") from error
        streams = () if isinstance(table, str) else table.streams
        return Piece(b"%b%b%b" % (before, held, behind), tail, streams)

    def body(self, envelope: Envelope) -> Body:
        """Gives an envelope: JSON, or Arrow where a table of it is."""
        tasks = b",".join(map(_task, envelope.tasks))
        shared = b""
        if envelope.shared:
            named = (b"%b:%b" % (write_text(name), each.head) for name, each in envelope.shared)
            shared = b'"tables":{%b},' % b",".join(named)
        merge = b"" if envelope.merge is None else b',"merge":%b' % _merge(envelope.merge)
        timeout = b',"timeout_us":%d' % envelope.timeout_us if envelope.timeout_us else b""
        head = b'{%b"tasks":[%b]%b%b}' % (shared, tasks, merge, timeout)
        streams = [stream for _, each in envelope.shared for stream in each.streams]
        streams += [stream for each in envelope.tasks for stream in each.piece.streams]
        if not streams:
            return Body(JSON, head)
        from shoal.client._wire._arrow_streams import write_head

        return Body(ARROW, b"".join([write_head(head), *streams]))


@lru_cache(1024, typed=True)  # a priority of True is none, and not to be sent for 1
def _frame(
    model: str, version: str, outputs: tuple[str, ...], priority: int
) -> tuple[bytes, bytes]:
    """Gives what stands around the table of a task."""
    wishes = _encode(_WishesJson(outputs, priority))[1:-1]
    head = _encode(_ModelJson(model, version))[1:-1] + b',"table":'
    return head, b"," + wishes if wishes else b""


def _tail(key: str, weight: float) -> bytes:
    if weight == 1.0:
        return b',"idempotency_key":%b' % _encode(key) if key else b""
    return b"," + _encode(_TailJson(key, weight))[1:-1]


def _task(due: Due) -> bytes:
    id_, piece, budget_us = due
    name = b'"%b"' % id_.encode() if id_.isascii() and id_.isdigit() else _encode(id_)
    if not budget_us:
        return b'{"id":%b,%b%b}' % (name, piece.head, piece.tail)
    return b'{"id":%b,%b,"timeout_us":%d%b}' % (name, piece.head, budget_us, piece.tail)


def _merge(merge: Reduction) -> bytes:
    return _encode(_MergeJson(merge.by, merge.columns))
