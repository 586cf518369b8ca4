"""Two servers of one package behind a proxy, restarted one after the other, and those who ask."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end.driver import DEADLINE_S, serving
from tests.services import SERVICES
from tests.services.haproxy import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed
    from tests.services.haproxy import Proxy

NOTICE_MS = 500  # ten times what the proxy takes to ask
PAUSE_S = 0.004
"""Between an answer and the next question: the load is not what the machine can do at most."""


class Replicas:
    """Servers in places of a proxy, of which one is always free for the next."""

    def __init__(self, digits: Sealed, proxy: Proxy) -> None:
        """Takes the package that they serve."""
        self._digits, self.proxy = digits, proxy
        self._running: dict[int, tuple[ExitStack, Served]] = {}

    def __iter__(self) -> Iterator[Served]:
        """Those that run, in their order of age."""
        return iter([served for _, served in self._running.values()])

    def start(self) -> int:
        """One more, in the first place that is free; it gets requests when this returns."""
        number = next(place for place in PLACES if place not in self._running)
        with ExitStack() as stack:
            arguments = ("--drain-notice-ms", str(NOTICE_MS))
            served = stack.enter_context(serving(self._digits.path, arguments=arguments))
            self.proxy.place(number, served.http, served.grpc)
            self._running[number] = (stack.pop_all(), served)
        SERVICES.add(served.process.pid)
        return number

    def start_beside(self) -> None:
        """Starts one more and ends it, without a request: what a start costs the machine."""
        with serving(self._digits.path):
            pass

    def stop_oldest(self) -> None:
        """SIGTERM, as at the end of a Pod; that the proxy sees it is the server's business."""
        number = next(iter(self._running))
        stack, served = self._running.pop(number)
        with stack:
            assert served.stop() == 0
        SERVICES.discard(served.process.pid)

    def roll(self) -> None:
        """Replaces each: the new one gets requests before an old one is told to end."""
        for _ in list(self._running):
            self.start()
            self.stop_oldest()

    def close(self) -> None:
        """Ends all of them."""
        while self._running:
            self.stop_oldest()


@dataclass
class Asked:
    """What one client saw: how long each answer took, and what went wrong."""

    took_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Crowd:
    """Clients that ask, each over a connection of its own, as long as the crowd is there."""

    def __init__(self, digits: Sealed, proxy: Proxy) -> None:
        """Three ways to the replicas: by request, by connection, and by call of gRPC."""
        self._row, self._label = digits.rows[0], digits.labels[0]
        self._done = Event()
        ways: list[Callable[[Asked], None]] = [
            *(lambda asked: self._over_http(proxy.http, asked) for _ in range(3)),
            *(lambda asked: self._over_http(proxy.service, asked) for _ in range(3)),
            *(lambda asked: self._over_grpc(proxy.grpc, asked) for _ in range(2)),
        ]
        self.asked = [Asked() for _ in ways]
        pairs = zip(ways, self.asked, strict=True)
        self._threads = [Thread(target=way, args=(asked,)) for way, asked in pairs]

    @property
    def failures(self) -> list[str]:
        """What went wrong so far, in words."""
        return [failure for asked in self.asked for failure in asked.failures]

    @property
    def count(self) -> int:
        """Requests so far."""
        return sum(len(asked.took_s) for asked in self.asked)

    def p99_ms(self, since: list[int]) -> float:
        """One in a hundred took longer, of the requests since `mark` gave this."""
        pairs = zip(self.asked, since, strict=True)
        took = sorted(each for asked, first in pairs for each in asked.took_s[first:])
        return 1e3 * took[len(took) * 99 // 100]

    def mark(self) -> list[int]:
        """How many requests of each client there were so far."""
        return [len(asked.took_s) for asked in self.asked]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def until(self, count: int) -> None:
        """Waits until there were so many requests."""
        ends_at = time.monotonic() + DEADLINE_S + count * PAUSE_S
        while self.count < count:
            assert time.monotonic() < ends_at, f"only {self.count} of {count} requests"
            self._done.wait(PAUSE_S)

    def _keep_asking(self, asked: Asked, ask: Callable[[], Any]) -> None:
        while not self._done.wait(PAUSE_S):
            began_s = time.perf_counter()
            try:
                answer = ask()
                if answer != self._label:
                    asked.failures.append(f"wrong: {answer}")
            except (OSError, HTTPException, grpc.RpcError) as error:
                asked.failures.append(repr(error))
            asked.took_s.append(time.perf_counter() - began_s)

    def _over_http(self, address: str, asked: Asked) -> None:
        connection = HTTPConnection(address, timeout=DEADLINE_S)
        body = json.dumps({"features": self._row}).encode()

        def ask() -> Any:
            try:
                connection.request("POST", "/predict", body)
                answer = json.load(connection.getresponse())
            except (OSError, HTTPException):
                connection.close()
                raise
            return answer.get("prediction", [answer])[0]

        self._keep_asking(asked, ask)
        connection.close()

    def _over_grpc(self, address: str, asked: Asked) -> None:
        with grpc.insecure_channel(address, OWN_CONNECTION) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            question = grpc_question(self._row)
            self._keep_asking(asked, lambda: grpc_label(stub.ModelInfer(question)))


OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""Channels to one address would share a connection, and repair what they can."""


def grpc_question(row: list[float]) -> Any:
    """A question of one row."""
    question = service_pb2.ModelInferRequest(model_name="digits")
    column = question.inputs.add(name="X", datatype="FP32", shape=[1, len(row)])
    column.contents.fp32_contents.extend(row)
    return question


def grpc_label(answer: Any) -> int:
    """The label of the only row."""
    place = next(place for place, each in enumerate(answer.outputs) if each.name == "label")
    return int(answer.outputs[place].contents.int64_contents[0])


@contextmanager
def replicas_behind(digits: Sealed, proxy: Proxy) -> Iterator[Replicas]:
    """Two replicas that get requests."""
    replicas = Replicas(digits, proxy)
    try:
        replicas.start()
        replicas.start()
        yield replicas
    finally:
        replicas.close()
