"""What the operator of a server may choose beyond its addresses.

One field here is one field of `Options` in `crates/shoal-server/src/options.rs`, of the same name
and default, and one option of `shoal serve`. A number carries its unit in its name.
"""

from __future__ import annotations

import msgspec

from shoal.runtime import Environment


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The choices of one server; every default is safe on a network.

    Args:
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
    """

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


def in_json(options: Options, *, http: str, grpc: str) -> str:
    """The choices as the native core reads them."""
    fields = {"http": http, "grpc": grpc, **msgspec.structs.asdict(options)}
    return msgspec.json.encode(fields).decode()
