"""Debian's registry, which lists no referrers: the fixture `docker_registry`, or one of one's own.

It is started on a free port with a directory of its own, open to all, or behind users and passwords
(`basic`), a server of tokens (`tests.services.tokens`), or TLS.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services import SERVICES, end, free_port, listens, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER, PASSWORD = "shoal", "correct horse"
# bcrypt of the password, cost 4
PASSWORDS = "shoal:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n"


class DockerRegistry:
    """One registry, and where it keeps things."""

    def __init__(self, program: str, directory: Path, **settings: Any) -> None:
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.directory = directory
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        http = {"addr": self.host, **settings.pop("http", {})}
        storage = {"filesystem": {"rootdirectory": str(directory / "storage")}}
        text = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": storage,
            "http": http,
            **settings,
        }
        # JSON is YAML.
        (directory / "settings.yml").write_text(json.dumps(text), "utf-8")

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        command = [self._program, "serve", str(self.directory / "settings.yml")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        SERVICES.add(self._process.pid)
        until(lambda: listens(self.port), f"a registry listens on port {self.port}")

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def blob(self, digest: str) -> Path:
        """Where it keeps the bytes of a blob or a manifest."""
        name = digest.removeprefix("sha256:")
        blobs = self.directory / "storage" / "docker" / "registry" / "v2" / "blobs" / "sha256"
        return blobs / name[:2] / name / "data"


@contextmanager
def running(program: Callable[[str], str], **settings: Any) -> Iterator[DockerRegistry]:
    """A registry for a block."""
    with tempfile.TemporaryDirectory(prefix="shoal-registry-") as directory:
        server = DockerRegistry(program("docker-registry"), Path(directory), **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def basic(directory: Path) -> dict[str, Any]:
    """Settings of a registry that lets in one user."""
    (directory / "passwords").write_text(PASSWORDS, "utf-8")
    return {"htpasswd": {"realm": "shoal", "path": str(directory / "passwords")}}
