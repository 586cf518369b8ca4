"""The load and its meter, each a process: `python -m benchmarks.kafka._load send|read ...`.

send SERVERS TOPIC RATE SECONDS    sends records when they are due; says how late it was
read SERVERS TOPIC COUNT FILE      writes when each answer was seen, until all are
"""

from __future__ import annotations

import sys
import time

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.kafka._records import ANSWERED, ASKED, PIXELS

PARTITIONS = 2
TICK_SECONDS = 0.001
QUIET_SECONDS = 20.0


def send(servers: str, topic: str, rate: int, seconds: float) -> None:
    """Sends `rate` records a second, each when it is due."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 1})
    pixels = np.random.default_rng(0).integers(0, 17, (1000, PIXELS)).astype(np.float32)
    count = int(rate * seconds)
    began_ns = time.time_ns() + 100_000_000
    due_ns = began_ns + np.arange(count) * 1_000_000_000 // rate
    rows = np.empty(count, ASKED)
    rows["due_ns"], rows["pixels"] = due_ns, pixels[np.arange(count) % len(pixels)]
    values = [row.tobytes() for row in rows]
    sent, latest_ns = 0, 0
    while sent < count:
        now_ns = time.time_ns()
        due = int(np.searchsorted(due_ns, now_ns, side="right"))
        latest_ns = max(latest_ns, now_ns - int(due_ns[sent]) if due > sent else 0)
        for number in range(sent, due):
            producer.produce(topic, values[number], partition=number % PARTITIONS)
        sent = max(sent, due)
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    producer.flush()
    print(latest_ns / 1e6, flush=True)


def read(servers: str, topic: str, count: int, file: str) -> None:
    """Reads answers until there are as many as records were sent."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"meter-{topic}",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    print("ready", flush=True)
    seen: list[tuple[int, bytes]] = []
    quiet_since = time.monotonic()
    while len(seen) < count and time.monotonic() - quiet_since < QUIET_SECONDS:
        messages = consumer.consume(10_000, 0.001)
        now_ns = time.time_ns()
        seen += [(now_ns, message.value() or b"") for message in messages]
        quiet_since = time.monotonic() if messages else quiet_since
    rows = np.frombuffer(b"".join(value for _, value in seen), ANSWERED)
    latency_ns = np.array([now for now, _ in seen]) - rows["due_ns"]
    np.savez(file, due_ns=rows["due_ns"], latency_ns=latency_ns)
    consumer.close()


if __name__ == "__main__":
    what, servers, topic, first, second = sys.argv[1:]
    if what == "send":
        send(servers, topic, int(first), float(second))
    else:
        read(servers, topic, int(first), second)
