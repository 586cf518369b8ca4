"""The loop by hand: `python -m benchmarks.kafka._loop SERVERS IN OUT MODEL SECONDS`.

Consumes for SECONDS, calls the model once, and writes the answers and the offsets in a transaction.
Ends when its standard input does.
"""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import Any

import numpy as np
import onnxruntime as ort
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.kafka._records import ANSWERED, ASKED

MOST = 10_000
ANSWER_SECONDS = 30


def main() -> None:
    servers, before, after, model, seconds = sys.argv[1:]
    consumer = _consumer(servers, before)
    producer = Producer(
        {"bootstrap.servers": servers, "transactional.id": f"loop-{after}", "linger.ms": 0}
    )
    producer.init_transactions()
    session = _session(model)
    stopped = Event()
    Thread(target=_stop, args=(stopped,), daemon=True).start()
    print("ready", flush=True)
    while not stopped.is_set():
        messages = consumer.consume(MOST, float(seconds))
        if messages:
            _answer(session, producer, after, messages)
            _commit(consumer, producer)
    consumer.close()


def _stop(stopped: Event) -> None:
    sys.stdin.read()
    stopped.set()


def _consumer(servers: str, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"loop-{topic}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    numbers = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
    ends = [
        TopicPartition(topic, n, consumer.get_watermark_offsets(TopicPartition(topic, n))[1])
        for n in numbers
    ]
    consumer.assign(ends)
    return consumer


def _session(model: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _answer(session: Any, producer: Producer, topic: str, messages: list[Any]) -> None:
    rows = np.frombuffer(b"".join(message.value() for message in messages), ASKED)
    name = session.get_inputs()[0].name
    label = session.run(None, {name: np.ascontiguousarray(rows["pixels"])})[0]
    answers = np.empty(len(rows), ANSWERED)
    answers["due_ns"], answers["label"] = rows["due_ns"], label.ravel()
    producer.begin_transaction()
    for answer in answers:
        producer.produce(topic, answer.tobytes())


def _commit(consumer: Consumer, producer: Producer) -> None:
    offsets = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
    producer.commit_transaction()


if __name__ == "__main__":
    main()
