"""Three commands that work when pasted: serve the package, ask it one row, check its seal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
from pathlib import Path

DEFAULT_HTTP, DEFAULT_GRPC = "127.0.0.1:8000", "127.0.0.1:8001"


def next_steps(package: Path, row: list[float], *, spare: tuple[str, str]) -> list[str]:
    """Shell commands; `spare` are (http, grpc) addresses to use when the default ones are taken."""
    shoal = _program()
    is_default = _is_free(DEFAULT_HTTP) and _is_free(DEFAULT_GRPC)
    http, grpc = (DEFAULT_HTTP, DEFAULT_GRPC) if is_default else spare
    where = "" if is_default else f" --http {http} --grpc {grpc}"
    features = json.dumps({"features": [_short(value) for value in row]}, separators=(",", ":"))
    directory = shlex.quote(str(package))
    return [
        f"{shoal} serve {directory}{where}",
        f"curl -s http://{http}/predict -d '{features}'",
        f"{shoal} package verify {directory}",
    ]


def _program() -> str:
    """How the reader's own shell finds the command line, which `uv run` hides from this process."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run shoal"
    if shutil.which("shoal"):
        return "shoal"
    beside = Path(sys.executable).with_name("shoal")
    return (
        shlex.quote(str(beside))
        if beside.exists()
        else f"{shlex.quote(sys.executable)} -m shoal.cli"
    )


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
