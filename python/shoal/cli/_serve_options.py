"""The options of `shoal serve`: one for each field of `shoal.serve.Options`, of the same name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer


class LogLevel(StrEnum):
    """From which level on events are logged."""

    off = "off"
    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"


class LogFormat(StrEnum):
    """The form of a line of the log."""

    text = "text"
    json = "json"


class WorkerEnvironment(StrEnum):
    """What the workers of a python package import."""

    current = "current"
    locked = "locked"


def _number(words: str, *, least: int = 1) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(min=least, help=words)
    return option


def _file(words: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="FILE", help=words)
    return option


Threads: TypeAlias = Annotated[
    int, _number("Event loops: who reads requests, runs quick models and writes answers.")
]
Cores: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Processors that one call of an ONNX model may use.")
]
BodyLimitBytes: TypeAlias = Annotated[int, _number("A request body, at most.")]
MaxWaitMs: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Waiting for company, at most.")
]
LatencyTargetMs: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="From arrival to answer: bounds micro-batches.")
]
BodiesInFlightLimitBytes: TypeAlias = Annotated[
    int, _number("All bodies being read or answered, at most.")
]
HeaderLimitBytes: TypeAlias = Annotated[int, _number("The head of a request, at most.", least=1024)]
MaxConnections: TypeAlias = Annotated[int, _number("Open connections over both doors, at most.")]
MaxStreams: TypeAlias = Annotated[int, _number("Calls at once on one gRPC connection, at most.")]
HeaderTimeoutMs: TypeAlias = Annotated[int, _number("For the head of a request, and for TLS.")]
BodyTimeoutMs: TypeAlias = Annotated[
    int, _number("For a body, beyond what its size takes at the slowest rate.")
]
SlowestBodyBytesPerS: TypeAlias = Annotated[int, _number("The slowest rate of a body.")]
IdleTimeoutMs: TypeAlias = Annotated[int, _number("For the next request of an open connection.")]
WriteTimeoutMs: TypeAlias = Annotated[int, _number("For a client that takes none of its answer.")]
DrainNoticeMs: TypeAlias = Annotated[
    int, _number("From the first signal on, how long requests are still taken.", least=0)
]
TlsCertificate: TypeAlias = Annotated[
    Path | None, _file("Certificates in PEM: all doors speak TLS.")
]
TlsKey: TypeAlias = Annotated[Path | None, _file("The private key of the certificate in PEM.")]
ApiKeys: TypeAlias = Annotated[
    Path | None, _file("API keys, as `shoal key new` prints their lines.")
]
AllowOrigin: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="ORIGIN", help="Pages that may read answers; or *.")
]
TryPage: TypeAlias = Annotated[
    bool, typer.Option("--try-page", help="A page to ask models by hand, at /docs/try.")
]
Level: TypeAlias = Annotated[LogLevel, typer.Option(help="What is logged on stderr.")]
Format: TypeAlias = Annotated[LogFormat, typer.Option(help="The form of a line of the log.")]
TraceFile: TypeAlias = Annotated[Path | None, _file("Each request to a model, one a line.")]
ProfileCache: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where learned costs are kept; or off.")
]
Workers: TypeAlias = Annotated[int, _number("Processes for each python package.")]
WorkerMemoryLimitBytes: TypeAlias = Annotated[
    int | None, _number("Memory that one of them may allocate.")
]
WorkerTimeoutMs: TypeAlias = Annotated[int, _number("One micro-batch in a worker, at most.")]
WorkerStartTimeoutMs: TypeAlias = Annotated[int, _number("Opening a model in a worker, at most.")]
WorkerRestartWaitMs: TypeAlias = Annotated[
    int, _number("First wait between restarts in vain; doubles.")
]
WorkerRestartWaitLimitMs: TypeAlias = Annotated[int, _number("The longest such wait.")]
Environment: TypeAlias = Annotated[
    WorkerEnvironment, typer.Option(help="What workers import: this environment, or the lock.")
]
RequireSigned: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="PUB.pem", help="Serve only what this key has signed."),
]
