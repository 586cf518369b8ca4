"""One load on one server and who used the processor meanwhile; what a row costs without one."""

from __future__ import annotations

import re
import resource
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.serve import _h2load, _oha, _wrk
from benchmarks.serve._environments import echo_program, onnxruntime_library
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import MANY_CONNECTIONS, Costs, Load, Window
from benchmarks.serve._machine import CpuTimes, cpu_times
from benchmarks.serve._material import Aim
from benchmarks.serve._protocols import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.serve._material import Material
    from benchmarks.serve._protocols import Protocol
    from benchmarks.serve._servers import Ready, Server


@dataclass(frozen=True)
class Cores:
    """The two cores of a run."""

    server: int
    generator: int


@dataclass(frozen=True)
class Target:
    """A server that is ready to be loaded."""

    server: Server
    ready: Ready
    material: Material
    cores: Cores

    def aim(self, protocol: Protocol | None = None) -> Aim:
        """Where the generator sends what; JSON unless said otherwise."""
        protocol = protocol or self.server.protocol
        return Aim(self.material, protocol, self.ready.address(protocol))


class _Clocks(NamedTuple):
    wall_s: float
    server_s: float
    own_s: float
    machine: CpuTimes


def closed(
    target: Target,
    seconds: float,
    *,
    connections: int = MANY_CONNECTIONS,
    protocol: Protocol | None = None,
) -> Window:
    """Each connection asks again as soon as it was answered."""
    aim = target.aim(protocol)
    load = _h2load.load if aim.protocol.form == "grpc" else _wrk.load

    def run() -> Load:
        return load(aim, connections=connections, seconds=seconds, core=target.cores.generator)

    return _window(target, run)


def opened(target: Target, seconds: float, *, rate_per_s: float, connections: int) -> Window:
    """Requests are due at a fixed rate, whether earlier ones were answered or not."""

    def run() -> Load:
        return _oha.load(
            target.aim(),
            rate_per_s=rate_per_s,
            connections=connections,
            seconds=seconds,
            core=target.cores.generator,
        )

    return _window(target, run)


def _window(target: Target, run: Callable[[], Load]) -> Window:
    before = _clocks(target)
    seen = run()
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


def _clocks(target: Target) -> _Clocks:
    return _Clocks(time.monotonic(), target.ready.running.cpu_s(), own_s(), cpu_times())


def own_s() -> float:
    """Processor seconds of this process and the children it has waited for: the generators."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def parse_batches(text: str, metric: str) -> tuple[float, float]:
    """(rows, batches) of a Prometheus histogram, all its label sets together."""
    line = re.compile(rf"^{re.escape(metric)}_(sum|count)(?:\{{[^}}]*\}})? (\S+)", re.MULTILINE)
    totals = {"sum": 0.0, "count": 0.0}
    for kind, value in line.findall(text):
        totals[kind] += float(value)
    return totals["sum"], totals["count"]


def batches(target: Target) -> tuple[float, float]:
    """(rows, batches) so far, as the server's own metrics tell."""
    metric = target.server.batch_metric
    return (0.0, 0.0) if metric is None else read_batches(target.ready.http, metric)


def read_batches(address: str, metric: str) -> tuple[float, float]:
    """The same of the server at HOST:PORT."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return parse_batches(answer.read().decode(), metric)


def mean_rows(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """Rows per batch between two looks; none where the server does not tell."""
    rows, number = after[0] - before[0], after[1] - before[1]
    return rows / number if number else None


def measure_costs(material: Material, core: int, rows: float, *more: int) -> Costs:
    """Parsing and the kernel on the server's core, when no server runs there.

    The kernel is called with the sizes around `rows`, with one row, and with `more`.
    """
    bodies = str(material.bodies(PLAIN))
    sizes = sorted({1, int(rows), int(rows) + 1, *more})
    parse = _measure(core, "parse", bodies)
    library, model = onnxruntime_library(), str(material.model)
    kernel = _measure(core, "kernel", library, model, bodies, *map(str, sizes))
    per_call_ns = msgspec.convert(kernel["kernel_ns_per_call"], dict[int, float], strict=False)
    parse_ns = msgspec.convert(parse["parse_ns_per_row"], float)
    return Costs(parse_ns / 1e3, {size: cost / 1e3 for size, cost in per_call_ns.items()})


def _measure(core: int, *words: str) -> dict[str, object]:
    command = ["taskset", "--cpu-list", str(core), echo_program(), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"the costs could not be measured: {error}") from error
    return msgspec.json.decode(done.stdout, type=dict[str, object])
