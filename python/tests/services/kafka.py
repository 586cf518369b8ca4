"""A Kafka broker for tests: one process on free ports of this machine, made ready and ended here.

- The jars come from Maven once (`kafka/pom.xml`) and are kept in `target/`; they are there whole or
  not at all.
- Ready means that topics can be asked for and that a transaction was begun: the first one on a cold
  broker takes a second.
- `Broker.restart` keeps the ports and the records.

Source: Apache Kafka, docs/operations/kraft (one node that is both broker and controller).
"""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)

from tests.services import SERVICES, end, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from confluent_kafka import Message

HERE = Path(__file__).parent / "kafka"
LIBRARIES = Path(__file__).parents[3] / "target" / "kafka-4.3.1-libs"
JAVA_OPTIONS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
READY_WITHIN_SECONDS = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/records
auto.create.topics.enable=false
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
"""


def libraries(maven: str) -> Path:
    """The folder of the jars, fetched if they are not there."""
    if not LIBRARIES.is_dir():
        LIBRARIES.parent.mkdir(exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix="kafka-", dir=LIBRARIES.parent))
        command = [maven, "-q", "-B", "-f", f"{HERE}/pom.xml", "dependency:copy-dependencies"]
        where = [f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
        subprocess.run([*command, *where], check=True)
        with suppress(OSError):  # another run was quicker
            fetched.rename(LIBRARIES)
        shutil.rmtree(fetched, ignore_errors=True)
    return LIBRARIES


class Broker:
    """A broker and its records, in a folder of its own.

    Attributes:
        bootstrap: The address that clients are given.
        admin: A client that makes topics.
        pid: The process; none while it is stopped.
    """

    def __init__(self, java: str, jars: Path, directory: Path) -> None:
        """Prepares the folder; nothing runs before `start`."""
        port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self._quiet: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        self.admin = AdminClient(self._quiet)
        self.pid: int | None = None
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._java = [java, *JAVA_OPTIONS, "-cp", f"{jars}/*:{HERE}"]
        text = PROPERTIES.format(port=port, controller=controller, directory=directory)
        self._properties = directory / "broker.properties"
        self._properties.write_text(text, "utf-8")
        self._tool("format", "-t", _cluster_id(), "-c", str(self._properties))

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", self._properties], stdout=log, stderr=log
            )
        self.pid = self._process.pid
        SERVICES.add(self.pid)
        try:
            self._warm()
        except BaseException:
            self.stop()
            raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it; with SIGKILL at once."""
        if self._process is not None:
            end(self._process, number)
            self._process = self.pid = None

    def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it and starts it again, at the same address and with the same records."""
        self.stop(number)
        self.start()

    def topic(self, partitions: int = 1, **settings: str) -> str:
        """Makes a topic of a name of its own; settings have `_` where Kafka has dots."""
        name = f"topic-{uuid.uuid4().hex[:12]}"
        config = {key.replace("_", "."): value for key, value in settings.items()}
        self.admin.create_topics([NewTopic(name, partitions, config=config)])[name].result()
        return name

    def send(
        self, topic: str, values: Iterable[bytes | None], *, partition: int = 0, ends: str = ""
    ) -> None:
        """Sends records; where it `ends` in `commit` or `abort`, in a transaction."""
        if ends:
            with self.transaction(topic, values, partition=partition) as producer:
                if ends == "commit":
                    producer.commit_transaction()
        else:
            _produce(Producer(self._quiet), topic, values, partition)

    @contextmanager
    def transaction(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Iterator[Producer]:
        """Sends records in a transaction that is open, and aborted unless the block commits it."""
        own = {"transactional.id": uuid.uuid4().hex, **(options or {})}
        producer = Producer({**self._quiet, **own})
        producer.init_transactions()
        producer.begin_transaction()
        _produce(producer, topic, values, partition)
        try:
            yield producer
        finally:
            with suppress(KafkaException):  # the broker has ended one that was open for too long
                producer.close()

    def committed(
        self, topic: str, partition: int = 0, *, is_settled: bool = True
    ) -> list[Message]:
        """The records of a partition that a reader sees who knows nothing of Shoal.

        What was committed is seen a little later: where it `is_settled`, no transaction is open,
        and all that was written is waited for.
        """
        place = TopicPartition(topic, partition, 0)
        written, committed = self.ends(topic, partition)
        settings = {**self._quiet, "group.id": "reader", "isolation.level": "read_committed"}
        with closing(Consumer(settings)) as consumer:
            consumer.assign([place])
            seen: list[Message] = []
            while max(consumer.position([place])[0].offset, 0) < (
                written if is_settled else committed
            ):
                seen += consumer.consume(1000, 0.05)
            return seen

    def ends(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Up to where a partition is written, and where the first open transaction begins."""
        found = []
        for level in ("read_uncommitted", "read_committed"):
            settings = {**self._quiet, "group.id": "reader", "isolation.level": level}
            with closing(Consumer(settings)) as consumer:
                place = TopicPartition(topic, partition)
                found.append(consumer.get_watermark_offsets(place, timeout=10)[1])
        return found[0], found[1]

    def _tool(self, *arguments: str) -> None:
        command = [*self._java, "kafka.tools.StorageTool", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _warm(self) -> None:
        """Waits until it answers, and until it has led a transaction."""
        self._wait(lambda: self.admin.list_topics(timeout=1.0))
        producer = Producer({**self._quiet, "transactional.id": "warm"})
        self._wait(lambda: producer.init_transactions(5.0))
        consumer = Consumer({**self._quiet, "group.id": "warm"})
        self._wait(lambda: consumer.committed([TopicPartition("warm", 0)], timeout=5.0))
        consumer.close()

    def _wait(self, answer: Callable[[], object]) -> None:
        ends_at = time.monotonic() + READY_WITHIN_SECONDS
        while True:
            try:
                answer()
            except KafkaException:
                if time.monotonic() > ends_at or (self._process and self._process.poll()):
                    log = (self._directory / "log").read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"the broker did not get ready:\n{log}") from None
            else:
                return


@contextmanager
def running(program: Callable[[str], str], directory: Path) -> Iterator[Broker]:
    """A broker while the block runs; `program` finds what the system may lack."""
    broker = Broker(program("java"), libraries(program("mvn")), directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def _produce(
    producer: Producer, topic: str, values: Iterable[bytes | None], partition: int
) -> None:
    for number, value in enumerate(values):
        producer.produce(topic, value, f"key-{number}", partition)
    producer.flush()


def _cluster_id() -> str:
    """An id that does not begin with a dash, which would make it an option of the tool."""
    return "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
