"""A pipeline that reads or writes servers and is killed anywhere goes on where it was.

Kafka is read as others read it who see only what was committed; PostgreSQL by a table without keys,
in which a record that comes twice is there twice.
"""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PROVE_SCALE
from tests.pipeline.crashing import Run
from tests.pipeline.killing import Killer, Way, places
from tests.pipeline.streams import sent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.kafka import Broker
    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.postgres"]

EPOCH_BYTES = 8_000
TOPIC_ROWS = 800
# Threads of librdkafka that speak to a broker for a sink; a coordinator is not told by its number.
THREADS = {"coordinator": "rdk:broker-1", "leader": "rdk:broker1"}
FEW = 2
pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def to_postgres(
    files: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Way]:
    """From files to a table, by kind."""

    def way(kind: str) -> Way:
        def begin(directory: Path) -> Run:
            (directory / "in").symlink_to(files)
            table = f"t {uuid.uuid4().hex}"
            return Run(kind, EPOCH_BYTES, conninfo=postgres.conninfo, table=table)

        def read(_directory: Path, run: Run) -> list[object]:
            return list(postgres.query(f'select * from "{run.table}"'))

        return Way(begin, read).run_whole(tmp_path_factory.mktemp("whole") / kind)

    return {kind: way(kind) for kind in ("records", "windows")}


def read_topic(kafka: Broker, _directory: Path, run: Run) -> list[object]:
    return [json.loads(message.value() or b"") for message in kafka.committed(run.given)]


class TopicWay(Way):
    """To a topic."""

    def __init__(self, kafka: Broker, begin: Callable[[Path], Run]) -> None:
        super().__init__(begin, partial(read_topic, kafka))
        self._kafka = kafka

    def is_open(self, directory: Path) -> bool:
        """Whether a transaction is open."""
        written, committed = self._kafka.ends(Run.read(directory).given)
        return committed < written


@pytest.fixture(scope="module")
def to_kafka(
    files: Path, kafka: Broker, adder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TopicWay]:
    """From files to a topic; and from a topic through windows and a model to another topic."""
    taken = sent(kafka, TOPIC_ROWS, partitions=2)

    def from_files(directory: Path) -> Run:
        (directory / "in").symlink_to(files)
        return Run("records", EPOCH_BYTES, servers=kafka.bootstrap, given=kafka.topic())

    def from_kafka(_directory: Path) -> Run:
        return Run(
            "windows",
            EPOCH_BYTES,
            TOPIC_ROWS,
            servers=kafka.bootstrap,
            taken=taken,
            given=kafka.topic(),
            package=str(adder),
        )

    begins = {"files": from_files, "kafka": from_kafka}
    whole = tmp_path_factory.mktemp("whole")
    ways = {name: TopicWay(kafka, begin) for name, begin in begins.items()}
    for name, way in ways.items():
        way.run_whole(whole / name)
    return ways


@pytest.mark.parametrize("calls", ["send", "receive"])
@pytest.mark.parametrize("kind", ["records", "windows"])
def test_a_pipeline_to_postgres_killed_at_a_system_call_goes_on_where_it_was(
    kind: str, calls: str, to_postgres: dict[str, Way], killer: Killer
) -> None:
    assert killer.at_calls(to_postgres[kind], calls, places(FEW, 30)) >= FEW


@pytest.mark.parametrize("calls", ["send", "write", "flush"])
def test_a_pipeline_from_kafka_to_kafka_killed_at_a_system_call_goes_on_where_it_was(
    calls: str, to_kafka: dict[str, TopicWay], killer: Killer
) -> None:
    assert killer.at_calls(to_kafka["kafka"], calls, places(FEW, 8)) >= FEW


@pytest.mark.parametrize("calls", ["send", "receive"])
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.parametrize("name", ["files", "kafka"])
def test_a_pipeline_killed_within_a_transaction_of_kafka_goes_on_where_it_was(
    name: str, thread: str, calls: str, to_kafka: dict[str, TopicWay], killer: Killer
) -> None:
    """The coordinator is told of partitions and commits, the leader is sent the records."""
    way, are_open = to_kafka[name], []
    kills = killer.in_threads(
        way,
        THREADS[thread],
        calls,
        places(1, 6),
        look=lambda directory: are_open.append(way.is_open(directory)),
    )
    assert kills
    assert any(are_open) or PROVE_SCALE == 1
    killer.record(f"open transactions left: {name}, {thread}, {calls}", sum(are_open))


@pytest.mark.parametrize("kind", ["records", "windows"])
def test_a_pipeline_to_postgres_killed_at_random_moments_goes_on_where_it_was(
    kind: str, to_postgres: dict[str, Way], killer: Killer
) -> None:
    killer.at_random(to_postgres[kind], 0.5)


@pytest.mark.parametrize("name", ["files", "kafka"])
def test_a_pipeline_to_kafka_killed_at_random_moments_goes_on_where_it_was(
    name: str, to_kafka: dict[str, TopicWay], killer: Killer
) -> None:
    killer.at_random(to_kafka[name], 1.0)
