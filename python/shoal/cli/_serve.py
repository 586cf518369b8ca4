"""`shoal serve`: packages -> a server that answers until it is told to end.

stdout carries one line, when the server answers:
`{"event":"ready","http":"HOST:PORT","grpc":"HOST:PORT"}`, and `"admin"` where that is served.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli import _ending
from shoal.cli import _serve_options as given
from shoal.cli._failure import reported
from shoal.cli._memory import without_huge_pages
from shoal.cli._registry import byte_bar, is_name

if TYPE_CHECKING:
    from shoal.package import Package
    from shoal.serve import Repository, Server


NO_OPTIONS = {"packages", "repository", "http", "grpc", "allow_code"}


def serve(
    packages: Annotated[
        list[str] | None,
        typer.Argument(metavar="PACKAGE", help="Directories of packages, or oci://HOST/NAME:TAG."),
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
    cores: given.Cores = None,
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
    drain_notice_ms: given.DrainNoticeMs = 0,
    tls_certificate: given.TlsCertificate = None,
    tls_key: given.TlsKey = None,
    api_keys: given.ApiKeys = None,
    allow_origin: given.AllowOrigin = None,
    try_page: given.TryPage = False,
    log_level: given.Level = given.LogLevel.info,
    log_format: given.Format = given.LogFormat.text,
    trace_file: given.TraceFile = None,
    profile_cache: given.ProfileCache = None,
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
    require_signed: given.RequireSigned = None,
) -> None:
    """Serve packages over HTTP and gRPC until SIGTERM or SIGINT; what was accepted is answered."""
    chosen = {name: value for name, value in locals().items() if name not in NO_OPTIONS}
    chosen["allow_origin"] = tuple(allow_origin or ())

    def serve_until_ended(ending: _ending.Ending) -> None:
        with without_huge_pages():
            from shoal import serve as room

        options = room.Options(**chosen)
        what = _chosen(packages or [], repository, require_signed)
        with room.start(
            what, http=http, grpc=grpc, allow_code=allow_code, options=options
        ) as server:
            ending.stand()
            server.serve_until_signal(caught=lambda: _tell(server, ending))

    with reported():
        _ending.run(serve_until_ended)


def _tell(server: Server, ending: _ending.Ending) -> None:
    """Say what is served where, and what is not; whoever reads it may send a signal at once."""
    ending.hand_over()
    for name, version, reason in server.not_served:
        typer.echo(f"not served: {name} {version}: {reason}", err=True)
    ready = {"event": "ready", "http": server.http, "grpc": server.grpc}
    if server.admin is not None:
        ready["admin"] = server.admin
    typer.echo(json.dumps(ready, separators=(",", ":")))


def _chosen(
    packages: list[str], repository: Path | None, key: Path | None
) -> list[Package | str] | Repository:
    from shoal.errors import InvalidRequestError
    from shoal.serve import Repository

    if repository is None:
        return [_fetched(each, key) if is_name(each) else each for each in packages]
    if packages:
        message = f"both packages and the repository {repository} were given; give one of them"
        raise InvalidRequestError(message)
    return Repository(repository)


def _fetched(name: str, key: Path | None) -> Package:
    from shoal import package

    asked = None if key is None else package.read_public_key(key)
    with byte_bar("pulling") as progress:
        return package.fetch(name, key=asked, progress=progress)
