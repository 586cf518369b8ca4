"""Real servers for tests, each started on a free port of this machine and ended by its fixture."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The servers that outlive a test, by process id: it may start them again.
SERVICES: set[int] = set()
ENDING_SECONDS = 20.0

# What takes minutes to build is kept for the next session too, unlike what servers keep.
USER_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str, wait_seconds: float = 20.0) -> None:
    """Waits for a condition."""
    ends_at = time.monotonic() + wait_seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {wait_seconds} seconds: {what}"
        time.sleep(0.01)


def listens(port: int) -> bool:
    """Whether something answers on a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Ends a server, and waits until it has."""
    process.send_signal(number)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SERVICES.discard(process.pid)
