"""What the operator of a server may choose beyond its addresses.

One field here is one option of `shoal serve`, and one field of `Options` in
`crates/shoal-server/src/options.rs`, of the same name and default; but `require_signed` is looked
after here, before the native core gets a package. A number carries its unit in its name.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

import msgspec

from shoal.runtime import Environment

Path: TypeAlias = str | PathLike[str]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The choices of one server; every default is safe on a network.

    Args:
        threads: Event loops, each on a thread of its own: who reads requests, runs quick models and
            writes answers.
        cores: Processors that one call of an ONNX model may use; None is all that there are.
        body_limit_bytes: A request body or message, at most; a larger one is refused with
            `body_too_large`.
        max_wait_ms: Instead of what packages say: a request with a free executor waits for company
            no longer than this. It waits only where that pays; 0 never waits.
        latency_target_ms: Instead of what packages say: from arrival to answer; micro-batches stay
            small enough for it.
        workers: Processes that run each python package. Each holds the model in memory.
        worker_memory_limit_bytes: Memory that one of them may allocate; None is no limit.
        worker_timeout_ms: One micro-batch in a worker, at most; then the worker is killed.
        worker_start_timeout_ms: Opening the model in a worker, at most.
        worker_restart_wait_ms: The wait before a worker is started once more after two lives in
            which it answered nothing; it doubles from there. The first restart comes at once.
        worker_restart_wait_limit_ms: The longest such wait.
        worker_environment: What workers may import: what this process can (`current`; a package
            whose requirements it lacks is refused by name), or what the package's hashed lock lists
            (`locked`; made by uv when it is first needed).
        bodies_in_flight_limit_bytes: All bodies that are being read or answered, over both doors,
            at most; what comes on top is refused with `server_busy`.
        header_limit_bytes: The head of a request, at most; a larger one is refused with 431.
        max_connections: Open connections over both doors, at most; one more gets `server_busy`.
        max_streams: Calls at once on one gRPC connection, at most; more wait.
        header_timeout_ms: For the head of a request, and for the TLS handshake; a client that
            takes longer is dropped, as in all of these timeouts.
        body_timeout_ms: For the body of a request, beyond what its size takes at the slowest rate.
        slowest_body_bytes_per_s: The slowest rate.
        idle_timeout_ms: For the next request on an open connection. Over gRPC a client that is
            silent for so long is asked for a sign of life.
        write_timeout_ms: For a client that takes none of its answer, or gives no sign of life.
        drain_notice_ms: From SIGTERM or SIGINT on, how long requests are still taken while
            readiness says no, so that whoever shares out requests learns of the end, and clients
            leave at their own pace: each answer over HTTP is the last on its connection.
        tls_certificate: The certificates of this server in PEM, its own first; with `tls_key`,
            all doors speak TLS and nothing else. Both files are read anew when they change.
        tls_key: The private key of the certificate in PEM, without password.
        api_keys: The file of API keys; without it nobody needs one. Read anew when it changes.
        allow_origin: Origins whose pages may read answers, such as "https://example.org"; "*" is
            any.
        try_page: Whether there is a page on which models are asked by hand, at `/docs/try`. Page,
            style and script need no key; what they ask does.
        log_level: What is told on stderr.
        log_format: Lines for people, or one JSON object on each.
        trace_file: The file to which each request to a model is told, one JSON object a line: when
            it came and was answered, its rows and a number of its connection; None traces nothing.
        profile_cache: The folder in which the learned costs of models are kept for their next
            start; None is `$XDG_CACHE_HOME/shoal/profiles`, "off" keeps and reads nothing.
        admin: Where to listen for the calls of an operator (load, unload, weights), as "HOST:PORT";
            None listens nowhere.
        admin_token_file: The file of the token that these calls need; an `admin` without it is
            refused.
        require_signed: The public key, in PEM, that must have signed each package, also one that is
            loaded later; a package without its signature is refused before anything of it is
            loaded. Read once, when the server starts. None asks for no signature.
    """

    threads: int = 1
    cores: int | None = None
    body_limit_bytes: int = 64 * 2**20
    max_wait_ms: float | None = None
    latency_target_ms: float | None = None
    workers: int = 1
    worker_memory_limit_bytes: int | None = None
    worker_timeout_ms: int = 60_000
    worker_start_timeout_ms: int = 120_000
    worker_restart_wait_ms: int = 50
    worker_restart_wait_limit_ms: int = 10_000
    worker_environment: Environment = "current"
    bodies_in_flight_limit_bytes: int = 512 * 2**20
    header_limit_bytes: int = 32 * 2**10
    max_connections: int = 4096
    max_streams: int = 256
    header_timeout_ms: int = 30_000
    body_timeout_ms: int = 30_000
    slowest_body_bytes_per_s: int = 64 * 2**10
    idle_timeout_ms: int = 75_000
    write_timeout_ms: int = 30_000
    drain_notice_ms: int = 0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    api_keys: Path | None = None
    allow_origin: tuple[str, ...] = ()
    try_page: bool = False
    log_level: Literal["off", "error", "warning", "info", "debug"] = "warning"
    log_format: Literal["text", "json"] = "text"
    trace_file: Path | None = None
    profile_cache: Path | None = None
    admin: str | None = None
    admin_token_file: Path | None = None
    require_signed: Path | None = None


def in_json(options: Options, *, http: str, grpc: str) -> str:
    """The choices as the native core reads them."""
    fields = {"http": http, "grpc": grpc, **msgspec.structs.asdict(options)}
    del fields["require_signed"]
    return msgspec.json.encode(fields, enc_hook=_path).decode()


def _path(value: Any) -> str:
    return str(fspath(value))
