"""Messages of an MQTT broker: each is stored, durably, before the broker is told that it came.

- The session at the broker lasts (MQTT 5, no clean start, no expiry): what is published with QoS 1
  while nothing listens, the broker keeps, as long as it is set up to.
- All that waits is stored with one fsync, and acknowledged after it. A message whose
  acknowledgement was lost comes again: at least once. Of QoS 0 at most once, as its sender chose.
- Where the pipeline does not keep up and `limit_bytes` wait, messages stay at the broker.
- A connection that is lost is made anew, for as long as it takes. What the broker refuses for good
  (a password, a topic) ends the source, and so does another one with the same `client_id`, where
  the broker says that this is why.
- With columns a message is one JSON object, beside it `mqtt_topic` and `mqtt_time`, when it came. A
  message that is none, or does not fit, is refused when it is read. Without columns all come as
  they are: `topic`, `payload`, `time`. Larger ones than a quarter of a segment are refused.
- The broker keeps what was subscribed once for this `client_id`: topics that are left out later go
  on coming. Give another `client_id` then.

Source: MQTT Version 5.0 (OASIS), sections 3.1.2.11 (Session Expiry Interval, Receive Maximum),
3.8.3.1 (Retain Handling), 4.4 (Message delivery retry).
"""

from __future__ import annotations

import asyncio
import base64
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from shoal.errors import BusyError, InvalidRequestError, RequirementError, SourceError
from shoal.source._backoff import Backoff
from shoal.source._received._segments import LIMIT_BYTES, Group, records_of
from shoal.source._received._stored import StoredSource, check_columns, fitting

try:
    import aiomqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ImportError as error:
    message = f"MqttSource needs {error.name}, which is not installed"
    raise RequirementError(message, hint="pip install 'shoal[mqtt]'") from error

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from shoal.source._received._segments import Segments

PORT = 1883
START_SECONDS = 30.0
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.1, 30.0
# So many messages may be under way without an acknowledgement; so many of QoS 0 may wait here.
UNDER_WAY = 1000
QUEUED = 10_000
FOR_EVER = 0xFFFFFFFF
# From here on a reason is an error; these may pass: the broker is busy or away.
REFUSED = 0x80
PASSING = {0x88, 0x89, 0x97, 0x9F}
TAKEN_OVER = 0x8E

TIME = pa.timestamp("us", "UTC")
RAW = pa.schema({"topic": pa.string(), "payload": pa.binary(), "time": TIME})
STORED_RAW = pa.schema({"topic": pa.string(), "bytes": pa.string(), "time": TIME})


@dataclass(frozen=True)
class Broker:
    """Where an MQTT broker is, and how to be let in.

    Attributes:
        host: Its name or address.
        port: 1883, or 8883 where TLS is usual.
        username: None where everyone may listen.
        password: Shown nowhere.
        tls: Speaks TLS, such as `ssl.create_default_context()`; None for plain TCP.
    """

    host: str
    port: int = PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


class MqttSource(StoredSource):
    """Listens to topics of a broker."""

    def __init__(
        self,
        broker: Broker,
        topics: Sequence[str],
        *,
        client_id: str,
        columns: pa.Schema | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Takes what to listen to; nothing is asked of the broker before `open`.

        Args:
            broker: Where it is.
            topics: Topics, with the wildcards of MQTT (`sensors/+/temperature`, `alarms/#`).
            client_id: Names the session at the broker: one source, one name, for good.
            columns: Those of the JSON object that a message is; None for messages as they are.
            limit_bytes: How much may be stored and not yet committed.

        Raises:
            InvalidRequestError: one of them makes no sense.
        """
        if not topics or isinstance(topics, str) or not all(topics):
            raise InvalidRequestError(f"topics is {topics!r}, expected a list of topics")
        if not client_id:
            raise InvalidRequestError("client_id is empty, expected a name for the session")
        super().__init__(STORED_RAW if columns is None else _stored(columns), limit_bytes)
        self._schema = RAW if columns is None else _with_message(columns)
        self._is_raw = columns is None
        self._listener = _Listener(broker, tuple(topics), client_id, is_raw=columns is None)

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        return self._schema

    @property
    def trouble(self) -> str | None:
        """Why nothing is received at the moment; None while it is."""
        return self._listener.trouble

    def _begin(self, log: Segments) -> None:
        self._listener.start(log)

    def _end(self) -> None:
        self._listener.stop()

    def _lost(self) -> BaseException | None:
        return self._listener.failure

    def _decode(self, lines: bytes) -> pa.RecordBatch:
        found = fitting(records_of(lines), self._stored)
        arrays = _raw(found) if self._is_raw else _of_payload(found)
        for column, array in zip(self._schema, arrays, strict=True):
            if array.null_count and not column.nullable:
                raise pa.ArrowInvalid(f"a value of column {column.name!r} is missing")
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class _Client(aiomqtt.Client):
    """Acknowledges by hand, which the library beneath can and this one does not offer."""

    def __init__(self, broker: Broker, client_id: str) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # of paho
        properties.SessionExpiryInterval = FOR_EVER
        properties.ReceiveMaximum = UNDER_WAY
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            tls_context=broker.tls,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            max_queued_incoming_messages=QUEUED,
            properties=properties,
        )
        self._client.manual_ack_set(on=True)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tells the broker that a message is here for good."""
        self._client.ack(message.mid, message.qos)


class _Listener:
    """Receives in a thread of its own, and stores."""

    def __init__(
        self, broker: Broker, topics: tuple[str, ...], client_id: str, *, is_raw: bool
    ) -> None:
        self._broker, self._topics, self._client_id = broker, topics, client_id
        self._is_raw = is_raw
        self._started: Future[None] = Future()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self.trouble: str | None = "not connected yet"
        self.failure: BaseException | None = None

    def start(self, log: Segments) -> None:
        """Connects.

        Raises:
            SourceError: the broker cannot be reached, or refuses.
        """
        self._thread = Thread(target=self._listen, args=(log,), name="shoal-mqtt")
        self._thread.start()
        place = f"the broker at {self._broker.host}:{self._broker.port}"
        try:
            self._started.result(START_SECONDS)
        except NotInTime:
            self.stop()
            raise SourceError(f"{place} did not answer in {START_SECONDS:g} seconds") from None
        except Exception as error:
            self.stop()
            raise SourceError(f"{place} cannot be listened to: {error}") from error

    def stop(self) -> None:
        """Disconnects; the session stays."""
        if self._thread is None:
            return
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _listen(self, log: Segments) -> None:
        try:
            asyncio.run(self._sessions(log))
        except Exception as error:  # noqa: BLE001 - told by `open` or `latest`
            self.trouble, self.failure = str(error), error
            if not self._started.done():
                self._started.set_exception(error)

    async def _sessions(self, log: Segments) -> None:
        """One connection after the other."""
        self._loop = asyncio.get_running_loop()
        backoff = Backoff(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS)
        while not self._stopping.is_set():
            began = self._loop.time()
            try:
                await self._session(log)
            except aiomqtt.MqttError as error:
                if not self._started.done() or is_final(error):
                    raise
                self.trouble = str(error)
                # One that breaks at once is a failure too, such as where two have one name.
                if self._loop.time() - began > MOST_WAIT_SECONDS:
                    backoff.succeeded()
                await self._stops_within(backoff.failed())

    async def _session(self, log: Segments) -> None:
        """One connection, until it is lost or ended."""
        async with _Client(self._broker, self._client_id) as client:
            await self._subscribe(client)
            self.trouble = None
            if not self._started.done():
                self._started.set_result(None)
            messages = client.messages
            while (first := await self._next(messages)) is not None:
                some = await self._waiting(messages, first, log.append_bytes)
                if await self._store(log, [line for _, line in some]):
                    for message, _ in some:
                        client.acknowledge(message)

    async def _subscribe(self, client: _Client) -> None:
        """Asks for the topics; what is retained comes once, not with every connection."""
        once = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        options = SubscribeOptions(qos=1, retainHandling=once)
        reasons = await client.subscribe([(topic, options) for topic in self._topics])
        for topic, reason in zip(self._topics, reasons, strict=True):
            if getattr(reason, "value", REFUSED) >= REFUSED:
                raise SourceError(f"the broker refuses topic {topic!r}: {reason}")

    async def _next(self, messages: aiomqtt.client.MessagesIterator) -> aiomqtt.Message | None:
        """The next message; None where it is to stop."""
        waiting = asyncio.ensure_future(anext(messages))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return None if stopping.done() else waiting.result()
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _waiting(
        self, messages: aiomqtt.client.MessagesIterator, first: aiomqtt.Message, most_bytes: int
    ) -> list[tuple[aiomqtt.Message, bytes]]:
        """A message and those that wait behind it, as they are stored, as many as fit at once."""
        most_payload_bytes = most_bytes // 4
        found = [(first, _line(first, most_payload_bytes, is_raw=self._is_raw))]
        size_bytes = len(found[0][1])
        while len(messages) and size_bytes < most_bytes // 2:
            message = await anext(messages)
            found.append((message, _line(message, most_payload_bytes, is_raw=self._is_raw)))
            size_bytes += len(found[-1][1])
        return found

    async def _store(self, log: Segments, lines: list[bytes]) -> bool:
        """Stores messages; False where it was stopped while there was no room."""
        backoff = Backoff(FIRST_WAIT_SECONDS, 1.0)
        while True:
            try:
                await asyncio.to_thread(log.append, Group(lines))
            except BusyError as error:
                self.trouble = str(error)
                if await self._stops_within(backoff.failed()):
                    return False
            else:
                self.trouble = None
                return True

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


def is_final(error: aiomqtt.MqttError) -> bool:
    """Whether a broker that says this will say it again."""
    is_refused = isinstance(error, aiomqtt.exceptions.MqttConnectError)
    # What ended the connection is the cause of what ended the iteration.
    said = error if is_refused else error.__cause__
    reason = getattr(getattr(said, "rc", None), "value", None)
    return reason == TAKEN_OVER or (is_refused and reason not in PASSING)


def _line(message: aiomqtt.Message, most_bytes: int, *, is_raw: bool) -> bytes:
    """A message as it is stored."""
    moment = datetime.fromtimestamp(time.time(), UTC)
    payload = bytes(message.payload)
    names = ("topic", "time") if is_raw else ("mqtt_topic", "mqtt_time")
    stored: dict[str, Any] = dict(zip(names, (str(message.topic), moment), strict=True))
    if len(payload) > most_bytes:
        stored["size_bytes"] = len(payload)
    elif is_raw or not _is_object(payload):
        stored["bytes"] = base64.b64encode(payload).decode()
    else:
        stored["payload"] = msgspec.Raw(payload)
    return msgspec.json.encode(stored)


def _is_object(payload: bytes) -> bool:
    """Whether a payload is one JSON object."""
    try:
        payload.decode()
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return payload.lstrip().startswith(b"{")


def _stored(columns: pa.Schema) -> pa.Schema:
    """How messages of these columns are stored; one that is no object has no payload."""
    check_columns(columns)
    payload = pa.struct([column.with_nullable(nullable=True) for column in columns])
    return pa.schema({"mqtt_topic": pa.string(), "mqtt_time": TIME, "payload": payload})


def _with_message(columns: pa.Schema) -> pa.Schema:
    """Columns, and those of the message beside them."""
    for name in ("mqtt_topic", "mqtt_time"):
        if name in columns.names:
            raise InvalidRequestError(f"column {name!r} is there already: it is the message's own")
    beside = [pa.field("mqtt_topic", pa.string()), pa.field("mqtt_time", TIME)]
    return pa.schema([*columns, *beside], columns.metadata)


def _of_payload(found: pa.RecordBatch) -> list[pa.Array]:
    payload = found.column("payload")
    if payload.null_count:
        raise pa.ArrowInvalid("the message is no JSON object, or is too large")
    return [*payload.flatten(), found.column("mqtt_topic"), found.column("mqtt_time")]


def _raw(found: pa.RecordBatch) -> list[pa.Array]:
    encoded = found.column("bytes")
    if encoded.null_count:
        raise pa.ArrowInvalid("the message is too large")
    payloads = pa.array([base64.b64decode(each) for each in encoded.to_pylist()], pa.binary())
    return [found.column("topic"), payloads, found.column("time")]
