"""The pictures of docs/concepts/batching.md, played by the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.policy._cases import Case, play
from benchmarks.policy._study import SHOAL, Point, run
from benchmarks.serve._plot import Curve, curves

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COST = {"line": {"a": 0.01, "b": 1.0}}
"""A model whose calls cost 1 ms and whose rows cost 0.01 ms: where waiting matters most."""

CAPACITY = 64 / 1.64
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
LOADS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)

POLICIES: dict[str, dict[str, Any] | str] = {
    "all that waits (delay 0)": {"fixed_delay": {"delay_ms": 0.0}},
    "fixed delay 0.5 ms": {"fixed_delay": {"delay_ms": 0.5}},
    "MLServer, 2 ms": {"ml_server": {"max_wait_ms": 2.0}},
    "TEI": "tei",
    "Shoal": SHOAL,
}


def draw(program: Path, folder: Path) -> list[Path]:
    """Writes the three pictures; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "batching-closed.svg": _closed(program),
        "batching-open.svg": _open(program),
        "batching-mixed.svg": _mixed(program),
    }
    for name, sheet in sheets.items():
        (folder / name).write_text(sheet)
    return [folder / name for name in sheets]


def _case(**load: Any) -> Case:
    return Case("picture", COST, 1.0, CAPACITY, **load)


def _played(program: Path, cases: Sequence[Case]) -> dict[str, list[Point]]:
    return {
        name: run(program, [play(case, policy) for case in cases])
        for name, policy in POLICIES.items()
    }


def _closed(program: Path) -> str:
    seen = _played(program, [_case(clients=each, turnaround_ms=0.3) for each in CLIENTS])
    drawn = [
        Curve(name, [(clients, at.mean_ms) for clients, at in zip(CLIENTS, points, strict=True)])
        for name, points in seen.items()
    ]
    title = "Clients that speak again 0.3 ms after an answer: mean latency"
    return curves(title, "clients", "ms", drawn)


def _open(program: Path) -> str:
    seen = _played(program, [_case(load=each) for each in LOADS])
    drawn = [Curve(name, _below_capacity(points)) for name, points in seen.items()]
    return curves("Strangers (Poisson): mean latency", "requests/ms", "ms", drawn)


def _mixed(program: Path) -> str:
    cases = [_case(load=each, clients=16, turnaround_ms=0.1) for each in LOADS]
    seen = _played(program, cases)
    drawn = [Curve(name, _below_capacity(points)) for name, points in seen.items()]
    return curves(
        "Strangers beside 16 clients that speak again: mean latency of all",
        "answers/ms",
        "ms",
        drawn,
    )


def _below_capacity(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Goodput and latency; a queue that only grows has no latency worth drawing."""
    return [(at.goodput, at.mean_ms) for at in points if at.mean_ms < 30.0]  # noqa: PLR2004
