"""Takes the turns: which server runs when, and what is measured in its turn."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.serve import _wrk
from benchmarks.serve._environments import echo_program, onnxruntime_library
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Costs, Load, Trial, Turn, Window
from benchmarks.serve._machine import CpuTimes, cpu_times
from benchmarks.serve._protocols import PLAIN
from benchmarks.serve._servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.serve._material import Material
    from benchmarks.serve._processes import Running

MANY_CONNECTIONS = 64
WARM_UP_S = 1.0
TRIAL_S = 2.0
AS_FAST = 0.95
"""Short runs differ by a few per cent by themselves."""


@dataclass(frozen=True)
class Cores:
    """The two cores of a run."""

    server: int
    generator: int


@dataclass(frozen=True)
class Plan:
    """What is run, on what, how often and how long."""

    material: Material
    cores: Cores
    rounds: int
    seconds: float
    say: Callable[[str], None]


@dataclass(frozen=True)
class _Target:
    """A server that is ready to be loaded."""

    server: Server
    running: Running
    address: str


class _Clocks(NamedTuple):
    wall_s: float
    server_s: float
    own_s: float
    machine: CpuTimes


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


def choose(plan: Plan, settings: Sequence[Server]) -> tuple[list[Server], list[Trial]]:
    """The best setting in short runs, then the default if it is another; and what was seen."""
    if len(settings) == 1:
        return list(settings), []
    trials = []
    for server in settings:
        with serving(server, plan.material, core=plan.cores.server) as (running, address):
            window = _window(plan, _Target(server, running, address), MANY_CONNECTIONS, TRIAL_S)
        trials.append(Trial(server.name, server.setting, window.requests_per_s))
        plan.say(
            f"trying {server.name} ({server.setting}): {window.requests_per_s:,.0f} requests/s"
        )
    best = best_setting(settings, [trial.requests_per_s for trial in trials])
    return [best, *([settings[0]] if best is not settings[0] else [])], trials


def best_setting(settings: Sequence[Server], rates: Sequence[float]) -> Server:
    """Of the settings about as fast as the fastest, the one that holds a lone request the least."""
    enough = max(rates) * AS_FAST
    return min(
        (server for server, rate in zip(settings, rates, strict=True) if rate >= enough),
        key=lambda server: server.wait_us,
    )


def rounds(plan: Plan, servers: Sequence[Server]) -> Iterator[Turn]:
    """Every server's turn in every round, one server at a time."""
    for number in range(1, plan.rounds + 1):
        for server in servers:
            turn = _turn(plan, server, number)
            plan.say(
                f"round {number}/{plan.rounds} {server.name} {server.setting}: "
                f"{turn.many.requests_per_s:,.0f} requests/s, alone p50 {turn.one.load.p50_us} us"
            )
            yield turn


def _turn(plan: Plan, server: Server, number: int) -> Turn:
    with serving(server, plan.material, core=plan.cores.server) as (running, address):
        target = _Target(server, running, address)
        _load(plan, target, MANY_CONNECTIONS, WARM_UP_S)
        before = _batches(target)
        many = _window(plan, target, MANY_CONNECTIONS, plan.seconds)
        rows = _mean_rows(before, _batches(target))
        one = _window(plan, target, 1, plan.seconds)
    costs = measure_costs(plan, rows) if server.name == "shoal" and rows else None
    return Turn(server.name, server.setting, number, many, one, rows, costs)


def _load(plan: Plan, target: _Target, connections: int, seconds: float) -> Load:
    protocol = target.server.protocol
    url = f"http://{target.address}{protocol.path}"
    bodies, core = plan.material.bodies(protocol), plan.cores.generator
    return _wrk.load(url, bodies, connections=connections, seconds=seconds, core=core)


def _window(plan: Plan, target: _Target, connections: int, seconds: float) -> Window:
    before = _clocks(target)
    seen = _load(plan, target, connections, seconds)
    after = _clocks(target)
    wall_s, server_s = after.wall_s - before.wall_s, after.server_s - before.server_s
    own_s = after.own_s - before.own_s
    total_s = after.machine.total_s - before.machine.total_s
    foreign_s = after.machine.busy_s - before.machine.busy_s - server_s - own_s
    return Window(
        load=seen,
        requests_per_s=seen.requests_per_s,
        server_cpu_share=server_s / wall_s,
        generator_cpu_share=own_s / wall_s,
        foreign_cpu_share=max(foreign_s, 0.0) / total_s,
        steal_share=(after.machine.steal_s - before.machine.steal_s) / total_s,
    )


def _clocks(target: _Target) -> _Clocks:
    return _Clocks(time.monotonic(), target.running.cpu_s(), _own_s(), cpu_times())


def _own_s() -> float:
    """Processor seconds of this process and the children it has waited for, that is wrk."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def parse_batches(text: str, metric: str) -> tuple[float, float]:
    """(rows, batches) of a Prometheus histogram, all its label sets together."""
    line = re.compile(rf"^{re.escape(metric)}_(sum|count)(?:\{{[^}}]*\}})? (\S+)", re.MULTILINE)
    totals = {"sum": 0.0, "count": 0.0}
    for kind, value in line.findall(text):
        totals[kind] += float(value)
    return totals["sum"], totals["count"]


def _batches(target: _Target) -> tuple[float, float]:
    if target.server.batch_metric is None:
        return 0.0, 0.0
    with urllib.request.urlopen(f"http://{target.address}/metrics", timeout=10) as answer:
        return parse_batches(answer.read().decode(), target.server.batch_metric)


def _mean_rows(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    rows, batches = after[0] - before[0], after[1] - before[1]
    return rows / batches if batches else None


def measure_costs(plan: Plan, mean_rows: float) -> Costs:
    """Parsing and the kernel on the server's core, now that no server runs there."""
    bodies = str(plan.material.bodies(PLAIN))
    sizes = sorted({1, int(mean_rows), int(mean_rows) + 1})
    parse = _measure(plan, "parse", bodies)
    library, model = onnxruntime_library(), str(plan.material.model)
    kernel = _measure(plan, "kernel", library, model, bodies, *map(str, sizes))
    per_call_ns = msgspec.convert(kernel["kernel_ns_per_call"], dict[int, float], strict=False)
    parse_ns = msgspec.convert(parse["parse_ns_per_row"], float)
    return Costs(parse_ns / 1e3, {size: cost / 1e3 for size, cost in per_call_ns.items()})


def _measure(plan: Plan, *words: str) -> dict[str, object]:
    command = ["taskset", "--cpu-list", str(plan.cores.server), echo_program(), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return msgspec.json.decode(done.stdout, type=dict[str, object])
