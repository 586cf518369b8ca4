"""Takes the turns: a server on one core, and on the other whoever asks it, one after the other.

The processor time of the server is that of all its threads, those that have ended, too
(`/proc/PID/stat`). What neither it nor those who ask have used is others'.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.serve import _wrk
from benchmarks.serve._environments import program
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._machine import CpuTimes, cpu_times
from benchmarks.serve._material import Aim
from benchmarks.serve._processes import Program, Running, started
from benchmarks.serve._protocols import check
from benchmarks.serve._window import Cores, mean_rows, measure_costs, own_s, read_batches
from benchmarks.tasks._figures import Kernel, Seen, Turn
from benchmarks.tasks._protocols import PROTOCOLS, TASKS
from tools.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.serve._material import Material
    from benchmarks.tasks._callers import Place
    from benchmarks.tasks._ways import Way

READY_WITHIN_S, GRACE_S = 90.0, 60.0
CLIENT = ROOT / "clients" / "javascript" / "dist" / "index.js"
JAVASCRIPT = ROOT / "benchmarks" / "tasks" / "load.mjs"
METRIC = "shoal_batch_rows"
FEWEST_WRK_S = 1.0
MORE_ROWS = (2 * TASKS, 4 * TASKS)
"""Micro-batches of a server with several envelopes in flight are larger."""


class _Clocks(NamedTuple):
    server_s: float
    all_s: float
    machine: CpuTimes
    batches: tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """A server, and who asks it; all of them live until the run ends."""

    material: Material
    place: Place
    cores: Cores
    server: Running
    askers: dict[str, Running]

    def turn(self, way: Way, number: int, seconds: float) -> Turn:
        """Asks in one way for so long.

        Raises:
            BenchmarkError: An answer was wrong, or did not come.
        """
        before = self._clocks()
        seen = self._ask(way, seconds)
        after = self._clocks()
        total_s = max(after.machine.total_s - before.machine.total_s, 1e-9)
        busy_s = after.machine.busy_s - before.machine.busy_s
        others_s = max(busy_s - (after.all_s - before.all_s), 0.0)
        rows = after.batches[0] - before.batches[0]
        return Turn(
            way=way.title,
            round=number,
            seen=seen,
            server_us_per_task=(after.server_s - before.server_s) * 1e6 / max(rows, 1.0),
            batch_rows_mean=mean_rows(before.batches, after.batches),
            others_share=others_s / total_s,
            steal_share=(after.machine.steal_s - before.machine.steal_s) / total_s,
        )

    def kernel(self, way: Way, number: int) -> Kernel:
        """The model alone, on the server's core, while nobody asks: right after a turn of `way`."""
        costs = measure_costs(self.material, self.cores.server, TASKS, *MORE_ROWS)
        return Kernel(way.title, number, costs)

    def _ask(self, way: Way, seconds: float) -> Seen:
        if way.program == "wrk":
            return self._wrk(way, seconds)
        job = json.dumps({**way.job, "seconds": seconds})
        said = self.askers[way.program].answer(job, 2 * seconds + GRACE_S)
        return msgspec.json.decode(said, type=Seen)

    def _wrk(self, way: Way, seconds: float) -> Seen:
        protocol = PROTOCOLS[str(way.job["protocol"])]
        aim = Aim(self.material, protocol, self.place.http)
        seconds = max(seconds, FEWEST_WRK_S)
        connections, core = int(way.job["connections"]), self.cores.generator
        seen = _wrk.load(aim, connections=connections, seconds=seconds, core=core)
        return Seen(seen.requests * protocol.rows, seen.duration_us / 1e6, float(seen.p50_us))

    def _clocks(self) -> _Clocks:
        askers_s = sum(each.cpu_s() for each in self.askers.values())
        all_s = self.server.cpu_s() + askers_s + own_s()
        batches = read_batches(self.place.http, METRIC)
        return _Clocks(self.server.cpu_s(), all_s, cpu_times(), batches)


@contextmanager
def stage(material: Material, packages: list[Path], cores: Cores) -> Iterator[Stage]:
    """Starts the server and those who ask, and ends them.

    Raises:
        BenchmarkError: One of them is missing, or the server answers wrongly.
    """
    folder = material.directory
    with ExitStack() as opened:

        def start(name: str, what: Program, core: int) -> tuple[Running, dict[str, str]]:
            running = opened.enter_context(started(what, cores=(core,), log=folder / f"{name}.log"))
            return running, json.loads(running.first_line(READY_WITHIN_S))

        server, said = start("server", _server(packages), cores.server)
        place = _place(material, said)
        for protocol in PROTOCOLS.values():
            check(place.http, protocol, material.rows, material.labels)
        askers = {
            name: start(name, what, cores.generator)[0] for name, what in _askers(place).items()
        }
        yield Stage(material, place, cores, server, askers)


def _server(packages: list[Path]) -> Program:
    shoal = (sys.executable, "-m", "shoal.cli", "serve", *map(str, packages))
    addresses = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    return Program((*shoal, *addresses, "--profile-cache", "off"), announces=True)


def _place(material: Material, said: dict[str, str]) -> Place:
    from benchmarks.tasks._callers import Place

    rows = material.directory / "rows.json"
    rows.write_text(json.dumps({"rows": material.rows, "labels": material.labels}))
    mixed = str(material.directory / "mixed.parquet")
    return Place(said["http"], said["grpc"], str(rows), mixed)


def _askers(place: Place) -> dict[str, Program]:
    if not CLIENT.exists():
        remedy = "npm ci, in clients/javascript"
        raise BenchmarkError(f"the JavaScript client is not built: {remedy}")
    given = msgspec.json.encode(place).decode()
    node = program("node", "apt-get install nodejs, version 20 or later")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    python = (sys.executable, "-m", "benchmarks.tasks._load", given)
    javascript = (node, str(JAVASCRIPT), str(CLIENT), given)
    return {
        "python": Program(python, {"PYTHONPATH": path}, announces=True, listens=True),
        "javascript": Program(javascript, announces=True, listens=True),
    }
