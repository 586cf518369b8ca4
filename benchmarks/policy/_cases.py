"""The loads of the study: what is sent, and what a micro-batch costs. Times are in milliseconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROWS = 512
LEAST_ANSWERS = 30_000
"""A 99th percentile of fewer would be noise."""

LINES = ((0.01, 1.0), (0.1, 1.0), (0.02, 0.05), (1.0, 5.0), (1.0, 0.1))
"""Cost of a micro-batch of n rows: a * n + b. From b >> a to b << a."""

STEP = {"a": 0.02, "b": 0.5, "from": 17, "times": 3.0}
"""A cost per row that rises again: from 17 rows on a call takes three times as long."""

LENGTHS = {"median": 100.0, "sigma": 0.6, "longest": 1000}
"""Records of log-normal lengths, as of texts; a row of the median length costs `a`."""

PADDED_LINES = ((0.01, 1.0), (0.1, 1.0), (1.0, 5.0), (1.0, 0.1))
PADDED_LOADS = (0.05, 0.3, 0.6, 0.8)
PADDED_CLIENTS = (4, 16, 64)

OPEN_LOADS = (0.05, 0.3, 0.6, 0.8, 0.95)
CLIENTS = (1, 2, 4, 16, 64)
TURNAROUNDS = (0.05, 0.3, 1.0, 4.0)
MIXED_LOADS = (0.1, 0.3, 0.6)
MIXED_CLIENTS = (4, 16)


class Case(msgspec.Struct, frozen=True):
    """One load on one model; `load` is a share of the capacity."""

    kind: str
    service: dict[str, Any]
    fixed_ms: float
    """What a call costs however few its rows."""
    capacity: float
    """Rows per millisecond, at the best size."""
    load: float = 0.0
    clients: int = 0
    turnaround_ms: float = 0.0
    lengths: dict[str, float] | None = None

    @property
    def name(self) -> str:
        """What a table calls it."""
        parts = [f"open {self.load:.0%}"] if self.load else []
        if self.clients:
            parts.append(f"{self.clients} clients, turnaround {self.turnaround_ms:.3g} ms")
        return " + ".join(parts)

    @property
    def cost(self) -> str:
        """What a table calls its service."""
        (kind, numbers), *_ = self.service.items()
        if kind == "padded":
            return f"{numbers['a']:g} n length + {numbers['b']:g} ms"
        extra = f", x{numbers['times']:g} from {numbers['from']} rows" if kind == "step" else ""
        return f"{numbers['a']:g} n + {numbers['b']:g} ms{extra}"


def cases() -> Iterator[Case]:
    """Open, closed and mixed loads on every service."""
    for service, fixed_ms, capacity in _services():
        for load in OPEN_LOADS:
            yield Case("open", service, fixed_ms, capacity, load=load)
        for clients in CLIENTS:
            for turnaround in TURNAROUNDS:
                yield Case(
                    "closed",
                    service,
                    fixed_ms,
                    capacity,
                    clients=clients,
                    turnaround_ms=turnaround * fixed_ms,
                )
        for load in MIXED_LOADS:
            for clients in MIXED_CLIENTS:
                yield Case(
                    "mixed",
                    service,
                    fixed_ms,
                    capacity,
                    load=load,
                    clients=clients,
                    turnaround_ms=0.1 * fixed_ms,
                )


def padded_cases() -> Iterator[Case]:
    """Open and closed loads of records of different lengths."""
    for of_a_row, b in PADDED_LINES:
        a = of_a_row / LENGTHS["median"]
        service = {"padded": {"a": a, "b": b}}
        capacity = MAX_ROWS / (a * MAX_ROWS * mean_length() + b)
        for load in PADDED_LOADS:
            yield Case("lengths", service, b, capacity, load=load, lengths=LENGTHS)
        for clients in PADDED_CLIENTS:
            yield Case(
                "lengths",
                service,
                b,
                capacity,
                clients=clients,
                turnaround_ms=0.3 * b,
                lengths=LENGTHS,
            )


def mean_length() -> float:
    """The mean of the log-normal lengths, as drawn: before they are rounded up."""
    return LENGTHS["median"] * math.exp(LENGTHS["sigma"] ** 2 / 2)


def _services() -> Iterator[tuple[dict[str, Any], float, float]]:
    for a, b in LINES:
        yield {"line": {"a": a, "b": b}}, b, MAX_ROWS / (a * MAX_ROWS + b)
    before = STEP["from"] - 1
    yield {"step": STEP}, STEP["b"], before / (STEP["a"] * before + STEP["b"])


def play(case: Case, policy: dict[str, Any] | str, slower: float = 1.0) -> dict[str, Any]:
    """A play of the simulator; closed clients take `slower` times their turnaround."""
    sources: list[dict[str, Any]] = []
    if case.load:
        timing = {"open": {"per_ms": [case.load * case.capacity], "connections": 200}}
        sources.append({"timing": timing})
    if case.clients:
        closed = {"clients": case.clients, "turnaround_ms": case.turnaround_ms * slower}
        sources.append({"timing": {"closed": closed}})
    if case.lengths:
        sources = [{**source, "request": {"lengths": case.lengths}} for source in sources]
    workload = {"span_ms": _span_ms(case), "sources": sources, "seed": 1}
    model = {"policy": policy, "service": case.service, "max_rows": MAX_ROWS}
    return {"workload": workload, "models": [model]}


def _span_ms(case: Case) -> float:
    """Long enough for `LEAST_ANSWERS`, as far as that can be told beforehand."""
    one_ms = case.fixed_ms + (1.0 / case.capacity)
    closed = case.clients / (case.turnaround_ms + one_ms) if case.clients else 0.0
    rate = min(case.load * case.capacity + closed, case.capacity)
    return min(LEAST_ANSWERS / rate, 20_000 * one_ms)
