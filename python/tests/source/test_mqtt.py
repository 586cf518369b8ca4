"""Every message that a broker was told we have is read, whoever was down meanwhile."""

from __future__ import annotations

import gc
import json
import random
import ssl
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from aiomqtt.exceptions import MqttCodeError, MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from shoal.errors import InvalidRequestError, SourceError
from shoal.source import Broker, Limit, MqttSource, PlacedSource
from shoal.source._received import _mqtt_source
from tests.services import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source import Offset, Refused
    from tests.services.mosquitto import Mosquitto

pytest_plugins = ["tests.services.mosquitto"]

COLUMNS = pa.schema([pa.field("n", pa.int64(), nullable=False), ("text", pa.string())])
MUCH = Limit(1 << 30, 1 << 40)
PYTHON = str(Path(__file__).parents[2])
KILLS = 3


@pytest.fixture
def topic() -> str:
    """A topic of this test alone."""
    return f"test/{uuid.uuid4().hex}"


@contextmanager
def listening(
    directory: Path, mosquitto: Mosquitto, topic: str, **options: Any
) -> Iterator[MqttSource]:
    broker = options.pop("broker", Broker("127.0.0.1", mosquitto.port))
    source = MqttSource(broker, [topic], client_id=f"client-of-{topic}", **options)
    source.open(directory)
    try:
        yield source
    finally:
        source.close()


def messages(*numbers: int) -> list[bytes]:
    return [b'{"n": %d,\n "text": "a"}' % number for number in numbers]


def rows_of(source: MqttSource, count: int, start: Offset | None = None) -> list[dict[str, Any]]:
    """The records behind an offset, once there are so many."""
    first = start or source.initial()
    until(lambda: source.lag_rows(first) >= count, f"{count} messages are stored")
    splits = source.splits(first, source.latest(first, MUCH))
    batches = [batch for split in splits for batch in source.read(split)]
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, source.schema).to_pylist()
    return rows


def test_messages_are_columns_with_their_topic_and_time(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    with listening(tmp_path, mosquitto, f"{topic}/+", columns=COLUMNS) as source:
        assert isinstance(source, PlacedSource)
        assert source.schema.names == ["n", "text", "mqtt_topic", "mqtt_time"]
        began = time.time()
        mosquitto.publish(f"{topic}/a", messages(*range(500)))
        mosquitto.publish(f"{topic}/b", [b'{"n": 500, "other": {}}'])
        found = rows_of(source, 501)
        assert [row["n"] for row in found] == list(range(501))
        assert {row["mqtt_topic"] for row in found[:500]} == {f"{topic}/a"}
        assert (found[500]["mqtt_topic"], found[500]["text"]) == (f"{topic}/b", None)
        assert began - 1 < found[0]["mqtt_time"].timestamp() < time.time() + 1
        assert rows_of(source, 501) == found
        assert source.trouble is None


def test_messages_come_as_they_are_without_columns(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    payloads = [b"", b"\x00\xff\n", b'{"n": 1}', b"=x", "é".encode()]
    with listening(tmp_path, mosquitto, topic) as source:
        mosquitto.publish(topic, payloads)
        found = rows_of(source, 5)
        assert [row["payload"] for row in found] == payloads
        assert {row["topic"] for row in found} == {topic}


def test_a_message_that_does_not_fit_is_refused_alone(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    bad = [b"", b"no JSON", b"[1]", b'{"n": "1"}', b'{"text": "a"}', b'{"n": 1} {"n": 2}', b"\xff"]
    bad.append(b'{"n": 1, "text": "' + b"x" * 200_000 + b'"}')
    good = messages(*range(len(bad) + 1))
    payloads = [each for pair in zip(good, [*bad, good[-1]], strict=True) for each in pair]
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS, limit_bytes=1 << 21) as source:
        mosquitto.publish(topic, payloads)
        start = source.initial()
        until(lambda: source.lag_rows(start) >= len(payloads), "all are stored")
        refused: list[Refused] = []
        (split,) = source.splits(start, source.latest(start, MUCH))
        placed = list(source.read_placed(split, refused.append))
        numbers = [n for _, batch in placed for n in batch["n"].to_pylist()]
        assert numbers == [*range(len(good)), len(bad)]
        assert len(refused) == len(bad)
        assert "no JSON object" in refused[0].message
        assert json.loads(refused[3].record)["payload"] == {"n": "1"}
        with pytest.raises(Exception, match="segment 1, byte"):
            list(source.read(split))


def test_what_comes_while_it_is_down_waits_at_the_broker(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        mosquitto.publish(topic, messages(0))
        rows_of(source, 1)
        end = source.latest(source.initial(), MUCH)
    mosquitto.publish(topic, messages(*range(1, 2000)))
    mosquitto.restart()
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        found = rows_of(source, 1999, end)
        assert [row["n"] for row in found] == list(range(1, 2000))


def test_a_broker_that_is_restarted_is_connected_to_again(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        mosquitto.publish(topic, messages(0))
        rows_of(source, 1)
        mosquitto.stop()
        until(lambda: source.trouble, "the loss is noticed")
        assert source.latest(source.initial(), MUCH) != source.initial()
        mosquitto.start()
        mosquitto.publish(topic, messages(1, 2))
        assert [row["n"] for row in rows_of(source, 3)] == [0, 1, 2]
        until(lambda: source.trouble is None, "the connection is there again")


def test_messages_stay_at_the_broker_where_the_pipeline_does_not_keep_up(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    options = {"columns": COLUMNS, "limit_bytes": 8_000}
    sent = list(range(300))
    with listening(tmp_path, mosquitto, topic, **options) as source:
        mosquitto.publish(topic, messages(*sent))
        until(lambda: "wait to be read" in (source.trouble or ""), "the log is full")
        start, found = source.initial(), list[int]()
        while len(found) < len(sent):
            end = source.latest(start, Limit(50, 1 << 20, wait_seconds=20))
            for split in source.splits(start, end):
                found += [n for batch in source.read(split) for n in batch["n"].to_pylist()]
            source.commit(end)
            start = end
        assert found == sent
    with listening(tmp_path, mosquitto, topic, **options) as source:
        assert source.latest(start, MUCH) == start


def test_a_retained_message_comes_once_not_with_every_connection(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    mosquitto.publish(topic, messages(7), retain=True)
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        assert [row["n"] for row in rows_of(source, 1)] == [7]
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        mosquitto.publish(topic, messages(8))
        assert [row["n"] for row in rows_of(source, 2)] == [7, 8]
    mosquitto.publish(topic, [b""], retain=True)


LISTENER = """
import sys
from pathlib import Path
import pyarrow as pa
from shoal.source import Broker, MqttSource

columns = pa.schema([pa.field("n", pa.int64(), nullable=False), ("text", pa.string())])
topic = sys.argv[3]
broker = Broker("127.0.0.1", int(sys.argv[2]))
source = MqttSource(broker, [topic], client_id=f"client-of-{topic}", columns=columns)
source.open(Path(sys.argv[1]))
print("listening", flush=True)
sys.stdin.read()
"""


def test_a_listener_that_is_killed_loses_nothing(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    draw = random.Random(3)
    sent = 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", LISTENER, str(tmp_path), str(mosquitto.port), topic]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": PYTHON},
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"listening\n"
            for _ in range(draw.randrange(1, 6)):
                mosquitto.publish(topic, messages(*range(sent, sent + 100)))
                sent += 100
            child.kill()
    with listening(tmp_path, mosquitto, topic, columns=COLUMNS) as source:
        mosquitto.publish(topic, messages(sent))
        start = source.initial()
        until(lambda: sent in [row["n"] for row in rows_of(source, 1)], "the last one is stored")
        found = [row["n"] for row in rows_of(source, 1, start)]
    assert set(found) == set(range(sent + 1))
    assert list(dict.fromkeys(found)) == list(range(sent + 1))


def test_who_is_let_in_by_password_and_tls_listens(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    tls = mosquitto.trust(ssl.create_default_context())
    port, user = mosquitto.tls_port, mosquitto.user
    broker = Broker("127.0.0.1", port, user, mosquitto.password, tls)
    assert mosquitto.password not in repr(broker)
    with listening(tmp_path / "1", mosquitto, topic, broker=broker) as source:
        mosquitto.publish(topic, [b"1"])
        until(lambda: source.trouble is None, "connected")
    wrong = Broker("127.0.0.1", port, user, "battery staple", tls)
    with (
        pytest.raises(SourceError, match="cannot be listened to") as caught,
        listening(tmp_path / "2", mosquitto, topic, broker=wrong),
    ):
        pass
    assert "staple" not in str(caught.value)
    nobody = Broker("127.0.0.1", free_port())
    with (
        pytest.raises(SourceError, match="refused"),
        listening(tmp_path / "3", mosquitto, topic, broker=nobody),
    ):
        pass


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # paho leaves it to the end
def test_a_broker_whose_certificate_is_not_known_is_not_spoken_to(
    mosquitto: Mosquitto, topic: str, tmp_path: Path
) -> None:
    tls = ssl.create_default_context()
    broker = Broker("127.0.0.1", mosquitto.tls_port, mosquitto.user, mosquitto.password, tls)
    with suppress(SourceError), listening(tmp_path, mosquitto, topic, broker=broker):
        pytest.fail("it was spoken to")
    gc.collect()


@pytest.mark.parametrize(
    ("reason", "is_final"),
    [
        (MqttConnectError(ReasonCode(PacketTypes.CONNACK, "Not authorized")), True),
        (MqttConnectError(ReasonCode(PacketTypes.CONNACK, "Server busy")), False),
        (MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Session taken over")), True),
        (MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")), False),
        (MqttError("timed out"), False),
    ],
)
def test_what_the_broker_will_say_again_is_final(reason: MqttError, *, is_final: bool) -> None:
    assert _mqtt_source.is_final(_ended_by(reason)) == is_final


def _ended_by(reason: MqttError) -> MqttError:
    """What ends a session: a refusal itself, or the end of the messages with its cause."""
    if isinstance(reason, MqttConnectError):
        return reason
    ended = MqttError("Disconnected during message iteration")
    ended.__cause__ = reason
    return ended


@pytest.mark.parametrize(
    ("topics", "options", "reason"),
    [
        ([], {}, "expected a list of topics"),
        ("a/b", {}, "expected a list of topics"),
        (["a"], {"client_id": ""}, "client_id is empty"),
        (["a"], {"columns": pa.schema({"mqtt_time": pa.int64()})}, "the message's own"),
        (["a"], {"columns": pa.schema({"n": pa.duration("s")})}, "not read from JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(topics: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        MqttSource(Broker("127.0.0.1"), topics, **{"client_id": "c", **options})
