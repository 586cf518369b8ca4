"""Whole transactions of one producer: all of its records, or none.

- Whoever begins with a transactional id ends what an earlier holder left open, and shuts it out
  (`take_over`): its next transaction fails with a `ConflictError`.
- What fails for a while is tried again, as librdkafka prescribes: the same call where the error is
  retriable, the whole transaction where it must be aborted. No try begins after `TRIES_SECONDS`.
- Where it stays unknown whether a transaction was committed, the producer is of no more use
  (`is_over`), and only what can be read tells.

Source: KIP-98, KIP-360; librdkafka, INTRODUCTION.md, "Transactional producer".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shoal.errors import ConflictError, SinkError
from shoal.source._kafka._client import KafkaError, KafkaException, Producer, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Record = tuple[str, bytes | None, bytes | None, int | None]
    """Topic, value, key and milliseconds; no milliseconds are now."""

TRIES_SECONDS = 60.0
# One call of librdkafka waits so long; signals are seen between calls.
CALL_SECONDS = 5.0
PAUSES_SECONDS = (0.05, 2.0)

FENCED = {"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"}
# Errors that pass, though librdkafka does not call all of them retriable when its time is up.
PASSING = {
    "CONCURRENT_TRANSACTIONS",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "_TIMED_OUT",
    "_TRANSPORT",
}
# Trying again does not help.
LASTING = {
    "INVALID_RECORD",
    "INVALID_TIMESTAMP",
    "MSG_SIZE_TOO_LARGE",
    "RECORD_LIST_TOO_LARGE",
    "TOPIC_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
}


class Transactions:
    """A producer that writes whole transactions.

    Attributes:
        is_over: Whether it can do no more; after a `SinkError`, a new one may take over.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Takes the settings of a producer.

        Raises:
            KafkaException: they cannot be used.
        """
        self._producer = Producer(settings)
        self._clock = time.monotonic
        self.is_over = False

    def take_over(self) -> None:
        """Ends what an earlier holder of the transactional id left open, and shuts it out.

        Raises:
            SinkError: the cluster does not answer, or refuses.
        """
        ends_at = self._clock() + TRIES_SECONDS
        try:
            self._patiently(self._producer.init_transactions, ends_at)
        except KafkaException as error:
            raise SinkError(f"Kafka gives no transactions: {reason(error).str()}") from error

    def write(self, records: Callable[[], Iterable[Record]]) -> None:
        """Writes records in one transaction; they are asked for anew for every try.

        Raises:
            ConflictError: another producer took the transactional id over.
            SinkError: they were not written; or, if it `is_over`, that is not known.
        """
        ends_at = self._clock() + TRIES_SECONDS
        pause, longest = PAUSES_SECONDS
        while (failed := self._try(records, ends_at)) is not None:
            if failed.name() in LASTING or self._clock() > ends_at:
                raise SinkError(f"Kafka does not take the records: {failed.str()}")
            self._producer.poll(pause)
            pause = min(2 * pause, longest)

    def close(self) -> None:
        """Disconnects; a producer that failed has nothing to end."""
        if not self.is_over:
            self._producer.close()

    def _try(self, records: Callable[[], Iterable[Record]], ends_at: float) -> KafkaError | None:
        """One transaction: the reason for which it was aborted, or None."""
        stage = "begin"
        try:
            self._producer.begin_transaction()
            stage = "send"
            for record in records():
                self._produce(*record)
            stage = "commit"
            self._patiently(self._producer.commit_transaction, ends_at)
        except KafkaException as error:
            failed = reason(error)
            if failed.fatal() or not (stage == "send" or failed.txn_requires_abort()):
                raise self._given_up(failed) from error
            self._abort(ends_at)
            return failed
        except BaseException:
            if stage == "send":
                self._abort(ends_at)
            self.is_over = stage == "commit"
            raise
        return None

    def _abort(self, ends_at: float) -> None:
        try:
            self._patiently(self._producer.abort_transaction, ends_at)
        except KafkaException as error:
            raise self._given_up(reason(error)) from error

    def _given_up(self, failed: KafkaError) -> ConflictError | SinkError:
        """The producer can do no more."""
        self.is_over = True
        if failed.name() in FENCED:
            message = "another run of this pipeline has taken over, or this one paused for too long"
            hint = "Let one run at a time write; see `transaction.timeout.ms` of Kafka."
            return ConflictError(message, hint=hint)
        return SinkError(f"Kafka does not say whether the records were taken: {failed.str()}")

    def _produce(
        self, topic: str, value: bytes | None, key: bytes | None, milliseconds: int | None
    ) -> None:
        while True:
            try:
                # 0 is now, for librdkafka.
                self._producer.produce(topic, value, key, timestamp=milliseconds or 0)
            except BufferError:  # as much waits to be sent as may
                self._producer.poll(0.05)
            else:
                return

    def _patiently(self, call: Callable[[float], None], ends_at: float) -> None:
        """Calls again while that is what the error asks for."""
        while True:
            try:
                call(CALL_SECONDS)
            except KafkaException as error:
                failed = reason(error)
                passes = failed.retriable() or failed.name() in PASSING
                if failed.fatal() or not passes or self._clock() > ends_at:
                    raise
                self._producer.poll(PAUSES_SECONDS[0])
            else:
                return
