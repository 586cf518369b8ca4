"""The server of the stories, what stands before it, and what a story may do to it."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal import serve
from tests.end_to_end.certificates import certify
from tests.end_to_end.driver import ask, poll, serving
from tests.services.stories.relay import Relay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.driver import Served

QUEUE_ROWS = 100_000  # what the queue of a model holds


class Stage:
    """A server that can be held up, filled, cut off, ended and started again."""

    def __init__(self, packages: list[Path], notes: Path) -> None:
        self._packages = packages
        self._notes = notes
        self._lock = Lock()
        self._running = ExitStack()
        self._secure = ExitStack()
        self._secured: dict[str, Any] = {}
        self._served = self._start(_free_address(), _free_address())
        self._relays = [Relay(_port(self._served.http)), Relay(_port(self._served.grpc))]
        self._waiting: list[Thread] = []
        self.forget()

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens."""
        relay, relay_grpc = (f"127.0.0.1:{relay.port}" for relay in self._relays)
        served = {"http": self._served.http, "grpc": self._served.grpc}
        return {**served, "relay": relay, "relay_grpc": relay_grpc}

    def close(self) -> None:
        """Ends all of it."""
        (self._notes / "hold").unlink(missing_ok=True)
        for relay in self._relays:
            relay.close()
        self._running.close()
        self._secure.close()

    def _start(self, http: str, grpc: str) -> Served:
        arguments = ("--allow-code", "--allow-origin", "*", "--http", http, "--grpc", grpc)
        served = serving(*self._packages, arguments=arguments, SHOAL_NOTES=str(self._notes))
        return self._running.enter_context(served)

    def hold(self) -> None:
        """The model `held` answers nothing."""
        (self._notes / "hold").touch()

    def open(self) -> None:
        """It answers again; when this returns, it has noticed."""
        (self._notes / "hold").unlink(missing_ok=True)
        poll(lambda: not (self._notes / "reached").exists(), "held goes on")
        for thread in self._waiting:
            thread.join()
        self._waiting.clear()

    def fill(self) -> None:
        """Holds it, and fills its queue."""
        self.hold()
        self._ask_for(1)
        poll((self._notes / "reached").exists, "held is at work")
        self._ask_for(QUEUE_ROWS)
        poll(lambda: self.waiting()["rows"] == QUEUE_ROWS, "the queue is full")

    def _ask_for(self, rows: int) -> None:
        """Sends rows from another thread, which waits for the answer."""
        raw = np.ones(rows).tobytes()
        head = (
            f'{{"inputs":[{{"name":"value","shape":[{rows}],"datatype":"FP64",'
            f'"parameters":{{"binary_data_size":{len(raw)}}}}}]}}'
        ).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        address, body = self._served.http, head + raw

        def send() -> None:
            ask(address, "POST", "/v2/models/held/infer", body, headers=headers)

        thread = Thread(target=send, daemon=True)
        thread.start()
        self._waiting.append(thread)

    def restart(self) -> None:
        """Ends the server in good order, and starts another at its addresses."""
        self._running.close()
        self.start()

    def kill(self) -> None:
        """Ends it at once."""
        self._served.stop(signal.SIGKILL)
        self._running.close()
        (self._notes / "reached").unlink(missing_ok=True)

    def start(self) -> None:
        """Starts it again."""
        self._served = self._start(self._served.http, self._served.grpc)
        (self._notes / "calls").write_text("", encoding="utf-8")

    def cut(self) -> None:
        """Closes the connections through the relays."""
        for relay in self._relays:
            relay.cut()

    def lose(self) -> None:
        """The next request for tasks through the relay gets no answer."""
        self._relays[0].lose()

    def forget(self) -> None:
        """All counts are 0 again."""
        (self._notes / "calls").write_text("", encoding="utf-8")
        for relay in self._relays:
            relay.forget()

    def seen(self) -> dict[str, Any]:
        """What has come since."""
        relay = self._relays[0]
        calls = (self._notes / "calls").read_text(encoding="utf-8").split()
        return {
            "connections": relay.connections,
            "envelopes": relay.envelopes,
            "calls": [float(call) for call in calls],
        }

    def waiting(self) -> dict[str, Any]:
        """What the model `held` has before it."""
        rows = self._served.counted('shoal_queue_rows{model="held",version="1"}')
        return {"rows": int(rows), "reached": (self._notes / "reached").exists()}

    def secure(self) -> dict[str, Any]:
        """A second server, that speaks TLS and wants a key."""
        with self._lock:
            if not self._secured:
                self._secured = self._started_secure()
        return self._secured

    def _started_secure(self) -> dict[str, Any]:
        certified, key = certify(self._notes), serve.new_key("story")
        keys = self._notes / "keys"
        keys.write_text(f"{key.line}\n", encoding="ascii")
        arguments = (*certified.arguments, "--api-keys", str(keys), "--allow-code")
        double = next(path for path in self._packages if path.name == "double")
        served = self._secure.enter_context(serving(double, arguments=arguments))
        address = {"http": served.http, "grpc": served.grpc}
        return {**address, "authority": str(certified.authority), "key": key.secret}


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
