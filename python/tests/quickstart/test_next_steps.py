"""The commands to paste fit the reader's shell, the ports that are free, and the package's path."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.quickstart import _next
from shoal.quickstart._next import next_steps

if TYPE_CHECKING:
    import pytest

SPARE = ("127.0.0.1:40000", "127.0.0.1:40001")
PACKAGE = Path("my models/digits")


def test_commands_begin_with_uv_run_where_uv_runs_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    serve, ask, verify = next_steps(PACKAGE, [0.0, 1.5], spare=SPARE)
    assert shlex.split(serve)[:5] == ["uv", "run", "shoal", "serve", "my models/digits"]
    assert shlex.split(verify) == ["uv", "run", "shoal", "package", "verify", "my models/digits"]
    assert shlex.split(ask)[-1] == '{"features":[0,1.5]}'


def test_default_ports_are_used_when_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(_next, "DEFAULT_HTTP", free)
    monkeypatch.setattr(_next, "DEFAULT_GRPC", free)
    serve, ask, _ = next_steps(PACKAGE, [0.0], spare=SPARE)
    assert serve.endswith("'my models/digits'")
    assert f"http://{free}/predict" in ask


def test_other_ports_are_used_when_the_default_ones_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(_next, "DEFAULT_GRPC", f"127.0.0.1:{taken.getsockname()[1]}")
        serve, ask, _ = next_steps(PACKAGE, [0.0], spare=SPARE)
    assert serve.endswith("--http 127.0.0.1:40000 --grpc 127.0.0.1:40001")
    assert "http://127.0.0.1:40000/predict" in ask
