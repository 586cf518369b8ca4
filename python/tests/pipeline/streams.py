"""Records of topics that pipelines of the tests read: those of `crashing.COLUMNS`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.kafka import Broker

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = 5


def values(ids: range, *, rows_per_second: float = 3.0) -> Iterator[bytes]:
    """Records with these numbers, their times in order."""
    random = np.random.default_rng(ids.start)
    for number in ids:
        record = {
            "time": (BEGAN + timedelta(seconds=number / rows_per_second)).isoformat(),
            "key": int(random.integers(KEYS)),
            "value": int(random.integers(-20, 80)),
            "id": number,
        }
        yield json.dumps(record).encode()


def sent(kafka: Broker, rows: int, *, partitions: int) -> str:
    """A new topic with so many records, dealt out to its partitions."""
    topic = kafka.topic(partitions)
    for partition in range(partitions):
        kafka.send(topic, list(values(range(rows)))[partition::partitions], partition=partition)
    return topic
