"""A Kafka topic as a sink, against a real broker: whole epochs, each once, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal.errors import ConflictError, DtypeError, MissingColumnError, SinkError
from shoal.source import KafkaSink, SinkState
from tests.conftest import PROVE_SCALE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import Producer

    from tests.services.kafka import Broker

    Opens = Callable[..., KafkaSink]

SCHEMA = pa.schema({"n": pa.int64()})
START = {"0": 0}


@pytest.fixture
def pipeline() -> str:
    """The id of a pipeline that has not run."""
    return uuid.uuid4().hex


@pytest.fixture
def opened(kafka: Broker, pipeline: str) -> Iterator[Opens]:
    """Opens sinks of one pipeline, and closes them in the end."""
    sinks = []

    def open_sink(topic: str, schema: pa.Schema = SCHEMA, **options: Any) -> KafkaSink:
        sink = KafkaSink(kafka.bootstrap, topic, **options)
        sinks.append(sink)
        sink.open(pipeline, schema)
        return sink

    yield open_sink
    for sink in sinks:
        sink.close()


def batches(*numbers: int) -> Iterator[pa.RecordBatch]:
    return iter([pa.record_batch({"n": [number]}, SCHEMA) for number in numbers])


def commit(sink: KafkaSink, epoch: int, *numbers: int) -> None:
    """An epoch that starts where the one before ended."""
    token = sink.write(epoch, batches(*numbers))
    sink.commit(epoch, {"0": epoch - 1}, {"0": epoch}, [token])


def seen(kafka: Broker, topic: str, *, is_settled: bool = True) -> list[int]:
    found = kafka.committed(topic, is_settled=is_settled)
    return [json.loads(message.value() or b"")["n"] for message in found]


class Between:
    """A producer that does something before it commits, the first time."""

    def __init__(self, producer: Producer, action: Callable[[], object]) -> None:
        self._producer = producer
        self._actions = [action]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, wait_s: float) -> None:
        self._producer.flush(wait_s)
        if self._actions:
            self._actions.pop()()
        self._producer.commit_transaction(wait_s)


def before_commit(sink: KafkaSink, action: Callable[[], object]) -> None:
    transactions: Any = sink._transactions
    transactions._producer = Between(transactions._producer, action)


def test_an_epoch_is_seen_after_its_commit_and_whole(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    sink = opened(topic)
    tokens = [sink.write(1, batches(1, 2)), sink.write(1, batches(3))]
    json.dumps(tokens)
    before_commit(sink, lambda: seen_before.extend(seen(kafka, topic, is_settled=False)))
    seen_before: list[int] = []
    sink.commit(1, START, {"0": 1}, tokens)
    assert seen_before == []
    assert seen(kafka, topic) == [1, 2, 3]
    assert opened(topic)._last == SinkState(1, {"0": 1})


def test_an_epoch_is_stored_once_however_often_it_is_committed(
    kafka: Broker, opened: Opens
) -> None:
    topic = kafka.topic()
    sink = opened(topic)
    commit(sink, 1, 1)
    commit(sink, 1, 1)
    sink.close()
    sink = opened(topic)
    commit(sink, 1, 1)
    sink.abort(1, [sink.write(1, batches(1))])
    commit(sink, 2, 2)
    assert seen(kafka, topic) == [1, 2]


def test_an_epoch_that_does_not_follow_is_refused(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    sink = opened(topic)
    commit(sink, 1, 1)
    for epoch, start in ((3, {"0": 1}), (2, {"0": 0}), (1, {"0": 5})):
        token = sink.write(epoch, batches(9))
        with pytest.raises(ConflictError, match="cannot be gone on with: it ends with epoch 1"):
            sink.commit(epoch, start, {"0": 9}, [token])
    assert seen(kafka, topic) == [1]


def test_a_second_run_shuts_the_first_one_out(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    first = opened(topic)
    commit(first, 1, 1)
    second = opened(topic)
    for message in ("another run of this pipeline has taken over", "another run writes to topic"):
        with pytest.raises(ConflictError, match=message):
            commit(first, 2, -2)
    commit(second, 2, 2)
    assert seen(kafka, topic) == [1, 2]


def test_topics_of_one_pipeline_do_not_shut_each_other_out(kafka: Broker, opened: Opens) -> None:
    answers, failed = kafka.topic(), kafka.topic()
    sinks = opened(answers), opened(failed)
    commit(sinks[0], 1, 1)
    commit(sinks[1], 1, 2)
    commit(sinks[0], 2, 3)
    assert (seen(kafka, answers), seen(kafka, failed)) == ([1, 3], [2])


def test_a_row_becomes_a_json_object(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "n": (pa.float32(), [1.5, None, float("nan")]),
        "text": (pa.string(), ["é", None, ""]),
        "list": (pa.list_(pa.int8()), [[1], None, []]),
        "at": (pa.timestamp("ns"), [10**9 + 1, None, 0]),
        "zoned": (pa.timestamp("ms", "Europe/Berlin"), [3_600_000, 1, 2]),
    }
    schema = pa.schema({name: kind for name, (kind, _) in columns.items()})
    arrays = [pa.array(values, kind) for kind, values in columns.values()]
    sink = opened(topic, schema, key="text", timestamp="zoned")
    batch = pa.record_batch(arrays, schema=schema)
    sink.commit(1, START, {"0": 1}, [sink.write(1, iter([batch]))])
    first, second, third = kafka.committed(topic)
    assert json.loads(first.value() or b"") == {
        "n": 1.5,
        "text": "é",
        "list": [1],
        "at": "1970-01-01T00:00:01.000000001Z",
        "zoned": "1970-01-01T01:00:00.000Z",
    }
    assert json.loads(second.value() or b"")["at"] is None
    assert json.loads(third.value() or b"")["n"] is None
    assert [message.key() for message in (first, second, third)] == ["é".encode(), None, b""]
    assert [message.timestamp()[1] for message in (first, second, third)] == [3_600_000, 1, 2]


def test_a_column_of_values_is_written_as_it_is(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    schema = pa.schema({"value": pa.binary(), "key": pa.binary(), "offset": pa.int64()})
    batch = pa.record_batch([[b"\xff", None], [b"k", None], [7, 8]], schema=schema)
    sink = opened(topic, schema, key="key")
    sink.commit(1, START, {"0": 1}, [sink.write(1, iter([batch]))])
    found = kafka.committed(topic)
    assert [(message.key(), message.value()) for message in found] == [
        (b"k", b"\xff"),
        (None, None),
    ]
    assert abs(found[0].timestamp()[1] / 1000 - datetime.now(UTC).timestamp()) < 60


def test_records_of_a_key_stay_in_one_partition_and_in_order(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic(4)
    schema = pa.schema({"n": pa.int64(), "name": pa.string()})
    rows = [{"n": n, "name": f"name-{n % 10}"} for n in range(1000)]
    sink = opened(topic, schema, key="name")
    tokens = [sink.write(1, iter([pa.RecordBatch.from_pylist(rows, schema)]))]
    sink.commit(1, START, {"0": 1}, tokens)
    places: dict[bytes, set[int]] = {}
    for partition in range(4):
        found = kafka.committed(topic, partition)
        for message in found:
            places.setdefault(message.key() or b"", set()).add(partition)
        for name in {message.key() for message in found}:
            own = [json.loads(m.value() or b"")["n"] for m in found if m.key() == name]
            assert own == sorted(own)
            assert len(own) == 100
    assert len(places) == 10
    assert all(len(partitions) == 1 for partitions in places.values())


@pytest.mark.parametrize(
    ("schema", "named", "error"),
    [
        ({"picture": pa.binary()}, {}, "column picture has bytes"),
        ({"deep": pa.list_(pa.struct({"x": pa.large_binary()}))}, {}, "column deep has bytes"),
        ({"times": pa.list_(pa.timestamp("ns"))}, {}, "column times has times inside"),
        ({"n": pa.int64()}, {"key": "n"}, "column n has type int64, but a key"),
        ({"n": pa.int64()}, {"timestamp": "n"}, "column n is no timestamp"),
    ],
)
def test_columns_that_cannot_be_written_are_refused_at_the_start(
    schema: dict[str, pa.DataType], named: dict[str, str], error: str
) -> None:
    with pytest.raises(DtypeError, match=error):
        KafkaSink("127.0.0.1:1", "topic", **named).open("p", pa.schema(schema))  # type: ignore[arg-type]  # only texts


def test_a_column_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(MissingColumnError, match="no column id"):
        KafkaSink("127.0.0.1:1", "topic", key="id").open("p", SCHEMA)


def test_a_topic_must_be_there(opened: Opens) -> None:
    with pytest.raises(SinkError, match="no topic no-such-topic"):
        opened("no-such-topic")


def test_a_topic_that_would_forget_epochs_is_refused(kafka: Broker, pipeline: str) -> None:
    sink = KafkaSink(kafka.bootstrap, kafka.topic())
    sink.epochs_topic = kafka.topic()
    with pytest.raises(SinkError, match=r"cleanup\.policy 'delete', and would forget"):
        sink.open(pipeline, SCHEMA)
    sink.epochs_topic = kafka.topic(2, cleanup_policy="compact")
    with pytest.raises(SinkError, match="must have one partition"):
        sink.open(pipeline, SCHEMA)


def test_a_topic_of_epochs_that_was_just_made_is_waited_for(kafka: Broker, pipeline: str) -> None:
    topic = kafka.topic()
    for number in range(5 * PROVE_SCALE):
        sink = KafkaSink(kafka.bootstrap, topic)
        sink.epochs_topic = f"{topic}-epochs-{number}"
        assert sink.open(pipeline, SCHEMA) is None
        sink.close()


def test_a_record_that_is_too_large_is_said_and_harms_no_other_epoch(
    kafka: Broker, opened: Opens
) -> None:
    topic = kafka.topic(max_message_bytes="1000")
    schema = pa.schema({"n": pa.int64(), "text": pa.string()})
    sink = opened(topic, schema)
    for size in (2_000, 2_000_000):  # refused by the broker, and by the client
        batch = pa.record_batch([[1, 2], ["x", "x" * size]], schema=schema)
        with pytest.raises(SinkError, match="Message size too large"):
            sink.commit(1, START, {"0": 1}, [sink.write(1, iter([batch]))])
    batch = pa.record_batch([[3], ["x"]], schema=schema)
    sink.commit(1, START, {"0": 1}, [sink.write(1, iter([batch]))])
    assert seen(kafka, topic) == [3]


def test_open_transactions_of_others_hide_no_epoch(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    options = {"transaction.timeout.ms": "1500"}
    with kafka.transaction("shoal-epochs", [b"{}"], options=options):
        commit(opened(topic), 1, 1)
        # It was killed: the broker ends its transaction after a while.
        assert opened(topic)._last == SinkState(1, {"0": 1})


CHILD = """
import signal, sys
import pyarrow as pa
from shoal.source import KafkaSink
from tests.source.test_kafka_sink import SCHEMA, before_commit, batches

servers, topic, pipeline, epoch, moment = sys.argv[1:]
epoch = int(epoch)

def reached():
    if moment != "after":
        print(moment, flush=True)
    if moment == "before":
        signal.pause()

sink = KafkaSink(servers, topic)
sink.open(pipeline, SCHEMA)
before_commit(sink, reached)
token = sink.write(epoch, batches(*range(epoch * 100, epoch * 100 + 100)))
sink.commit(epoch, {"0": epoch - 1}, {"0": epoch}, [token])
print("after", flush=True)
signal.pause()
"""


def killed(kafka: Broker, topic: str, pipeline: str, epoch: int, moment: str) -> None:
    """Runs one epoch in another process, which is killed at a moment of its commit."""
    command = [sys.executable, "-c", CHILD, kafka.bootstrap, topic, pipeline, str(epoch), moment]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.strip() == moment:
                    break
        finally:
            child.send_signal(signal.SIGKILL)


def test_a_run_killed_anywhere_loses_nothing_and_repeats_nothing(
    kafka: Broker, opened: Opens, pipeline: str
) -> None:
    topic = kafka.topic()
    moments = ["before", "during", "after", *["during"] * (3 * PROVE_SCALE - 2)]
    for epoch, moment in enumerate(moments, start=1):
        killed(kafka, topic, pipeline, epoch, moment)
        sink = opened(topic)
        last = 0 if sink._last is None else sink._last.epoch
        possible = {"before": {epoch - 1}, "after": {epoch}, "during": {epoch - 1, epoch}}
        assert last in possible[moment]
        commit(sink, epoch, *range(epoch * 100, epoch * 100 + 100))
        sink.close()
    assert seen(kafka, topic) == list(range(100, 100 * len(moments) + 100))


def test_a_broker_that_starts_anew_loses_nothing_and_repeats_nothing(
    kafka: Broker, opened: Opens
) -> None:
    topic = kafka.topic()
    sink = opened(topic)
    commit(sink, 1, 1)
    kafka.restart()
    commit(sink, 2, 2)
    before_commit(sink, lambda: kafka.restart(signal.SIGKILL))
    commit(sink, 3, 3)
    commit(sink, 4, 4)
    assert seen(kafka, topic) == [1, 2, 3, 4]
    assert opened(topic)._last == SinkState(4, {"0": 4})


def test_a_commit_of_unknown_end_is_settled_by_the_next(
    kafka: Broker, opened: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = kafka.topic()
    sink = opened(topic)
    commit(sink, 1, 1)
    before_commit(sink, kafka.stop)
    for name in ("TRIES_SECONDS", "CALL_SECONDS"):
        monkeypatch.setattr(f"shoal.source._kafka._transactions.{name}", 0.5)
    with pytest.raises(SinkError, match="does not say whether"):
        commit(sink, 2, 2)
    monkeypatch.undo()
    kafka.start()
    commit(sink, 2, 2)
    commit(sink, 3, 3)
    assert seen(kafka, topic) == [1, 2, 3]
