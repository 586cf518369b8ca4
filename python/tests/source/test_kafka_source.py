"""A Kafka topic as a source, against a real broker: every record once, from where it is told."""

from __future__ import annotations

import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    NewPartitions,
)

from shoal.errors import DtypeError, InvalidRequestError, SourceError
from shoal.source import KafkaSource, Limit, PlacedSource, Refused
from shoal.source._kafka._client import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.kafka import Broker

    Opens = Callable[..., KafkaSource]

LIMIT = Limit(10_000, 64 << 20, 0.1)
NUMBERS = pa.schema({"n": pa.int64()})
DEADLINE_S = 20.0


@pytest.fixture
def opened(kafka: Broker, tmp_path: Path) -> Iterator[Opens]:
    """Opens sources, and closes them in the end."""
    sources = []

    def open_source(topic: str, **options: Any) -> KafkaSource:
        source = KafkaSource(kafka.bootstrap, topic, **options)
        sources.append(source)
        source.open(tmp_path)
        return source

    yield open_source
    for source in sources:
        source.close()


class Leaderless:
    """A consumer whose partition has no leader for a while."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.looked = 0

    def get_watermark_offsets(self, _: TopicPartition, **__: object) -> tuple[int, int]:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return (3, 7)

    def list_topics(self, *_: object, **__: object) -> None:
        self.looked += 1


def test_a_partition_without_a_leader_is_asked_again() -> None:
    waits: Any = Leaderless(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
    assert limits(waits, "topic", 0) == (3, 7)
    assert waits.looked == 2
    refuses: Any = Leaderless(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        limits(refuses, "topic", 0)
    assert refuses.looked == 0


def arrived(source: KafkaSource, start: dict[str, int], rows: int) -> dict[str, int]:
    """The offset at which so many more offsets have come."""
    end, ends_at = start, time.monotonic() + DEADLINE_S
    while sum(end.values()) - sum(start.values()) < rows and time.monotonic() < ends_at:
        end = source.latest(end, LIMIT)
    return end


def rows(source: KafkaSource, start: dict[str, int], end: dict[str, int]) -> list[dict[str, Any]]:
    splits = source.splits(start, end)
    return [row for split in splits for batch in source.read(split) for row in batch.to_pylist()]


def numbers(*found: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in found]


def test_raw_records_are_what_was_sent(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, [b"\x00\xff", None])
    source = opened(topic)
    assert isinstance(source, PlacedSource)
    end = arrived(source, source.initial(), 2)
    first, second = rows(source, source.initial(), end)
    assert (first["topic"], first["partition"], first["offset"]) == (topic, 0, 0)
    assert (first["key"], first["value"]) == (b"key-0", b"\x00\xff")
    assert abs(first["timestamp"].timestamp() - time.time()) < 60
    assert (second["offset"], second["value"]) == (1, None)


def test_members_of_json_objects_become_columns(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    values = [
        b'{"n": 1, "text": "a\\nb", "at": "2026-01-01T01:00:00+01:00", "other": [1, {}]}',
        b'\n{\n"n": 2,\n"list": [1.5,\n2]\n}\n',
        b"{}",
    ]
    kafka.send(topic, values)
    at = pa.timestamp("ms", "UTC")
    columns = {"n": pa.int64(), "text": pa.string(), "at": at, "list": pa.list_(pa.float64())}
    source = opened(topic, columns=pa.schema(columns))
    found = rows(source, source.initial(), arrived(source, source.initial(), 3))
    assert [row["n"] for row in found] == [1, 2, None]
    assert found[0]["text"] == "a\nb"
    assert found[0]["at"].isoformat() == "2026-01-01T00:00:00+00:00"
    assert found[1]["list"] == [1.5, 2.0]
    assert [row["kafka_offset"] for row in found] == [0, 1, 2]
    assert [row["kafka_key"] for row in found] == [b"key-0", b"key-1", b"key-2"]
    assert source.schema.names == [*columns, *source.schema.names[4:]]


def test_bad_values_are_refused_by_offset_and_their_neighbours_arrive(
    kafka: Broker, opened: Opens
) -> None:
    topic = kafka.topic()
    bad = {
        1: b"null",
        2: b"",
        4: b'{"n": 4}{"n": 4}',
        5: b'{"n": 5}\nnull\n{"n": 5}',
        6: b'{"n": "five"}',
        8: b'{"n": 1, "text": "\xff"}',
        9: b'{"n": ',
        10: b"9}",
        11: b"[" * 100_000,
        12: None,
    }
    kafka.send(topic, [bad.get(place, b'{"n": %d}' % place) for place in range(14)])
    source = opened(topic, columns=pa.schema({"n": pa.int64(), "text": pa.string()}))
    end = arrived(source, source.initial(), 14)
    for _ in range(2):  # as it arrived, and read again
        refused: list[Refused] = []
        (split,) = source.splits(source.initial(), end)
        ((place, batch),) = source.read_placed(split, refused.append)
        assert batch["n"].to_pylist() == [0, 3, 7, 13]
        assert [place.of(row) for row in range(4)] == [f"offset {n}" for n in (0, 3, 7, 13)]
        assert {one.place for one in refused} == {f"offset {place}" for place in bad}
        assert {one.file for one in refused} == {f"{topic}/0"}
        reasons = {one.place: (one.code, one.message) for one in refused}
        assert reasons["offset 12"] == (
            "null_not_allowed",
            "the record has no value (a tombstone)",
        )
    with pytest.raises(DtypeError, match=f"{topic}/0, offset 1: the value is no JSON object"):
        list(source.read(split))


def test_positions_pass_what_transactions_leave_behind(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(0, 1), ends="commit")
    kafka.send(topic, numbers(8, 9), ends="abort")
    source = opened(topic, columns=NUMBERS)
    start = source.initial()
    end = arrived(source, start, 6)
    assert end == {"0": 6}  # two records and a mark, two records and a mark
    assert [row["n"] for row in rows(source, start, end)] == [0, 1]
    assert [row["n"] for row in rows(source, start, end)] == [0, 1]  # from the broker, again
    kafka.send(topic, numbers(7), ends="abort")
    later = arrived(source, end, 2)
    assert later == {"0": 8}
    assert rows(source, end, later) == []
    assert rows(source, end, later) == []
    assert source.lag_rows(end) == 2


def test_how_much_waits_is_told_while_another_thread_waits_for_records(
    kafka: Broker, opened: Opens
) -> None:
    """Each commit of a pipeline asks, while the next epoch gathers: the client lets one call in."""
    topic = kafka.topic()
    kafka.send(topic, numbers(1, 2))
    source = opened(topic)
    end = arrived(source, source.initial(), 2)
    waiting = Thread(target=source.latest, args=(end, Limit(10_000, 64 << 20, 3.0)))
    waiting.start()
    began = time.monotonic()
    while time.monotonic() < began + 1:
        asked = time.monotonic()
        assert source.lag_rows({"0": 1}) == 1
        assert time.monotonic() < asked + 0.5
    assert waiting.is_alive()
    waiting.join()


def test_what_is_not_committed_is_waited_for(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(0))
    with kafka.transaction(topic, numbers(1)) as producer:
        kafka.send(topic, numbers(2))
        source = opened(topic, columns=NUMBERS)
        end = arrived(source, source.initial(), 1)
        assert end == {"0": 1}
        assert source.latest(end, LIMIT) is end
        producer.commit_transaction()
    assert [row["n"] for row in rows(source, end, arrived(source, end, 3))] == [1, 2]


def test_a_range_gives_the_same_records_whenever_it_is_read(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic(3)
    for partition in range(3):
        kafka.send(topic, numbers(*range(500)), partition=partition, ends="commit")
    source = opened(topic, columns=NUMBERS)
    start = source.initial()
    middle = source.latest(start, Limit(700, 64 << 20, 5.0))
    assert sum(middle.values()) in {700, 701, 702}  # marks count
    end = arrived(source, middle, 1503 - sum(middle.values()))
    first = [rows(source, start, middle), rows(source, middle, end)]
    assert [rows(source, start, middle), rows(source, middle, end)] == first
    other = opened(topic, columns=NUMBERS)
    assert [rows(other, start, middle), rows(other, middle, end)] == first
    assert sorted(row["n"] for part in first for row in part) == sorted([*range(500)] * 3)
    # An epoch is planned again from where one was planned before.
    again = source.latest(start, Limit(700, 64 << 20, 5.0))
    assert len(rows(source, start, again)) == 700


def test_each_partition_with_new_records_is_a_split(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic(11)
    for partition in (0, 10, 2):
        kafka.send(topic, [b"x"], partition=partition)
    source = opened(topic)
    end = arrived(source, source.initial(), 3)
    splits = source.splits(source.initial(), end)
    assert [split["partition"] for split in splits] == [f"{topic}/{n}" for n in (0, 2, 10)]
    assert splits[0] == {
        "partition": f"{topic}/0",
        "topic": topic,
        "number": 0,
        "start": 0,
        "end": 1,
    }
    assert source.splits(end, end) == []


def test_an_epoch_ends_at_its_limits(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, [b"x" * 1000] * 1000)
    source = opened(topic)
    end = source.latest(source.initial(), Limit(100, 64 << 20, 5.0))
    assert end == {"0": 100}
    later = source.latest(end, Limit(10_000, 200_000, 5.0))
    assert 300 <= later["0"] <= 310
    assert len(rows(source, end, later)) == later["0"] - 100


def test_the_end_of_a_topic_is_settled_once(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, numbers(0, 1))
    start = opened(topic, start="latest").initial()
    assert start == {"0": 2, "1": 0}
    kafka.send(topic, numbers(2))
    again = opened(topic, start="latest", columns=NUMBERS)
    assert again.initial() == start
    assert [row["n"] for row in rows(again, start, arrived(again, start, 1))] == [2]


def test_deleted_records_are_an_error_that_says_what_is_left(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(*range(10)))
    source = opened(topic)
    end = arrived(source, {"0": 0}, 10)
    list(source.read(source.splits({"0": 0}, end)[0]))
    for answer in kafka.admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        answer.result()
    missing = f"{topic}/0 from 2 on are not there: the earliest is 6, the next will be 10"
    with pytest.raises(SourceError, match=missing):
        arrived(source, {"0": 2}, 1)
    with pytest.raises(SourceError, match=missing):
        rows(source, {"0": 2}, end)
    assert len(rows(source, {"0": 6}, end)) == 4
    assert arrived(source, {"0": 6}, 4) == end  # it is of use after the error
    with pytest.raises(SourceError, match="from 11 on are not there"):
        arrived(source, {"0": 11}, 1)


def test_an_added_partition_is_read_from_its_first_record(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(0))
    source = opened(topic, columns=NUMBERS)
    end = arrived(source, source.initial(), 1)
    kafka.admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    kafka.send(topic, numbers(1), partition=1)
    kafka.send(topic, numbers(2), partition=0)
    source._clock = lambda: time.monotonic() + 31.0
    later = arrived(source, end, 2)
    assert later == {"0": 2, "1": 1}
    assert [row["n"] for row in rows(source, end, later)] == [2, 1]


def test_what_was_committed_is_not_kept(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(0, 1))
    source = opened(topic, columns=NUMBERS)
    end = arrived(source, source.initial(), 2)
    assert source._arrived.bytes() > 0
    source.commit(end)
    assert source._arrived.bytes() == 0
    assert len(rows(source, source.initial(), end)) == 2


def test_a_topic_that_is_not_there_is_said_at_once(opened: Opens) -> None:
    with pytest.raises(SourceError, match=r"topic no-such-topic cannot be read: .*Unknown topic"):
        opened("no-such-topic")


def test_a_cluster_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.source._kafka._client.ANSWER_SECONDS", 0.2)
    source = KafkaSource("127.0.0.1:1", "topic")
    with pytest.raises(SourceError, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        source.open(tmp_path)
    source.close()


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(InvalidRequestError, match=r"option isolation\.level of Kafka"):
        KafkaSource("k:1", "t", options={"isolation.level": "read_uncommitted"})
    with pytest.raises(InvalidRequestError, match=r"column kafka_key .* twice"):
        KafkaSource("k:1", "t", columns=pa.schema({"kafka_key": pa.string()}))
    with pytest.raises(InvalidRequestError, match="start is 'now'"):
        KafkaSource("k:1", "t", start="now")  # type: ignore[arg-type]  # the mistake


def test_an_unknown_option_is_said_and_no_password(tmp_path: Path) -> None:
    options = {"sasl.password": "secret", "no.such.option": "1"}
    source = KafkaSource("k:1", "t", options=options)
    with pytest.raises(SourceError, match=r'No such configuration property: "no\.such\.option"'):
        source.open(tmp_path)
    assert "secret" not in repr(source)


WITHOUT = """
import sys
sys.modules["confluent_kafka"] = None
from shoal.errors import RequirementError
from shoal import source
try:
    source.KafkaSource
except RequirementError as error:
    print(error.hint)
"""


def test_a_missing_package_is_said_with_its_remedy() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "pip install 'shoal[kafka]'\n"


def test_a_source_goes_on_when_its_broker_comes_back(kafka: Broker, opened: Opens) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbers(0))
    source = opened(topic, columns=NUMBERS)
    end = arrived(source, source.initial(), 1)
    kafka.stop()
    assert source.latest(end, LIMIT) is end
    kafka.start()
    kafka.send(topic, numbers(1))
    later = arrived(source, end, 1)
    assert [row["n"] for row in rows(source, end, later)] == [1]
    assert [row["n"] for row in rows(source, source.initial(), later)] == [0, 1]
