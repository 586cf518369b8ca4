"""Takes the turns: which server runs when, which setting it has, and what is measured in its turn.

A peer that fails is named in the result and the run goes on; without Shoal or echo there is nothing
to compare with, and the run is given up.
"""

from __future__ import annotations

import http.client
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Trial, Turn
from benchmarks.serve._readings import Failed
from benchmarks.serve._servers import PEERS, Server, serving
from benchmarks.serve._window import (
    Cores,
    Target,
    batches,
    closed,
    mean_rows,
    measure_costs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.serve._material import Material

TRIAL_S = 2.0
AS_FAST = 0.95
"""Short runs differ by a few per cent by themselves."""

FAULTS = (
    BenchmarkError,
    OSError,
    http.client.HTTPException,
    subprocess.SubprocessError,
    ValueError,  # an answer that cannot be read
    KeyError,
)
"""What a server that misbehaves can cause."""

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Plan:
    """What is run, on what, how often and how long."""

    materials: Mapping[str, Material]
    cores: Cores
    rounds: int
    seconds: float
    say: Callable[[str], None]


def pin() -> Cores:
    """Two cores of this process: the last for servers; this process moves to the first, beside wrk.

    Raises:
        BenchmarkError: There is only one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004  (one for the server, one for the load)
        raise BenchmarkError("two cores are needed: one for the server, one for the load generator")
    os.sched_setaffinity(0, {cores[0]})
    return Cores(server=cores[-1], generator=cores[0])


def attempt(plan: Plan, server: Server, where: str, work: Callable[[], Seen]) -> Seen | Failed:
    """What `work` gives, or how a peer failed.

    Raises:
        BenchmarkError: It was no peer.
    """
    try:
        return work()
    except FAULTS as error:
        if server.name not in PEERS:
            raise BenchmarkError(f"{where}, {server.name}: {error}") from error
        kind = "" if isinstance(error, BenchmarkError) else f"{type(error).__name__}: "
        failed = Failed(server.name, server.setting, where, f"{kind}{error}")
        plan.say(f"FAILED {where}, {server.name} ({server.setting}): {error}")
        return failed


def choose(
    plan: Plan, material: Material, settings: Sequence[Server]
) -> tuple[list[Server], list[Trial], list[Failed]]:
    """The best setting in short runs, then the default if it is another; and what was seen."""
    if len(settings) == 1:
        return list(settings), [], []
    able: list[Server] = []
    trials: list[Trial] = []
    failures: list[Failed] = []
    for server in settings:
        seen = attempt(plan, server, "trial", lambda server=server: _trial(plan, material, server))  # type: ignore[misc]  # a default binds the loop's value
        if isinstance(seen, Failed):
            failures.append(seen)
        else:
            able.append(server)
            trials.append(seen)
    if not able:
        return [], trials, failures
    best = best_setting(able, [trial.requests_per_s for trial in trials])
    default = [server for server in able if server.is_default and server is not best]
    return [best, *default], trials, failures


def _trial(plan: Plan, material: Material, server: Server) -> Trial:
    with serving(server, material, cores=(plan.cores.server,)) as ready:
        target = Target(server, ready, material, plan.cores)
        closed(target, server.warm_up_s)
        window = closed(target, TRIAL_S)
    plan.say(f"trying {server.name} ({server.setting}): {window.requests_per_s:,.0f} requests/s")
    return Trial(server.name, server.setting, window.requests_per_s)


def best_setting(settings: Sequence[Server], rates: Sequence[float]) -> Server:
    """Of the settings about as fast as the fastest, the one that holds a lone request the least."""
    enough = max(rates) * AS_FAST
    return min(
        (server for server, rate in zip(settings, rates, strict=True) if rate >= enough),
        key=lambda server: server.wait_us,
    )


def rounds(plan: Plan, material: Material, servers: Sequence[Server]) -> Iterator[Turn | Failed]:
    """Every server's turn in every round, one server at a time."""
    for number in range(1, plan.rounds + 1):
        for server in servers:
            yield _turn_or_failure(plan, material, server, number)


def _turn_or_failure(plan: Plan, material: Material, server: Server, number: int) -> Turn | Failed:
    seen = attempt(plan, server, f"round {number}", lambda: _turn(plan, material, server, number))
    if isinstance(seen, Turn):
        plan.say(
            f"round {number}/{plan.rounds} {server.name} {server.setting}: "
            f"{seen.many.requests_per_s:,.0f} requests/s, alone p50 {seen.one.load.p50_us} us"
        )
    return seen


def _turn(plan: Plan, material: Material, server: Server, number: int) -> Turn:
    with serving(server, material, cores=(plan.cores.server,)) as ready:
        target = Target(server, ready, material, plan.cores)
        closed(target, server.warm_up_s)
        before = batches(target)
        many = closed(target, plan.seconds)
        rows = mean_rows(before, batches(target))
        one = closed(target, plan.seconds, connections=1)
    costs = None
    if server.name == "shoal" and rows:
        costs = measure_costs(material, plan.cores.server, rows)
    return Turn(
        server=server.name,
        setting=server.setting,
        round=number,
        many=many,
        one=one,
        batch_rows_mean=rows,
        costs=costs,
        is_default=server.is_default,
    )
