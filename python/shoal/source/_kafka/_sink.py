"""A Kafka topic as a sink: records appear by whole epochs, exactly once.

- An epoch is one transaction: its records, and a record on a topic of its own (`EPOCHS`) that says
  which epoch it was and where it ended. Whoever reads only what was committed sees all or nothing.
- That topic is compacted: it keeps the last record of each key, and a key is a pipeline and the
  topic that it writes to.
- `open` first ends what an earlier run left open, and shuts that run out; only then it looks which
  epoch was the last. It waits until no transaction of others hides a part of that topic.
- What is staged lies with this process: in memory, above 64 MB in a temporary file.
- A commit of which it stays unknown whether it came about is settled by the next one, in the same
  way as by `open`.

Source: KIP-98 (transactions); Kafka documentation, "Log compaction".
"""

from __future__ import annotations

import time
from itertools import repeat
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import ConflictError, SinkError, SourceError
from shoal.source._contract import Guarantee, Offset, SinkState, Token
from shoal.source._kafka import _client as kafka
from shoal.source._kafka._client import (
    AdminClient,
    ConfigResource,
    KafkaException,
    NewTopic,
    TopicPartition,
)
from shoal.source._kafka._rows import RECORDS, Rows
from shoal.source._kafka._transactions import Transactions
from shoal.source._spooled._spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from shoal.source._kafka._transactions import Record

EPOCHS = "shoal-epochs"
# Small segments, soon compacted: the topic is read whole by `open`.
EPOCHS_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(8 << 20),
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "60000",
}
# A transaction of a run that was killed hides what follows it for a minute, by default.
HIDDEN_SECONDS = 150.0
# How often a topic that was just made is asked for.
KNOWN_PAUSE_SECONDS = 0.02
# So much waits in memory to be sent; keys go to the partitions to which Java's clients send them.
SENDING = {"queue.buffering.max.kbytes": str(64 << 10), "partitioner": "murmur2_random"}


class Epoch(msgspec.Struct, frozen=True):
    """What was committed at once."""

    pipeline: str
    topic: str
    epoch: int
    end: Offset


class KafkaSink:
    """Writes records to a topic, epoch by epoch.

    Attributes:
        epochs_topic: Where it keeps which epoch was the last; made if it is not there. It may be
            set before `open`.
    """

    guarantee = Guarantee.TRANSACTIONAL
    least_commit_seconds = 0.0

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        key: str | None = None,
        timestamp: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Takes a topic; nothing is asked before `open`.

        Args:
            servers: Where the cluster is asked for first: `host:port`, several with commas.
            topic: The topic; it must be there.
            key: The column, of text or bytes, that is the key of a record.
            timestamp: The column that is the timestamp of a record.
            options: Options of librdkafka, such as `security.protocol`.

        Raises:
            InvalidRequestError: an option cannot be chosen.
        """
        self.epochs_topic = EPOCHS
        self._servers = servers
        self._topic = topic
        self._named = (key, timestamp)
        self._options = dict(options or {})
        self._asking = kafka.settings(servers, self._options, {})
        self._clock = time.monotonic
        self._pipeline = self._id = ""
        self._was_shut_out = False
        self._rows: Rows | None = None
        self._spool = Spool()
        self._transactions: Transactions | None = None
        self._last: SinkState | None = None

    def open(self, pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        """Takes up where an earlier run ended, and shuts that run out; see `Sink.open`.

        Raises:
            DtypeError: a column cannot be written.
            MissingColumnError: the column of the key or the timestamp is not there.
            SinkError: there is no such topic, or the cluster does not answer.
        """
        self._rows = Rows(schema, *self._named)
        self._pipeline, self._id = pipeline_id, f"{pipeline_id}/{self._topic}"
        with kafka.told(SinkError, f"Kafka at {self._servers} cannot be made ready"):
            self._find_topics(AdminClient(self._asking))
        self._settle()
        return self._last

    def write(self, _epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Stages records; see `Sink.write`.

        Raises:
            SinkError: a row cannot be written as a record, or the disk is full.
        """
        if self._rows is None:
            raise SinkError("the sink is not open")
        return self._spool.write(RECORDS, map(self._rows.records, batches))

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        """Shows the records of an epoch; see `Sink.commit`.

        Raises:
            ConflictError: the topic is not where this epoch starts, or another run took over.
            SinkError: Kafka does not take the records, or does not answer.
        """
        transactions = self._settle()
        if self._last is None or (self._last.epoch, self._last.end) != (epoch, end):
            self._check_follows(epoch, start)
            stored = Epoch(self._pipeline, self._topic, epoch, end)
            try:
                transactions.write(lambda: self._records(stored, tokens))
            except ConflictError:
                self._was_shut_out = True
                raise
            self._last = SinkState(epoch, end)
        self.abort(epoch, tokens)

    def abort(self, _epoch: int, tokens: Sequence[Token]) -> None:
        """Throws away what was staged."""
        self._spool.drop(tokens)

    def close(self) -> None:
        """Disconnects."""
        self._spool.clear()
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None

    def _settle(self) -> Transactions:
        """The producer, which alone may write; with a new one, the last epoch is read."""
        if self._was_shut_out:
            raise ConflictError(f"another run writes to topic {self._topic} for this pipeline")
        if self._transactions is None or self._transactions.is_over:
            fixed = {"transactional.id": f"shoal/{self._id}", "delivery.report.only.error": True}
            with kafka.told(SinkError, "the client of Kafka cannot be made"):
                transactions = Transactions(
                    kafka.settings(self._servers, {**SENDING, **self._options}, fixed)
                )
            transactions.take_over()
            self._last = self._read_last()
            self._transactions = transactions
        return self._transactions

    def _find_topics(self, admin: AdminClient) -> None:
        """Makes sure that both topics are there, and that the one of epochs forgets none."""
        topics = admin.list_topics(timeout=kafka.ANSWER_SECONDS).topics
        if self._topic not in topics:
            hint = "Make it: how many partitions it has is for you to choose."
            raise SinkError(f"there is no topic {self._topic} in Kafka", hint=hint)
        name = self.epochs_topic
        if name not in topics:
            _make_topic(admin, name)
        elif len(topics[name].partitions) != 1:
            raise SinkError(f"topic {name} must have one partition, in which epochs have an order")
        policy = self._policy(admin, name)
        if policy != "compact":
            message = f"topic {name} has the cleanup.policy {policy!r}, and would forget epochs"
            raise SinkError(message, hint="Set it to 'compact'.")

    def _policy(self, admin: AdminClient, name: str) -> str:
        """What becomes of old records of a topic; one that was just made is soon known."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        ends_at = self._clock() + kafka.ANSWER_SECONDS
        while True:
            try:
                found = admin.describe_configs([resource])[resource].result()
            except KafkaException as error:
                is_known = kafka.reason(error).name() != "UNKNOWN_TOPIC_OR_PART"
                if is_known or self._clock() > ends_at:
                    raise
                time.sleep(KNOWN_PAUSE_SECONDS)
            else:
                return str(found["cleanup.policy"].value)

    def _read_last(self) -> SinkState | None:
        """The last epoch that was committed: all there is on its topic is read, and waited for."""
        settings = kafka.rereading(self._servers, self._options)
        last = None
        try:
            with kafka.told(SinkError, f"topic {self.epochs_topic} cannot be read"):
                first, end = kafka.written(settings, self.epochs_topic)
            at = TopicPartition(self.epochs_topic, 0, first)
            found = kafka.Range(at, end, patience_seconds=HIDDEN_SECONDS)
            for messages in found.read(settings, self._clock):
                for message in messages:
                    if message.key() == self._id.encode():
                        last = msgspec.json.decode(message.value() or b"", type=Epoch)
        except (SourceError, msgspec.MsgspecError) as error:
            raise SinkError(f"the last epoch cannot be told: {error}") from error
        return None if last is None else SinkState(last.epoch, last.end)

    def _check_follows(self, epoch: int, start: Offset) -> None:
        last = self._last
        if last is not None and (last.epoch + 1, last.end) != (epoch, start):
            message = (
                f"topic {self._topic} cannot be gone on with: it ends with epoch {last.epoch} at "
                f"{last.end}; epoch {epoch} starts at {start}"
            )
            raise ConflictError(
                message, hint="Give another topic, or another name to the pipeline."
            )

    def _records(self, epoch: Epoch, tokens: Sequence[Token]) -> Iterator[Record]:
        """The records of an epoch, and the one that says which it is."""
        for batch in self._spool.read(tokens):
            columns = [column.to_pylist() for column in batch.columns]
            yield from zip(repeat(self._topic), *columns, strict=False)
        yield self.epochs_topic, msgspec.json.encode(epoch), self._id.encode(), None


def _make_topic(admin: AdminClient, name: str) -> None:
    topic = NewTopic(name, 1, config=EPOCHS_CONFIG)
    try:
        admin.create_topics([topic], operation_timeout=kafka.ANSWER_SECONDS)[name].result()
    except KafkaException as error:
        if kafka.reason(error).name() != "TOPIC_ALREADY_EXISTS":
            raise
