"""The suites `loads` and `forms`: each server under several loads, and asked in several forms.

A cell is one load in one form. A peer that fails in a cell is named there and has its other cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.serve._figures import MANY_CONNECTIONS, OVERLOAD_SHARE
from benchmarks.serve._protocols import BLOCK_ROWS
from benchmarks.serve._readings import Failed, ModelCosts, Reading, is_capacity
from benchmarks.serve._rounds import Plan, attempt
from benchmarks.serve._servers import Server, serving, with_model
from benchmarks.serve._window import (
    Target,
    batches,
    closed,
    mean_rows,
    measure_costs,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.serve._figures import Window
    from benchmarks.serve._material import Material
    from benchmarks.serve._protocols import Protocol

CONNECTIONS = (1, 8, 64, 256)
OPEN_CONNECTIONS = 256
OFFERED_SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, OVERLOAD_SHARE)
"""Of what the server answered at 64 connections in the same turn."""


@dataclass(frozen=True)
class _Cell:
    """One load in one form."""

    protocol: Protocol
    connections: int = MANY_CONNECTIONS
    offered_per_s: float | None = None
    offered_share: float | None = None

    @property
    def words(self) -> str:
        """The cell in a sentence."""
        form = f"{self.protocol.form}, {self.connections} connections"
        return form if self.offered_share is None else f"{form}, {self.offered_share:.0%} offered"


@dataclass(frozen=True)
class _Visit:
    """One server that runs, in one round."""

    plan: Plan
    target: Target
    round: int
    part: Literal["loads", "forms"]

    def take(self, cell: _Cell) -> Reading | Failed:
        """One cell."""
        server, model = self.target.server, self.target.material.name
        where = f"round {self.round}, {model}, {cell.words}"
        seen = attempt(self.plan, server, where, lambda: self._reading(cell))
        if isinstance(seen, Reading):
            name = f"{where}: {server.name} {server.setting}"
            p99_ms = seen.window.load.p99_us / 1e3
            self.plan.say(f"{name}: {seen.rows_per_s:,.0f} rows/s, p99 {p99_ms:.2f} ms")
        return seen

    def _reading(self, cell: _Cell) -> Reading:
        before = batches(self.target)
        window = self._window(cell)
        return Reading(
            part=self.part,
            server=self.target.server.name,
            setting=self.target.server.setting,
            model=self.target.material.name,
            form=cell.protocol.form,
            rows_per_request=cell.protocol.rows,
            round=self.round,
            connections=cell.connections,
            offered_per_s=cell.offered_per_s,
            offered_share=cell.offered_share,
            window=window,
            batch_rows_mean=mean_rows(before, batches(self.target)),
        )

    def _window(self, cell: _Cell) -> Window:
        seconds, connections = self.plan.seconds, cell.connections
        if cell.offered_per_s is None:
            protocol = cell.protocol
            return closed(self.target, seconds, connections=connections, protocol=protocol)
        rate_per_s = cell.offered_per_s
        return opened(self.target, seconds, rate_per_s=rate_per_s, connections=connections)


def loads(plan: Plan, material: Material, servers: Sequence[Server]) -> Iterator[Reading | Failed]:
    """Closed loops with 1 to 256 connections in every form, then open loops up to overload."""
    for number in range(1, plan.rounds + 1):
        for server in servers:
            yield from _visit(plan, server, material, (number, "loads"))


def forms(plan: Plan, servers: Sequence[Server]) -> Iterator[Reading | ModelCosts | Failed]:
    """Every model in every form that a server speaks, at 64 connections; then the bare costs."""
    for number in range(1, plan.rounds + 1):
        for material in plan.materials.values():
            seen = [
                reading
                for server in servers
                for reading in _visit(plan, server, material, (number, "forms"))
            ]
            yield from seen
            costs = measure_costs(material, plan.cores.server, shoal_rows(seen), BLOCK_ROWS)
            yield ModelCosts(material.name, number, costs)


def shoal_rows(seen: Sequence[Reading | Failed]) -> float:
    """Mean rows of Shoal's micro-batches when it was asked in JSON; 1 where it was not."""
    found = [
        reading.batch_rows_mean
        for reading in seen
        if isinstance(reading, Reading) and (reading.server, reading.form) == ("shoal", "json")
    ]
    return next((rows for rows in found if rows), 1.0)


def _visit(
    plan: Plan,
    server: Server,
    material: Material,
    turn: tuple[int, Literal["loads", "forms"]],
) -> list[Reading | Failed]:
    """One server's cells; a peer that does not start fails in all of them at once."""
    number, part = turn

    def cells() -> list[Reading | Failed]:
        own = with_model(server, material)
        with serving(own, material, cores=(plan.cores.server,)) as ready:
            target = Target(own, ready, material, plan.cores)
            closed(target, server.warm_up_s)
            return _PARTS[part](_Visit(plan, target, number, part))

    seen = attempt(plan, server, f"round {number}, {material.name}", cells)
    return [seen] if isinstance(seen, Failed) else seen


def _under_loads(visit: _Visit) -> list[Reading | Failed]:
    server = visit.target.server
    seen = [
        visit.take(_Cell(protocol, connections))
        for protocol in server.protocols
        for connections in CONNECTIONS
    ]
    capacity = next((one.window.requests_per_s for one in seen if is_capacity(one)), None)
    if capacity:
        seen += [
            visit.take(_Cell(server.protocol, OPEN_CONNECTIONS, capacity * share, share))
            for share in OFFERED_SHARES
        ]
    return seen


def _in_forms(visit: _Visit) -> list[Reading | Failed]:
    return [visit.take(_Cell(protocol)) for protocol in visit.target.server.protocols]


_PARTS: dict[str, Callable[[_Visit], list[Reading | Failed]]] = {
    "loads": _under_loads,
    "forms": _in_forms,
}
