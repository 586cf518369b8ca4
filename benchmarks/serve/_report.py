"""One run as a value, as a file, and as tables for a terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from benchmarks.serve._figures import Spread, Trial, Turn, spread
from benchmarks.serve._limit import LIMIT_SHARE, Bound, Limit, bounds, limits
from benchmarks.serve._machine import QUIET_SHARE, Machine, Neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STEAL_SHARE = 0.01
"""Above this share of stolen time in a window, the host is named as a disturbance."""

SATURATED_SHARE = 0.97
"""Above this share of its core a program is at its limit."""

HEADER = (
    "server",
    "requests/s, 64 connections",
    "p50 / p99 ms",
    "p50 us, 1 connection",
    "rows per batch",
    "shoal is",
)


class Facts(msgspec.Struct, frozen=True):
    """When, where and with what a run was made."""

    date: str
    commit: str
    machine: Machine
    neighbours: Neighbours
    versions: dict[str, str]
    rounds: int
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """One server with one setting over all rounds."""

    server: str
    setting: str
    requests_per_s: Spread
    many_p50_us: Spread
    many_p99_us: Spread
    one_p50_us: Spread
    one_p99_us: Spread
    batch_rows_mean: Spread | None
    shoal_ratio: Spread | None
    """Shoal's requests per second over this server's, round by round."""


class Result(msgspec.Struct, frozen=True):
    """Everything a run says."""

    facts: Facts
    servers: list[Row]
    limit_requests_per_s: Spread | None
    limits: list[Limit]
    bounds: list[Bound]
    disturbances: list[str]
    trials: list[Trial]
    turns: list[Turn]


def result(facts: Facts, turns: Sequence[Turn], trials: Sequence[Trial]) -> Result:
    """All that follows from the turns."""
    by_server: dict[tuple[str, str], list[Turn]] = {}
    for turn in turns:
        by_server.setdefault((turn.server, turn.setting), []).append(turn)
    rate = {turn.round: turn.many.requests_per_s for turn in turns if turn.server == "shoal"}
    found = limits(turns)
    return Result(
        facts=facts,
        servers=[_row(name, its, rate) for name, its in by_server.items()],
        limit_requests_per_s=spread(one.requests_per_s for one in found) if found else None,
        limits=found,
        bounds=bounds(turns),
        disturbances=disturbances(facts.neighbours, turns),
        trials=list(trials),
        turns=list(turns),
    )


def _row(name: tuple[str, str], turns: Sequence[Turn], rate: dict[int, float]) -> Row:
    def over(value: Callable[[Turn], float]) -> Spread:
        return spread(value(turn) for turn in turns)

    rows = [turn.batch_rows_mean for turn in turns if turn.batch_rows_mean is not None]
    ratios = [rate[turn.round] / turn.many.requests_per_s for turn in turns if turn.round in rate]
    return Row(
        server=name[0],
        setting=name[1],
        requests_per_s=over(lambda turn: turn.many.requests_per_s),
        many_p50_us=over(lambda turn: turn.many.load.p50_us),
        many_p99_us=over(lambda turn: turn.many.load.p99_us),
        one_p50_us=over(lambda turn: turn.one.load.p50_us),
        one_p99_us=over(lambda turn: turn.one.load.p99_us),
        batch_rows_mean=spread(rows) if rows else None,
        shoal_ratio=spread(ratios) if ratios and name[0] != "shoal" else None,
    )


def disturbances(neighbours: Neighbours, turns: Sequence[Turn]) -> list[str]:
    """Sentences that name whoever else used the machine; none on a quiet one."""
    found = []
    if neighbours.busy_share > QUIET_SHARE:
        found.append(
            f"others used {neighbours.busy_share:.0%} of the machine before the run "
            f"(load average {neighbours.load_average_1m:.2f})"
        )
    for turn in turns:
        for window in (turn.many, turn.one):
            where = f"round {turn.round}, {turn.server}"
            if window.foreign_cpu_share > QUIET_SHARE:
                found.append(f"{where}: others used {window.foreign_cpu_share:.0%} of the machine")
            if window.generator_cpu_share > SATURATED_SHARE >= window.server_cpu_share:
                found.append(f"{where}: the load generator was at its limit, the server was not")
            if window.steal_share > STEAL_SHARE:
                found.append(f"{where}: the host took {window.steal_share:.0%} of the machine")
    return found


def table(seen: Result) -> Table:
    """The servers, for a terminal."""
    drawn = Table(*HEADER, title="one core, one row per request, median (least to greatest)")
    for cells in rows(seen):
        drawn.add_row(*cells)
    return drawn


def bounds_table(seen: Result) -> Table:
    """The floors and goals, for a terminal."""
    drawn = Table("", "bound", "measured", "must be", "")
    for one in seen.bounds:
        drawn.add_row(
            one.kind, one.sentence, _spread(one.value, 2), f"{one.bound:g}", _verdict(one)
        )
    return drawn


def markdown(seen: Result) -> str:
    """Both tables, the machine and the disturbances, for a page."""
    machine, facts = seen.facts.machine, seen.facts
    lines = ["**The machine was not quiet: do not quote.**", ""] if seen.disturbances else []
    lines += [_line(HEADER), _line(["---"] * len(HEADER)), *map(_line, rows(seen)), ""]
    lines += [f"- {_sentence(one)}" for one in seen.bounds]
    lines += [
        "",
        f"{facts.date}, commit {facts.commit}, {facts.rounds} rounds of {facts.seconds:g} s;",
    ]
    lines += [
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB,"
    ]
    lines += [f"{machine.system}, kernel {machine.kernel};"]
    lines += [", ".join(f"{name} {version}" for name, version in facts.versions.items()) + "."]
    lines += ["", *(f"- Disturbed: {sentence}" for sentence in seen.disturbances)]
    return "\n".join(lines).strip() + "\n"


def rows(seen: Result) -> list[list[str]]:
    """The cells of the servers' table, the limit last."""
    found = [_cells(row) for row in seen.servers]
    if seen.limit_requests_per_s:
        share = next(one.value.median for one in seen.bounds if one.sentence == LIMIT_SHARE)
        found.append(["limit", _spread(seen.limit_requests_per_s), "", "", "", f"{share:.2f}x"])
    return found


def _cells(row: Row) -> list[str]:
    return [
        f"{row.server} ({row.setting})" if row.setting else row.server,
        _spread(row.requests_per_s),
        f"{row.many_p50_us.median / 1e3:.2f} / {row.many_p99_us.median / 1e3:.2f}",
        _spread(row.one_p50_us),
        f"{row.batch_rows_mean.median:.1f}" if row.batch_rows_mean else "",
        f"{row.shoal_ratio.median:.2f}x" if row.shoal_ratio else "",
    ]


def _sentence(one: Bound) -> str:
    return (
        f"{one.kind}: {one.sentence}: {_spread(one.value, 2)}, bound {one.bound:g}: {_verdict(one)}"
    )


def _verdict(one: Bound) -> str:
    return "reached" if one.reached else "NOT reached"


def _spread(value: Spread, digits: int = 0) -> str:
    median, least, greatest = (
        f"{number:,.{digits}f}" for number in (value.median, value.minimum, value.maximum)
    )
    return f"{median} ({least} to {greatest})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
