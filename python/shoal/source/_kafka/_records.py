"""Records of Kafka as columns.

- Raw, a record is `topic`, `partition`, `offset`, `timestamp`, `key` and `value`, as it is stored.
- With columns, its value is one JSON object (RFC 8259), of which the named members are columns;
  beside them stand `kafka_key`, `kafka_timestamp`, `kafka_partition` and `kafka_offset`.
- A value that is no such object is refused with its offset, and harms no other: each value is
  checked to be one whole object before those of a batch are decoded together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError, NullError
from shoal.source._json_lines import decode
from shoal.source._kafka._client import offset_of
from shoal.source._pieces import BATCH_BYTES, BATCH_ROWS, Place, Placed, Refuse, Refused
from shoal.source._text import SHOWN_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confluent_kafka import Message

TIMESTAMP = pa.timestamp("ms", "UTC")
RAW = pa.schema(
    {
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": TIMESTAMP,
        "key": pa.binary(),
        "value": pa.binary(),
    }
)
BESIDE = pa.schema(
    {
        "kafka_key": pa.binary(),
        "kafka_timestamp": TIMESTAMP,
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
    }
)


class Raw:
    """Records as they are stored."""

    schema = RAW

    def read(self, messages: Sequence[Message], _refuse: Refuse) -> Iterator[Placed]:
        """The records of one partition; none is refused."""
        for some in _batches(messages):
            topics = pa.array([message.topic() for message in some], pa.string())
            values = pa.array([message.value() for message in some], pa.binary())
            key, timestamp, partition, offset = _beside(some)
            columns = [topics, partition, offset, timestamp, key, values]
            yield _place(some), pa.record_batch(columns, schema=RAW)


class Objects:
    """Records whose values are JSON objects."""

    def __init__(self, columns: pa.Schema) -> None:
        """Takes the members that are read, and their types.

        Raises:
            InvalidRequestError: one has a name that another column has.
        """
        self._columns = columns
        names = [*columns.names, *BESIDE.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidRequestError(f"the column {twice[0]} of a Kafka topic is there twice")
        self.schema = pa.schema([*columns, *BESIDE])

    def read(self, messages: Sequence[Message], refuse: Refuse) -> Iterator[Placed]:
        """The records of one partition; `refuse` is told of values that are no such objects."""
        for some in _batches(messages):
            objects = [message for message in some if _is_object(message, refuse)]
            parts = list(self._decoded(objects, refuse))
            if parts:
                kept = [message for part, _ in parts for message in part]
                decoded = pa.concat_batches([batch for _, batch in parts])
                columns = [*decoded.columns, *_beside(kept)]
                yield _place(kept), pa.record_batch(columns, schema=self.schema)

    def _decoded(
        self, messages: Sequence[Message], refuse: Refuse
    ) -> Iterator[tuple[Sequence[Message], pa.RecordBatch]]:
        """What can be decoded; what cannot is halved until the values to blame are alone."""
        waiting = [messages] if messages else []
        while waiting:
            some = waiting.pop()
            try:
                yield some, self._decode(some)
            except pa.ArrowException as error:
                if len(some) == 1:
                    refuse(_refused(some[0], DtypeError.code, str(error)))
                else:
                    middle = len(some) // 2
                    waiting += [some[middle:], some[:middle]]

    def _decode(self, messages: Sequence[Message]) -> pa.RecordBatch:
        # An object may be written over several lines, which its texts never are (RFC 8259, 7).
        lines = [(message.value() or b"").replace(b"\n", b" ") for message in messages]
        return decode(b"\n".join(lines), self._columns, others="ignore")


class _Object(msgspec.Struct):
    """Any JSON object: nothing of it is kept."""


_checked = msgspec.json.Decoder(_Object).decode


def _is_object(message: Message, refuse: Refuse) -> bool:
    """Whether a value is one whole JSON object; it is refused if not."""
    value = message.value()
    if value is None:
        refuse(_refused(message, NullError.code, "the record has no value (a tombstone)"))
        return False
    try:
        _checked(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        refuse(_refused(message, DtypeError.code, f"the value is no JSON object: {error}"))
        return False
    return True


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The records in runs of about the size of a batch."""
    first, size_bytes = 0, 0
    for row, message in enumerate(messages):
        if size_bytes >= BATCH_BYTES or row - first == BATCH_ROWS[1]:
            yield messages[first:row]
            first, size_bytes = row, 0
        size_bytes += len(message)
    if messages:
        yield messages[first:]


def _beside(messages: Sequence[Message]) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """Key, timestamp, partition and offset; a timestamp of kind 0 is none."""
    times = [message.timestamp() for message in messages]
    return (
        pa.array([message.key() for message in messages], pa.binary()),
        pa.array([time if kind else None for kind, time in times], TIMESTAMP),
        pa.array([message.partition() for message in messages], pa.int32()),
        pa.array([message.offset() for message in messages], pa.int64()),
    )


def _place(messages: Sequence[Message]) -> Place:
    offsets = [offset_of(message) for message in messages]
    return Place(_where(messages[0]), "offset", offsets[0], offsets)


def _where(message: Message) -> str:
    return f"{message.topic()}/{message.partition()}"


def _refused(message: Message, code: str, reason: str) -> Refused:
    text = (message.value() or b"")[:SHOWN_BYTES].decode("utf-8", "replace")
    return Refused(_where(message), f"offset {message.offset()}", code, reason, text)
