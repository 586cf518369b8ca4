"""A run as tables, as a page and as a picture: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.serve._figures import Spread, spread
from benchmarks.serve._machine import QUIET_SHARE
from benchmarks.serve._plot import Bar, bars
from benchmarks.serve._report import STEAL_SHARE
from benchmarks.serve._tables import BOUNDS, Grid, bound_cells
from benchmarks.tasks._figures import by_way, rates

if TYPE_CHECKING:
    from benchmarks.tasks._figures import Result, Turn

TURNS = (
    "way",
    "tasks/s",
    "p50 of a call, us",
    "server us per row",
    "rows per micro-batch",
    "others, %",
)
SIZES = ("10,000 rows of 20 columns", "request, MB", "answer, MB")
SERVER = "server: "


def grids(seen: Result) -> list[Grid]:
    """Every table, the floors and goals last."""
    measured = seen.measured
    turns = [_turn(way, its) for way, its in by_way(measured.turns).items()]
    sizes = [
        [name, f"{each.sent_bytes / 1e6:.2f}", f"{each.received_bytes / 1e6:.2f}"]
        for name, each in measured.sizes.items()
    ]
    return [
        Grid(
            "server on one core, whoever asks on another; median (least to greatest)", TURNS, turns
        ),
        Grid("bytes on the wire", SIZES, sizes),
        Grid("floors and goals", BOUNDS, [bound_cells(one) for one in seen.bounds]),
    ]


def _turn(way: str, turns: list[Turn]) -> list[str]:
    rows = [turn.batch_rows_mean for turn in turns if turn.batch_rows_mean is not None]
    return [
        way,
        _shown(rates(turns)),
        _p50s(turns),
        _shown(spread(turn.server_us_per_task for turn in turns), 2),
        f"{spread(rows).median:.1f}" if rows else "",
        f"{max(turn.others_share for turn in turns) * 100:.1f}",
    ]


def _p50s(turns: list[Turn]) -> str:
    off = [turn.seen.off_p50_us for turn in turns if turn.seen.off_p50_us is not None]
    on = _shown(spread(turn.seen.p50_us for turn in turns))
    return f"on {on}, off {_shown(spread(off))}" if off else on


def _shown(value: Spread, digits: int = 0) -> str:
    return (
        f"{value.median:,.{digits}f} ({value.minimum:,.{digits}f} to {value.maximum:,.{digits}f})"
    )


def disturbances(seen: Result) -> list[str]:
    """What makes a run not quotable, in sentences."""
    before = seen.facts.neighbours
    found = [f"others used {before.busy_share:.0%} of the machine before the run"]
    found = found if before.busy_share > QUIET_SHARE else []
    for way, its in by_way(seen.measured.turns).items():
        others = max(turn.others_share for turn in its)
        stolen = max(turn.steal_share for turn in its)
        if others > QUIET_SHARE:
            found.append(f"{way}: others used up to {others:.0%} of the machine")
        if stolen > STEAL_SHARE:
            found.append(f"{way}: the host took up to {stolen:.1%} of the time")
    return found + ["files differed from the commit"] * seen.facts.is_changed


def markdown(seen: Result) -> str:
    """The run as a page."""
    facts, machine, wrong = seen.facts, seen.facts.machine, disturbances(seen)
    lines = (
        ["**The machine was not quiet, or files were changed: do not quote.**", ""] if wrong else []
    )
    lines += [line for grid in grids(seen) for line in grid.markdown()]
    before, others = facts.neighbours, "before the run others used"
    lines += [
        f"{facts.date}, commit {facts.commit[:10]},",
        f"{facts.rounds} rounds, windows of {facts.seconds:g} s;",
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB,",
        f"{machine.system}, kernel {machine.kernel};",
        f"{others} {before.busy_share:.1%} of the machine, its host {before.steal_share:.1%};",
        ", ".join(f"{name} {version}" for name, version in facts.versions.items()) + ".",
        "",
        *(f"- Disturbed: {sentence}." for sentence in wrong),
    ]
    return "\n".join(lines).strip() + "\n"


def picture(seen: Result) -> str | None:
    """Tasks per second of the ways that ask for single rows; None where none of them was asked."""
    asked = {
        way: its
        for way, its in by_way(seen.measured.turns).items()
        if not way.startswith(("tables: ", "alone: ", SERVER))
    }
    drawn = [Bar(way, rates(its), "tritonclient" not in way) for way, its in asked.items()]
    return bars("Tasks per second, one row each; the server on one core", drawn) if drawn else None
