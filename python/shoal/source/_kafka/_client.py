"""What a Kafka source and a Kafka sink have in common.

- Clients are librdkafka's, by `confluent_kafka`, which comes with `shoal[kafka]`.
- Options are librdkafka's own (its CONFIGURATION.md) and go before what is preset here; those on
  which the guarantees rest cannot be given.
- A cluster that cannot be reached is waited for, which is logged once; librdkafka itself, which
  would log every attempt, is kept quiet (`log_level`).
- A partition that has no leader yet, because it is new or moves to another broker, is asked again.
- A consumer is assigned once: one that is assigned anew tells its earlier position for a while.
- A range of a partition is read until the *position* reaches its end, not until so many records
  came: marks of transactions and what was aborted take offsets too, and are never delivered.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, cast

from shoal.errors import InvalidRequestError, PipelineError, RequirementError, SourceError

try:
    from confluent_kafka import (
        Consumer,
        KafkaError,
        KafkaException,
        Producer,
        TopicPartition,
    )
    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are not in its __all__
        AdminClient,
        ConfigResource,
        NewTopic,
    )
except ImportError as error:
    _message = "Kafka is spoken by the package confluent-kafka, which is not installed"
    raise RequirementError(_message, hint="pip install 'shoal[kafka]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from confluent_kafka import Message

__all__ = [
    "AdminClient",
    "ConfigResource",
    "Consumer",
    "KafkaError",
    "KafkaException",
    "NewTopic",
    "Producer",
    "TopicPartition",
]

# How long a cluster may take to answer a question.
ANSWER_SECONDS = 10.0
# So often a partition without a leader is asked again, after so long each time.
_LEADERLESS_TRIES, _LEADERLESS_PAUSE_S = 50, 0.1
# So many records are taken at once.
MOST_RECORDS = 10_000

_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})

_log = logging.getLogger("shoal.source")

_PRESET: dict[str, Any] = {"client.id": "shoal", "log_level": "2", "socket.nagle.disable": True}
# A request for records that waits at the broker holds up partitions that it does not name, and when
# much has come, librdkafka looks again only after a second, by default.
_QUICK = {"fetch.wait.max.ms": "100", "fetch.queue.backoff.ms": "20"}
_READING: dict[str, Any] = {
    "group.id": "shoal",  # demanded by the client; nothing is committed to the group
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",
}


def settings(servers: str, options: Mapping[str, str], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a client.

    Raises:
        InvalidRequestError: an option is one of those that are fixed.
    """
    fixed = {"bootstrap.servers": servers, "error_cb": Heard(servers), **fixed}
    if taken := sorted(set(options) & set(fixed)):
        message = f"the option {taken[0]} of Kafka cannot be chosen: the guarantees rest on it"
        raise InvalidRequestError(message, hint="Leave it out.")
    return {**_PRESET, **options, **fixed}


def reading(servers: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a consumer: what was committed, from offsets that are told, and no others."""
    return settings(servers, {**_QUICK, **options}, _READING)


def rereading(servers: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a consumer of ranges: it is told at once where a partition ends."""
    quick = {"fetch.wait.max.ms": "10", "queued.max.messages.kbytes": "16384"}
    return settings(servers, {**options, **quick}, {**_READING, "enable.partition.eof": True})


class Heard:
    """What a client says of its connections; it goes on by itself after each of these errors."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._last = "no connection"

    def __call__(self, error: KafkaError) -> None:
        """Logs that all connections are gone, once, with the reason that the last one gave."""
        if error.name() == "_ALL_BROKERS_DOWN":
            _log.warning("Kafka at %s cannot be reached, waiting: %s", self._servers, self._last)
        else:
            self._last = error.str()


@contextmanager
def told(kind: type[PipelineError], what: str) -> Iterator[None]:
    """What Kafka refuses becomes an error of Shoal."""
    try:
        yield
    except KafkaException as error:
        raise kind(f"{what}: {reason(error).str()}") from error


def reason(error: KafkaException) -> KafkaError:
    """What librdkafka says of a failure."""
    found: KafkaError = error.args[0]
    return found


def partitions(consumer: Consumer, topic: str, *, wait_seconds: float) -> list[int]:
    """The partitions of a topic.

    Raises:
        SourceError: there is no such topic.
        KafkaException: the cluster does not answer.
    """
    about = consumer.list_topics(topic, timeout=wait_seconds).topics[topic]
    if about.error is not None:
        raise SourceError(f"topic {topic} cannot be read: {about.error.str()}")
    return sorted(about.partitions)


def failure(consumer: Consumer, message: Message) -> Exception:
    """The error that came in the place of a record."""
    error = cast("KafkaError", message.error())
    if error.name() != "_AUTO_OFFSET_RESET":
        return KafkaException(error)
    where = (cast("str", message.topic()), cast("int", message.partition()))
    return missing(consumer, TopicPartition(*where, offset_of(message)))


def missing(consumer: Consumer, wanted: TopicPartition) -> SourceError:
    """Says which records are gone, and from where on there are some."""
    what = f"the records of {wanted.topic}/{wanted.partition} from {wanted.offset} on are not there"
    with told(SourceError, what):
        first, end = limits(consumer, wanted.topic, wanted.partition)
    what = f"{what}: the earliest is {first}, the next will be {end}"
    hint = "They were deleted (retention), or the topic was made anew; start a new pipeline."
    return SourceError(what, hint=hint)


def limits(consumer: Consumer, topic: str, number: int) -> tuple[int, int]:
    """The first offset of a partition, and the one behind its last record that was committed.

    Raises:
        KafkaException: the cluster does not answer.
    """
    wanted, tries_left = TopicPartition(topic, number), _LEADERLESS_TRIES
    while True:
        try:
            found = consumer.get_watermark_offsets(wanted, timeout=ANSWER_SECONDS)
        except KafkaException as error:
            tries_left -= 1
            if not tries_left or reason(error).code() not in _LEADERLESS:
                raise
            consumer.list_topics(topic, timeout=ANSWER_SECONDS)  # who leads it by now
            Event().wait(_LEADERLESS_PAUSE_S)
            continue
        if found is None:
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
        return found


def written(settings: dict[str, Any], topic: str) -> tuple[int, int]:
    """The first offset of partition 0 and the last one, that of open transactions included.

    Raises:
        KafkaException: the cluster does not answer.
    """
    settings = {**settings, "isolation.level": "read_uncommitted"}
    with closing(Consumer(settings)) as consumer:
        return limits(consumer, topic, 0)


class Range:
    """A range of a partition, read once, in order.

    Attributes:
        position: The offset up to which it was read.
    """

    def __init__(self, at: TopicPartition, end: int, *, patience_seconds: float) -> None:
        """Takes where it starts and ends, and how long it may take until something comes."""
        self._at = at
        self._end = end
        self._patience_seconds = patience_seconds
        self.position = at.offset

    def read(self, settings: dict[str, Any], clock: Callable[[], float]) -> Iterator[list[Message]]:
        """The records, as they come.

        Raises:
            SourceError: they are not there, or do not come.
        """
        with told(SourceError, f"{self} cannot be read"), closing(Consumer(settings)) as consumer:
            consumer.assign([self._at])
            moved_at = clock()
            while self.position < self._end:
                before = self.position
                if records := self._more(consumer):
                    yield records
                if self.position > before:
                    moved_at = clock()
                elif clock() - moved_at > self._patience_seconds:
                    raise SourceError(f"{self} cannot be read: nothing comes after {before}")

    def __str__(self) -> str:
        """Names it for people."""
        return f"{self._at.topic}/{self._at.partition} from {self._at.offset} to {self._end}"

    def _more(self, consumer: Consumer) -> list[Message]:
        """What has come, of the range; moves the position."""
        # Waits for one record only: `consume` waits for as many as it is asked for.
        came = consumer.consume(1, 0.2)
        came += consumer.consume(MOST_RECORDS, 0) if came else []
        records = [message for message in came if not self._is_told(consumer, message)]
        position = consumer.position([self._at])[0].offset
        self.position = max(self.position, position)
        return [message for message in records if offset_of(message) < self._end]

    def _is_told(self, consumer: Consumer, message: Message) -> bool:
        """Whether a message is none of the topic; the end of a partition moves the position."""
        error = message.error()
        if error is None:
            return False
        if error.name() != "_PARTITION_EOF":
            raise failure(consumer, message)
        self.position = max(self.position, offset_of(message))
        return True


def offset_of(message: Message) -> int:
    """The offset of a record."""
    return cast("int", message.offset())
