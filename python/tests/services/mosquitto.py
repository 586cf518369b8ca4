"""An MQTT broker of the session: `pytest_plugins = ["tests.services.mosquitto"]`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from paho.mqtt import publish

from tests.services import SERVICES, end, free_port, listens, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

USER, PASSWORD = "shoal", "correct horse"
SETTINGS = """
per_listener_settings true
persistence true
persistence_location {directory}/
max_queued_messages 0
listener {port} 127.0.0.1
allow_anonymous true
listener {tls_port} 127.0.0.1
password_file {directory}/passwords
cafile {directory}/authority.pem
certfile {directory}/server.pem
keyfile {directory}/server.key
"""


class Mosquitto:
    """A broker that lets in everyone on one port, and by TLS and password on another."""

    def __init__(self, mosquitto: str, directory: Path) -> None:
        self._mosquitto = mosquitto
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port = free_port(), free_port()
        self.user, self.password = USER, PASSWORD
        self._authority = trustme.CA()
        server = self._authority.issue_cert("localhost", "127.0.0.1")
        self._authority.cert_pem.write_to_path(directory / "authority.pem")
        server.cert_chain_pems[0].write_to_path(directory / "server.pem")
        server.private_key_pem.write_to_path(directory / "server.key")
        create = ["mosquitto_passwd", "-c", "-b", str(directory / "passwords"), USER, PASSWORD]
        subprocess.run(create, check=True, capture_output=True)
        text = SETTINGS.format(directory=directory, port=self.port, tls_port=self.tls_port)
        # Else it gives up the rights with which its files were written.
        text += "user root\n" if os.geteuid() == 0 else ""
        (directory / "settings").write_text(text, "utf-8")

    def trust(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """A context that knows the certificate of this broker."""
        self._authority.configure_trust(context)
        return context

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [self._mosquitto, "-c", str(self._directory / "settings")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        SERVICES.add(self._process.pid)
        until(lambda: listens(self.port), f"mosquitto answers on port {self.port}")

    def stop(self) -> None:
        """Ends it; what its sessions hold is stored."""
        assert self._process is not None
        end(self._process)
        self._process = None

    def restart(self) -> None:
        """Ends it and starts it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends it if it runs."""
        if self._process is not None:
            self.stop()

    def publish(
        self, topic: str, payloads: Sequence[bytes], *, retain: bool = False, qos: int = 1
    ) -> None:
        """Sends messages; the broker has them when it returns."""
        messages = [
            {"topic": topic, "payload": payload, "qos": qos, "retain": retain}
            for payload in payloads
        ]
        publish.multiple(messages, "127.0.0.1", self.port)  # type: ignore[arg-type]  # dicts are


@pytest.fixture(scope="session")
def mosquitto(program: Callable[[str], str]) -> Iterator[Mosquitto]:
    """A broker that runs; a test that ends it starts it again."""
    with tempfile.TemporaryDirectory(prefix="shoal-mosquitto-") as directory:
        # Debian puts it where only root has it on the PATH.
        found = shutil.which("mosquitto", path="/usr/sbin") or program("mosquitto")
        server = Mosquitto(found, Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.close()
