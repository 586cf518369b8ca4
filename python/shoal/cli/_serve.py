"""`shoal serve`: packages -> a server that answers until it is told to end.

stdout carries one line, when the server answers:
`{"event":"ready","http":"HOST:PORT","grpc":"HOST:PORT"}`.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli._failure import reported

if TYPE_CHECKING:
    from types import FrameType


class WorkerEnvironment(StrEnum):
    """What workers may import."""

    CURRENT = "current"
    LOCKED = "locked"


class _Stopped(Exception):  # noqa: N818 - not an error: a request to end
    """SIGTERM or SIGINT arrived."""


def serve(
    packages: Annotated[
        list[Path], typer.Argument(metavar="PACKAGE", help="Directories of packages.")
    ],
    http: Annotated[
        str, typer.Option(help="HOST:PORT for HTTP; port 0 picks one.")
    ] = "127.0.0.1:8000",
    grpc: Annotated[
        str, typer.Option(help="HOST:PORT for gRPC; port 0 picks one.")
    ] = "127.0.0.1:8001",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let python packages run their code.")
    ] = False,
    body_limit_bytes: Annotated[int, typer.Option(min=1, help="A request body, at most.")] = 64
    * 2**20,
    max_wait_ms: Annotated[
        float | None, typer.Option(min=0, help="Waiting for company, at most.")
    ] = None,
    latency_target_ms: Annotated[
        float | None, typer.Option(min=0, help="From arrival to answer: bounds micro-batches.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for each python package.")] = 1,
    worker_memory_limit_bytes: Annotated[
        int | None, typer.Option(min=1, help="Memory that one of them may allocate.")
    ] = None,
    worker_timeout_ms: Annotated[
        int, typer.Option(min=1, help="One micro-batch in a worker, at most.")
    ] = 60_000,
    worker_start_timeout_ms: Annotated[
        int, typer.Option(min=1, help="Opening a model in a worker, at most.")
    ] = 120_000,
    worker_restart_wait_ms: Annotated[
        int, typer.Option(min=1, help="First wait between restarts in vain; doubles.")
    ] = 50,
    worker_restart_wait_limit_ms: Annotated[
        int, typer.Option(min=1, help="The longest such wait.")
    ] = 10_000,
    worker_environment: Annotated[
        WorkerEnvironment, typer.Option(help="What workers import: this environment, or the lock.")
    ] = WorkerEnvironment.CURRENT,
) -> None:
    """Serve packages over HTTP and gRPC until SIGTERM or SIGINT; what was accepted is answered."""
    from shoal import serve as room

    options = room.Options(
        body_limit_bytes=body_limit_bytes,
        max_wait_ms=max_wait_ms,
        latency_target_ms=latency_target_ms,
        workers=workers,
        worker_memory_limit_bytes=worker_memory_limit_bytes,
        worker_timeout_ms=worker_timeout_ms,
        worker_start_timeout_ms=worker_start_timeout_ms,
        worker_restart_wait_ms=worker_restart_wait_ms,
        worker_restart_wait_limit_ms=worker_restart_wait_limit_ms,
        worker_environment=worker_environment.value,
    )
    with (
        reported(),
        _ending_on_signals(),
        room.start(
            packages, http=http, grpc=grpc, allow_code=allow_code, options=options
        ) as server,
    ):
        ready = {"event": "ready", "http": server.http, "grpc": server.grpc}
        typer.echo(json.dumps(ready, separators=(",", ":")))
        server.serve_until_signal()


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Cover the moments in which the native server does not handle signals yet, or no more.

    Whoever reads the ready line may send SIGTERM at once, before `serve_until_signal` has begun;
    Python's own default would kill the process with requests under way. The native handler also
    passes SIGINT on to Python's, which would end a finished drain with KeyboardInterrupt.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # the drain is under way: once is enough
        raise _Stopped

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    with suppress(_Stopped):
        yield
