"""Which pictures a run gives: throughput by server, latency against offered load, one per form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.serve._figures import spread
from benchmarks.serve._plot import Bar, Curve, bars, curves

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.serve._readings import Reading
    from benchmarks.serve._report import Result

LEAST_LATENCY_MS = 0.001


def pictures(seen: Result) -> dict[str, str]:
    """SVG by the word that ends its file's name."""
    found: dict[str, str] = {}
    if seen.servers:
        found["throughput"] = _throughput(seen)
    if latency := _latency_curves(seen.seen.readings):
        title = "Open loop: latency of the slowest hundredth against offered load"
        found["latency"] = curves(title, "requests offered per second", "p99, ms", latency)
    found |= dict(_forms(seen.seen.readings))
    return found


def _throughput(seen: Result) -> str:
    drawn = [
        Bar(_named(row.server, row.setting), row.requests_per_s, row.server == "shoal")
        for row in seen.servers
    ]
    if seen.limit_requests_per_s:
        drawn.append(Bar("limit: echo + parse + kernel", seen.limit_requests_per_s))
    return bars("Requests per second on one core, 64 connections, one row each", drawn)


def _latency_curves(readings: Sequence[Reading]) -> list[Curve]:
    """One curve for each server: medians of the rounds at each share of its capacity."""
    by: dict[str, dict[float, list[Reading]]] = {}
    for one in readings:
        if one.offered_share is not None:
            by.setdefault(one.server, {}).setdefault(one.offered_share, []).append(one)
    return [
        Curve(server, [_point(its[share]) for share in sorted(its)]) for server, its in by.items()
    ]


def _point(its: Sequence[Reading]) -> tuple[float, float]:
    offered = spread(one.offered_per_s or 1.0 for one in its).median
    p99_ms = spread(one.window.load.p99_us / 1e3 for one in its).median
    return offered, max(p99_ms, LEAST_LATENCY_MS)


def _forms(readings: Sequence[Reading]) -> Iterator[tuple[str, str]]:
    asked = [one for one in readings if one.part == "forms"]
    for form in dict.fromkeys(one.form for one in asked):
        by: dict[tuple[str, str], list[float]] = {}
        for one in asked:
            if one.form == form:
                by.setdefault((one.model, one.server), []).append(one.rows_per_s)
        drawn = [
            Bar(f"{model}: {server}", spread(rates), server == "shoal")
            for (model, server), rates in by.items()
        ]
        yield form, bars(f"Rows per second on one core, 64 connections, {form}", drawn)


def _named(server: str, setting: str) -> str:
    return f"{server} ({setting})" if setting else server
