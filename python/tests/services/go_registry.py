"""A registry that lists referrers, of go-containerregistry: the fixture `go_registry`.

It is compiled once (`go_registry/`) and kept in the user's cache, by what it is made of.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import SERVICES, USER_CACHE, end, free_port, listens, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).parent / "go_registry"


@dataclass(frozen=True)
class GoRegistry:
    """One registry."""

    port: int

    @property
    def host(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"


def compiled(go: str) -> Path:
    """The program, compiled if it is not there."""
    parts = [(SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")]
    place = (
        USER_CACHE / "shoal-tests" / f"registry-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"
    )
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as directory:
            made = Path(directory) / "registry"
            # The session has a cache of its own; Go keeps the user's.
            environment = {
                **os.environ,
                "GOCACHE": str(USER_CACHE / "go-build"),
                "CGO_ENABLED": "0",
            }
            command = [go, "build", "-mod=readonly", "-trimpath", "-o", str(made), "."]
            subprocess.run(command, cwd=SOURCE, env=environment, check=True)
            made.rename(place)
    return place


@contextmanager
def running(program: Callable[[str], str]) -> Iterator[GoRegistry]:
    """A registry for a block."""
    command = compiled(program("go"))
    with tempfile.TemporaryDirectory(prefix="shoal-registry-") as directory:
        server = GoRegistry(free_port())
        process = subprocess.Popen([command, server.host, directory])
        SERVICES.add(process.pid)
        try:
            until(lambda: listens(server.port), f"a registry listens on port {server.port}")
            yield server
        finally:
            end(process)
