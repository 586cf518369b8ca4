"""The suite `threads`: what a request costs the processor on a server of one thread, and of two.

Both may use both cores; the generator takes its share of one. The cost is the processor time of the
whole process tree over the load, by the number of requests that it answered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.serve._readings import Failed, ThreadCost
from benchmarks.serve._rounds import Plan, attempt
from benchmarks.serve._servers import Server, serving
from benchmarks.serve._window import Target, closed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serve._material import Material

COUNTS = (1, 2)
WARM_UP_S = 1.0


def on_threads(server: Server, count: int) -> Server:
    """Shoal on so many threads."""
    return replace(server, command=(*server.command, "--threads", str(count)))


def thread_costs(plan: Plan, material: Material, server: Server) -> Iterator[ThreadCost | Failed]:
    """The cost on every number of threads in every round."""
    for number in range(1, plan.rounds + 1):
        for count in COUNTS:
            yield _attempt(plan, material, on_threads(server, count), (number, count))


def _attempt(
    plan: Plan, material: Material, server: Server, turn: tuple[int, int]
) -> ThreadCost | Failed:
    where = f"round {turn[0]}, {turn[1]} threads"
    seen = attempt(plan, server, where, lambda: _cost(plan, material, server, turn))
    if isinstance(seen, ThreadCost):
        plan.say(f"{where}: {seen.us_per_request:.2f} us per request")
    return seen


def _cost(plan: Plan, material: Material, server: Server, turn: tuple[int, int]) -> ThreadCost:
    cores = (plan.cores.server, plan.cores.generator)
    with serving(server, material, cores=cores) as ready:
        target = Target(server, ready, material, plan.cores)
        closed(target, WARM_UP_S)
        before_s = ready.running.run_s()
        requests = closed(target, plan.seconds).load.requests
        used_s = ready.running.run_s() - before_s
    return ThreadCost(turn[0], turn[1], used_s * 1e6 / requests)
