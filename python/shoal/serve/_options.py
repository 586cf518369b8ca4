"""What the operator of a server may choose beyond its addresses.

One field here is one field of `Options` in `crates/shoal-server/src/options.rs`, of the same name
and default, and one option of `shoal serve`. A number carries its unit in its name.
"""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The choices of one server; every default is safe on a network.

    Args:
        body_limit_bytes: A request body or message, at most; a larger one is refused with
            `body_too_large`.
        max_wait_ms: Instead of what packages say: a request with a free executor waits for company
            no longer than this. It waits only where that pays; 0 never waits.
        latency_target_ms: Instead of what packages say: from arrival to answer; micro-batches stay
            small enough for it.
    """

    body_limit_bytes: int = 64 * 2**20
    max_wait_ms: float | None = None
    latency_target_ms: float | None = None


def in_json(options: Options, *, http: str, grpc: str) -> str:
    """The choices as the native core reads them."""
    fields = {"http": http, "grpc": grpc, **msgspec.structs.asdict(options)}
    return msgspec.json.encode(fields).decode()
