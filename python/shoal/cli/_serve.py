"""`shoal serve`: packages -> a server that answers until it is told to end.

stdout carries one line, when the server answers:
`{"event":"ready","http":"HOST:PORT","grpc":"HOST:PORT"}`, and `"admin"` where that is served.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli import _serve_options as given
from shoal.cli._failure import reported

if TYPE_CHECKING:
    from types import FrameType

    from shoal.serve import Repository


NO_OPTIONS = {"packages", "repository", "http", "grpc", "allow_code"}


class _Stopped(Exception):  # noqa: N818 - not an error: a request to end
    """SIGTERM or SIGINT arrived."""


def serve(
    packages: Annotated[
        list[Path] | None, typer.Argument(metavar="PACKAGE", help="Directories of packages.")
    ] = None,
    repository: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Serve the packages in this folder instead.")
    ] = None,
    *,
    http: Annotated[
        str, typer.Option(help="HOST:PORT for HTTP; port 0 picks one.")
    ] = "127.0.0.1:8000",
    grpc: Annotated[
        str, typer.Option(help="HOST:PORT for gRPC; port 0 picks one.")
    ] = "127.0.0.1:8001",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let python packages run their code.")
    ] = False,
    threads: given.Threads = 1,
    body_limit_bytes: given.BodyLimitBytes = 64 * 2**20,
    max_wait_ms: given.MaxWaitMs = None,
    latency_target_ms: given.LatencyTargetMs = None,
    bodies_in_flight_limit_bytes: given.BodiesInFlightLimitBytes = 512 * 2**20,
    header_limit_bytes: given.HeaderLimitBytes = 32 * 2**10,
    max_connections: given.MaxConnections = 4096,
    max_streams: given.MaxStreams = 256,
    header_timeout_ms: given.HeaderTimeoutMs = 30_000,
    body_timeout_ms: given.BodyTimeoutMs = 30_000,
    slowest_body_bytes_per_s: given.SlowestBodyBytesPerS = 64 * 2**10,
    idle_timeout_ms: given.IdleTimeoutMs = 75_000,
    write_timeout_ms: given.WriteTimeoutMs = 30_000,
    tls_certificate: given.TlsCertificate = None,
    tls_key: given.TlsKey = None,
    api_keys: given.ApiKeys = None,
    allow_origin: given.AllowOrigin = None,
    log_level: given.Level = given.LogLevel.info,
    log_format: given.Format = given.LogFormat.text,
    workers: given.Workers = 1,
    worker_memory_limit_bytes: given.WorkerMemoryLimitBytes = None,
    worker_timeout_ms: given.WorkerTimeoutMs = 60_000,
    worker_start_timeout_ms: given.WorkerStartTimeoutMs = 120_000,
    worker_restart_wait_ms: given.WorkerRestartWaitMs = 50,
    worker_restart_wait_limit_ms: given.WorkerRestartWaitLimitMs = 10_000,
    worker_environment: given.Environment = given.WorkerEnvironment.current,
    admin: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where an operator may load and unload.")
    ] = None,
    admin_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The token that an operator must send.")
    ] = None,
) -> None:
    """Serve packages over HTTP and gRPC until SIGTERM or SIGINT; what was accepted is answered."""
    chosen = {name: value for name, value in locals().items() if name not in NO_OPTIONS}
    from shoal import serve as room

    chosen["allow_origin"] = tuple(allow_origin or ())
    options = room.Options(**chosen)
    with (
        reported(),
        _ending_on_signals() as hand_over,
        room.start(
            _chosen(packages or [], repository),
            http=http,
            grpc=grpc,
            allow_code=allow_code,
            options=options,
        ) as server,
    ):
        for name, version, reason in server.not_served:
            typer.echo(f"not served: {name} {version}: {reason}", err=True)
        ready = {"event": "ready", "http": server.http, "grpc": server.grpc}
        if server.admin is not None:
            ready["admin"] = server.admin
        typer.echo(json.dumps(ready, separators=(",", ":")))
        server.serve_until_signal(caught=hand_over)


def _chosen(packages: list[Path], repository: Path | None) -> list[Path] | Repository:
    from shoal.errors import InvalidRequestError
    from shoal.serve import Repository

    if repository is None:
        return packages
    if packages:
        message = f"both packages and the repository {repository} were given; give one of them"
        raise InvalidRequestError(message)
    return Repository(repository)


@contextmanager
def _ending_on_signals() -> Iterator[Callable[[], None]]:
    """Cover the moments in which the native server does not handle signals yet, or no more.

    Whoever reads the ready line may send SIGTERM at once, before `serve_until_signal` has begun;
    Python's own default would kill the process with requests under way. The native handler also
    passes every signal on to Python's, which must do nothing more then: what is yielded is to be
    called when the native one has taken over.
    """
    is_native = Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if is_native.is_set():
            return
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # the drain is under way: once is enough
        raise _Stopped

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    with suppress(_Stopped):
        yield is_native.set
