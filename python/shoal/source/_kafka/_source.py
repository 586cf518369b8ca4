"""A Kafka topic as a source: unbounded, replayable, each partition in its order.

- An offset is `{"0": 41, "1": 7}`: for each partition, the offset of the next record.
- Which records an epoch has is decided by what has arrived (`latest`), not by what a broker says
  that there is: nothing is asked of the cluster between two epochs. What has arrived is kept for
  `read`; a range that is not kept any more is read again.
- Only what was committed is read; an epoch ends behind marks of transactions, never inside one
  record's place.
- Partitions are assigned, so that no group has to agree; offsets are kept by the pipeline alone.
- Records that were deleted before they were read are an error, never passed over.
- A partition that is added to the topic is read from its first record, `LOOKED_AT_SECONDS` later
  at most.
- A cluster that cannot be reached is waited for.
- Only the thread that calls `latest` uses the client, which lets one call in at a time; `read` has
  clients of its own, and what waits (`lag_rows`) is known from the last call.

Source: Kafka protocol, KIP-98 (transactions); librdkafka, INTRODUCTION.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from shoal.errors import InvalidRequestError, SourceError
from shoal.source._folder import LocalFolder
from shoal.source._kafka import _client as kafka
from shoal.source._kafka._client import (
    Consumer,
    KafkaException,
    TopicPartition,
)
from shoal.source._kafka._records import Objects, Raw
from shoal.source._pieces import refuse_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from confluent_kafka import Message

    from shoal.source._contract import Limit, Offset, Split
    from shoal.source._pieces import Placed, Refuse

LOOKED_AT_SECONDS = 30.0
LOOK_SECONDS = 1.0
# How long a range that is read again may bring nothing.
PATIENCE_SECONDS = 60.0
# So much that arrived is kept for `read`; what is above is read again.
KEPT_BYTES = 256 << 20
# How large a record is taken to be before one was seen.
GUESSED_BYTES = 4096

INITIAL = "kafka-initial.json"


class KafkaSource:
    """Reads a topic."""

    replayable = True
    reads_ahead = True
    is_bounded = False

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        columns: pa.Schema | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Takes a topic; nothing is asked before `open`.

        Args:
            servers: Where the cluster is asked for first: `host:port`, several with commas.
            topic: The topic.
            columns: What is read of values that are JSON objects; without it, records are raw.
            start: Where the first epoch starts: with the first record there is, or the next.
            options: Options of librdkafka, such as `security.protocol`.

        Raises:
            InvalidRequestError: an option cannot be chosen, or a column is named like another.
        """
        if start not in {"earliest", "latest"}:
            raise InvalidRequestError(f"start is {start!r}, expected 'earliest' or 'latest'")
        self._servers = servers
        self._topic = topic
        self._start = start
        self._settings = kafka.reading(servers, options or {})
        self._reading_again = kafka.rereading(servers, options or {})
        self._records = Raw() if columns is None else Objects(columns)
        self._arrived = _Arrived()
        self._clock = time.monotonic
        self._consumer: Consumer | None = None
        self._directory = Path()
        self._numbers: list[int] = []
        self._looked_at = 0.0
        self._at: Offset | None = None
        self._highest: dict[int, int] = {}

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        return self._records.schema

    def open(self, directory: Path) -> None:
        """Connects.

        Raises:
            SourceError: there is no such topic, or the cluster does not answer.
        """
        with kafka.told(SourceError, "the client of Kafka cannot be made"):
            self._consumer = Consumer(self._settings)
        self._directory = directory
        with kafka.told(SourceError, f"Kafka at {self._servers} does not answer"):
            self._look(self._consumer, kafka.ANSWER_SECONDS)

    def initial(self) -> Offset:
        """Where the first epoch starts; the end of a topic stays where it was first found.

        Raises:
            SourceError: the cluster does not answer.
        """
        if self._start == "earliest":
            return self._limits(0)
        folder = LocalFolder(self._directory)
        if (stored := folder.read(INITIAL)) is None:
            stored = msgspec.json.encode(self._limits(1))
            folder.create(INITIAL, stored)
        return msgspec.json.decode(stored, type=dict[str, int])

    def latest(self, start: Offset, limit: Limit) -> Offset:
        """Where an epoch from `start` ends: takes what arrives until one of the limits is reached.

        Raises:
            SourceError: records were deleted before they were read, or the topic is gone.
        """
        with kafka.told(SourceError, f"topic {self._topic} cannot be read"):
            consumer = self._follow(start)
            self._at = None  # unless all goes well
            arrived = self._take(consumer, limit)
            end = self._position(consumer, start)
            self._highest = self._told(consumer)
        for split in self.splits(start, end):
            place = (split["number"], split["start"], split["end"])
            self._arrived.keep(place, arrived.get(split["number"], []))
        self._at = end
        return end

    def partitions(self, offset: Offset) -> Sequence[str]:
        """Those that the topic has."""
        numbers = sorted({*map(str, self._numbers), *offset}, key=int)
        return [f"{self._topic}/{number}" for number in numbers]

    def splits(self, start: Offset, end: Offset) -> Sequence[Split]:
        """One split for each partition that has new offsets."""
        return [
            {
                "partition": f"{self._topic}/{number}",
                "topic": self._topic,
                "number": int(number),
                "start": start.get(number, 0),
                "end": stop,
            }
            for number, stop in sorted(end.items(), key=lambda item: int(item[0]))
            if stop > start.get(number, 0)
        ]

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The records of a split.

        Raises:
            SourceError: they cannot be read; or the error of a record that cannot be.
        """
        return (batch for _, batch in self.read_placed(split, refuse_all))

    def read_placed(self, split: Split, refuse: Refuse) -> Iterator[Placed]:
        """The records of a split and where they are; `refuse` is told of those that cannot be read.

        Raises:
            SourceError: they were deleted, or do not come.
        """
        number, start, end = split["number"], split["start"], split["end"]
        kept = self._arrived.take((number, start, end))
        if kept is not None:
            yield from self._records.read(kept, refuse)
            return
        again = kafka.Range(
            TopicPartition(split["topic"], number, start), end, patience_seconds=PATIENCE_SECONDS
        )
        for messages in again.read(self._reading_again, self._clock):
            yield from self._records.read(messages, refuse)

    def lag_rows(self, end: Offset) -> int | None:
        """How many offsets lie behind an offset, as told with the last records that came."""
        highest = self._highest
        if not highest or min(highest.values()) < 0:
            return None
        return sum(max(high - int(end.get(str(at), 0)), 0) for at, high in highest.items())

    def commit(self, end: Offset) -> None:
        """What lies before `end` is not kept any more."""
        self._arrived.drop(end)

    def close(self) -> None:
        """Disconnects."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _opened(self) -> Consumer:
        if self._consumer is None:
            raise SourceError("the source is not open")
        return self._consumer

    def _look(self, consumer: Consumer, wait_seconds: float) -> bool:
        """Looks which partitions there are; whether there are others than before."""
        before = self._numbers
        self._looked_at = self._clock()
        self._numbers = kafka.partitions(consumer, self._topic, wait_seconds=wait_seconds)
        return self._numbers != before

    def _limits(self, which: Literal[0, 1]) -> Offset:
        """The first offset of each partition, or that behind its last record."""
        consumer = self._opened()
        with kafka.told(SourceError, f"the offsets of topic {self._topic} cannot be asked for"):
            return {
                str(number): kafka.limits(consumer, self._topic, number)[which]
                for number in self._numbers
            }

    def _follow(self, start: Offset) -> Consumer:
        """The consumer, which goes on at `start`, with all partitions."""
        consumer = self._opened()
        if self._at == start and not self._has_more(consumer):
            return consumer
        if self._at != start:
            self._arrived.clear()
        consumer.close()
        consumer = self._consumer = Consumer(self._settings)
        consumer.assign(
            [
                TopicPartition(self._topic, number, start.get(str(number), 0))
                for number in self._numbers
            ]
        )
        return consumer

    def _has_more(self, consumer: Consumer) -> bool:
        """Whether the topic was found to have other partitions than before."""
        if self._clock() - self._looked_at <= LOOKED_AT_SECONDS:
            return False
        try:
            return self._look(consumer, LOOK_SECONDS)
        except KafkaException:
            return False  # the cluster is away, and is waited for

    def _take(self, consumer: Consumer, limit: Limit) -> dict[int, list[Message]]:
        """What arrives until a limit is reached, by partition."""
        arrived: dict[int, list[Message]] = {number: [] for number in self._numbers}
        ends_at = self._clock() + limit.wait_seconds
        rows = size_bytes = 0
        while rows < limit.rows and size_bytes < limit.size_bytes:
            wait_seconds = max(ends_at - self._clock(), 0.0)
            asked = _most(limit, rows, size_bytes)
            messages = consumer.consume(asked, wait_seconds)
            for message in messages:
                if message.error() is not None:
                    raise kafka.failure(consumer, message)
                arrived[cast("int", message.partition())].append(message)
                size_bytes += len(message)
            rows += len(messages)
            if len(messages) < asked or not wait_seconds:
                break
        return arrived

    def _position(self, consumer: Consumer, start: Offset) -> Offset:
        """Up to where was taken; `start` itself where nothing was."""
        asked = [TopicPartition(self._topic, number) for number in self._numbers]
        moved = {
            str(at.partition): at.offset
            for at in consumer.position(asked)
            if at.offset > start.get(str(at.partition), 0)
        }
        return {**start, **moved} if moved else start

    def _told(self, consumer: Consumer) -> dict[int, int]:
        """The next offset of each partition, as the cluster told it with records; -1 before."""
        places = [TopicPartition(self._topic, number) for number in self._numbers]
        return {at.partition: consumer.get_watermark_offsets(at, cached=True)[1] for at in places}


def _most(limit: Limit, rows: int, size_bytes: int) -> int:
    """How many records to take at once, so that the bytes stay near their limit."""
    each = max(size_bytes // rows, 1) if rows else GUESSED_BYTES
    fitting = (limit.size_bytes - size_bytes) // each
    return max(min(limit.rows - rows, fitting, kafka.MOST_RECORDS), 1)


class _Arrived:
    """Ranges that arrived and were not read yet; one thread fills it, others take."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[int, int, int], list[Message]] = {}
        self._kept_bytes = 0

    def keep(self, place: tuple[int, int, int], messages: list[Message]) -> None:
        """Keeps the records of a partition from an offset to another, if there is room."""
        size_bytes = sum(map(len, messages))
        with self._lock:
            if self._kept_bytes + size_bytes <= KEPT_BYTES:
                self._kept[place] = messages
                self._kept_bytes += size_bytes

    def take(self, place: tuple[int, int, int]) -> list[Message] | None:
        """The records of a range, once; None if they are not kept."""
        with self._lock:
            messages = self._kept.pop(place, None)
            self._kept_bytes -= sum(map(len, messages or ()))
            return messages

    def drop(self, end: Offset) -> None:
        """Keeps nothing of what ends before an offset."""
        for place in list(self._kept):
            if place[2] <= end.get(str(place[0]), 0):
                self.take(place)

    def bytes(self) -> int:
        """How much is kept."""
        return self._kept_bytes

    def clear(self) -> None:
        """Keeps nothing."""
        for place in list(self._kept):
            self.take(place)
