"""The suite `footprint`: what a server takes when nobody asks, and how soon it answers.

- ready: from the start of the process to the first right answer, on its core alone,
- memory: resident, of the whole process tree, after a load of 64 connections,
- idle: processor time of the whole tree over at least 20 s without a request, after that load,
- drift: growth of Shoal's memory over two million requests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._readings import Drift, Failed, Footprint
from benchmarks.serve._rounds import Plan, attempt
from benchmarks.serve._servers import Server, serving
from benchmarks.serve._window import Target, closed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.serve._material import Material

SETTLE_S = 1.0
"""Between the load and the watch: connections close, logs are written."""

WARM_SHARE = 0.1
"""Of the requests of a drift, before its first look at memory."""

DRIFT_WITHIN_S = 1200.0


def footprints(
    plan: Plan, material: Material, servers: Sequence[Server], idle_s: float
) -> Iterator[Footprint | Failed]:
    """Every server's footprint in every round, one server at a time."""
    for number in range(1, plan.rounds + 1):
        for server in servers:
            yield _attempt(plan, material, server, (number, idle_s))


def _attempt(
    plan: Plan, material: Material, server: Server, watch: tuple[int, float]
) -> Footprint | Failed:
    number, idle_s = watch
    where = f"round {number}, footprint"
    seen = attempt(
        plan, server, where, lambda: _footprint(plan, server, material, (number, idle_s))
    )
    if isinstance(seen, Footprint):
        plan.say(
            f"{where}: {server.name} {server.setting}: ready after {seen.ready_s:.2f} s, "
            f"{seen.resident_bytes / 1e6:.0f} MB, idle {seen.idle_cpu_share:.3%} of a core"
        )
    return seen


def _footprint(
    plan: Plan, server: Server, material: Material, watch: tuple[int, float]
) -> Footprint:
    number, idle_s = watch
    with serving(server, material, cores=(plan.cores.server,)) as ready:
        running = ready.running
        fresh = running.memory()
        closed(Target(server, ready, material, plan.cores), plan.seconds)
        time.sleep(SETTLE_S)
        before_s, began_s = running.run_s(), time.monotonic()
        time.sleep(idle_s)
        used_s, watched_s = running.run_s() - before_s, time.monotonic() - began_s
        held = running.memory()
    return Footprint(
        server=server.name,
        setting=server.setting,
        round=number,
        ready_s=ready.after_s,
        fresh_resident_bytes=fresh.resident_bytes,
        resident_bytes=held.resident_bytes,
        proportional_bytes=held.proportional_bytes,
        idle_cpu_share=used_s / watched_s,
        idle_s=watched_s,
    )


def drift(plan: Plan, material: Material, server: Server, requests: int) -> Drift:
    """Memory of one server over at least `requests` requests.

    Raises:
        BenchmarkError: They take too long.
    """
    with serving(server, material, cores=(plan.cores.server,)) as ready:
        target = Target(server, ready, material, plan.cores)
        warm = _send(plan, target, round(requests * WARM_SHARE))
        before = ready.running.memory().resident_bytes
        sent = _send(plan, target, requests)
        after = ready.running.memory().resident_bytes
    seen = Drift(server.name, sent, before, after)
    plan.say(f"drift: {server.name}: {seen.share:+.2%} over {sent:,} requests after {warm:,}")
    return seen


def _send(plan: Plan, target: Target, requests: int) -> int:
    sent, ends_at = 0, time.monotonic() + DRIFT_WITHIN_S
    while sent < requests:
        if time.monotonic() > ends_at:
            raise BenchmarkError(f"only {sent:,} of {requests:,} requests in {DRIFT_WITHIN_S:g} s")
        sent += closed(target, plan.seconds).load.requests
    return sent
