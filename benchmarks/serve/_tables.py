"""A run as tables, for a terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rich.table import Table

from benchmarks.serve._bounds import LIMIT_SHARE, Bound
from benchmarks.serve._figures import Spread, spread
from benchmarks.serve._limit import bare_rows_per_s
from benchmarks.serve._protocols import BLOCK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.serve._readings import Footprint, Reading, ThreadCost
    from benchmarks.serve._report import Result, Row


One = TypeVar("One")
Key = TypeVar("Key")


class Grid(NamedTuple):
    """One table."""

    title: str
    header: Sequence[str]
    rows: list[list[str]]

    def rich(self) -> Table:
        """For a terminal."""
        drawn = Table(*self.header, title=self.title)
        for cells in self.rows:
            drawn.add_row(*cells)
        return drawn

    def markdown(self) -> list[str]:
        """Lines for a page."""
        lines = [_line(self.header), _line(["---"] * len(self.header)), *map(_line, self.rows)]
        return [f"**{self.title}**", "", *lines, ""]


def grids(seen: Result) -> list[Grid]:
    """Every table that has a row, the bounds last."""
    readings = seen.seen.readings
    found = [
        Grid("one core, one row per request, median (least to greatest)", SERVERS, servers(seen)),
        Grid("by load: the model digits", LOADS, loads(readings)),
        Grid("by model and form, 64 connections", FORMS, forms(seen)),
        Grid("when nobody asks", FOOTPRINTS, footprints(seen.seen.footprints)),
        Grid("by threads of the server", THREADS, threads(seen.seen.thread_costs)),
        Grid("failed", FAILED, failures(seen)),
        Grid("floors and goals", BOUNDS, [bound_cells(one) for one in seen.bounds]),
    ]
    return [grid for grid in found if grid.rows]


def markdown(seen: Result) -> str:
    """All tables, the machine and the disturbances, for a page."""
    machine, facts = seen.facts.machine, seen.facts
    quiet = not seen.disturbances
    lines = [] if quiet else ["**The machine was not quiet: do not quote.**", ""]
    lines += [line for grid in grids(seen) for line in grid.markdown()]
    rounds = ", ".join(f"{part} {number}" for part, number in facts.rounds.items())
    lines += [
        f"{facts.date}, commit {facts.commit}, suite {facts.suite},",
        f"rounds: {rounds}, windows of {facts.seconds:g} s;",
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB,",
        f"{machine.system}, kernel {machine.kernel};",
        ", ".join(f"{name} {version}" for name, version in facts.versions.items()) + ".",
        "",
        *(f"- Disturbed: {sentence}" for sentence in seen.disturbances),
    ]
    return "\n".join(lines).strip() + "\n"


SERVERS = (
    "server",
    "requests/s, 64 connections",
    "p50 / p99 ms",
    "p50 us, 1 connection",
    "rows per batch",
    "shoal is",
)


def servers(seen: Result) -> list[list[str]]:
    """The servers of the rounds, the limit last."""
    found = [_server(row) for row in seen.servers]
    if seen.limit_requests_per_s:
        share = next(one.value for one in seen.bounds if one.sentence == LIMIT_SHARE)
        words = f"{share.median:.2f}x" if share else ""
        found.append(["limit", _spread(seen.limit_requests_per_s), "", "", "", words])
    return found


def _server(row: Row) -> list[str]:
    return [
        _named(row.server, row.setting),
        _spread(row.requests_per_s),
        f"{row.many_p50_us.median / 1e3:.2f} / {row.many_p99_us.median / 1e3:.2f}",
        _spread(row.one_p50_us),
        f"{row.batch_rows_mean.median:.1f}" if row.batch_rows_mean else "",
        f"{row.shoal_ratio.median:.2f}x" if row.shoal_ratio else "",
    ]


LOADS = (
    "server",
    "form",
    "load",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "server us per request",
    "refused",
)


def loads(readings: Iterable[Reading]) -> list[list[str]]:
    """Readings of the suite `loads`, by server and load; none where loads were not varied."""
    varied = [one for one in readings if one.part == "loads"]
    by = _by(
        varied, lambda one: (one.server, one.setting, one.form, one.connections, one.offered_share)
    )
    return [
        [_named(server, setting), _form(its[0]), _load(its[0]), *_timed(its), _refused(its)]
        for (server, setting, *_), its in by.items()
    ]


def _load(reading: Reading) -> str:
    if reading.offered_share is None:
        return f"{reading.connections} connections"
    return f"{reading.offered_share:.0%} offered"


def _timed(its: Sequence[Reading]) -> list[str]:
    def over(value: Callable[[Reading], float], digits: int) -> str:
        return _spread(spread(map(value, its)), digits)

    return [
        over(lambda one: one.window.requests_per_s, 0),
        over(lambda one: one.window.load.p50_us / 1e3, 2),
        over(lambda one: one.window.load.p99_us / 1e3, 2),
        over(lambda one: one.window.cpu_us_per_request, 1),
    ]


def _refused(its: Sequence[Reading]) -> str:
    asked = sum(one.window.load.requests + one.window.load.failures for one in its)
    failed = sum(one.window.load.failures for one in its)
    return f"{failed / asked:.2%}" if failed else ""


FORMS = ("model", "form", "server", "rows/s", "p50 / p99 ms", "server us per request", "shoal is")


def forms(seen: Result) -> list[list[str]]:
    """Readings of the suite `forms`, by model and form, with the bare loop of each model."""
    asked = [one for one in seen.seen.readings if one.part == "forms"]
    by = _by(asked, lambda one: (one.model, one.form, one.server, one.setting))
    mine = {
        (one.model, one.form, one.round): one.rows_per_s for one in asked if one.server == "shoal"
    }
    found = [[*_in_form(its), _ratio(its, mine)] for its in by.values()]
    bare = _by(seen.seen.model_costs, lambda one: (one.model,))
    found += [
        [model, f"{BLOCK_ROWS} rows", "a loop over the kernel", _spread(rates), "", "", ""]
        for (model,), its in bare.items()
        for rates in [spread(bare_rows_per_s(one.costs, BLOCK_ROWS) for one in its)]
    ]
    return sorted(found, key=lambda cells: (cells[0], cells[1]))


def _form(reading: Reading) -> str:
    rows = reading.rows_per_request
    return reading.form if rows == 1 else f"{reading.form}, {rows} rows"


def _in_form(its: Sequence[Reading]) -> list[str]:
    first = its[0]
    p50_us, p99_us = (
        spread(value).median
        for value in (
            [one.window.load.p50_us for one in its],
            [one.window.load.p99_us for one in its],
        )
    )
    return [
        first.model,
        _form(first),
        _named(first.server, first.setting),
        _spread(spread(one.rows_per_s for one in its)),
        f"{p50_us / 1e3:.2f} / {p99_us / 1e3:.2f}",
        _spread(spread(one.window.cpu_us_per_request for one in its), 1),
    ]


def _ratio(its: Sequence[Reading], mine: dict[tuple[str, str, int], float]) -> str:
    keys = [((one.model, one.form, one.round), one.rows_per_s) for one in its]
    ratios = [mine[key] / rate for key, rate in keys if key in mine]
    return f"{spread(ratios).median:.2f}x" if ratios and its[0].server != "shoal" else ""


FOOTPRINTS = (
    "server",
    "ready after s",
    "resident MB",
    "proportional MB",
    "resident MB before any load",
    "idle, % of a core",
)


def footprints(seen: Iterable[Footprint]) -> list[list[str]]:
    """By server and setting."""
    by = _by(seen, lambda one: (one.server, one.setting))
    return [
        [
            _named(str(server), str(setting)),
            _spread(spread(one.ready_s for one in its), 2),
            _spread(spread(one.resident_bytes / 1e6 for one in its)),
            _spread(spread(one.proportional_bytes / 1e6 for one in its)),
            _spread(spread(one.fresh_resident_bytes / 1e6 for one in its)),
            _spread(spread(one.idle_cpu_share * 100 for one in its), 3),
        ]
        for (server, setting), its in by.items()
    ]


THREADS = ("threads", "us of processor time per request")


def threads(seen: Iterable[ThreadCost]) -> list[list[str]]:
    """By the number of threads."""
    by = _by(seen, lambda one: (one.threads,))
    return [
        [str(count), _spread(spread(one.us_per_request for one in its), 2)]
        for (count,), its in by.items()
    ]


FAILED = ("server", "where", "why")


def failures(seen: Result) -> list[list[str]]:
    """Peers that could not be measured; a reason in one line."""
    return [
        [_named(one.server, one.setting), one.where, _cell(one.reason)]
        for one in seen.seen.failures
    ]


BOUNDS = ("line", "measured", "floor", "", "goal", "")


def bound_cells(one: Bound) -> list[str]:
    """A line, what a run says about it, and whether floor and goal are reached."""
    sign = ">=" if one.rule == "at least" else "<="
    if one.value is None:
        return [one.sentence, one.remark, f"{sign} {one.floor:g}", "", f"{sign} {one.goal:g}", ""]
    return [
        one.sentence,
        _spread(one.value, 2),
        f"{sign} {one.floor:g}",
        _verdict(reached=one.floor_reached),
        f"{sign} {one.goal:g}",
        _verdict(reached=one.goal_reached),
    ]


def _verdict(*, reached: bool) -> str:
    return "reached" if reached else "NOT reached"


def _by(values: Iterable[One], key: Callable[[One], Key]) -> dict[Key, list[One]]:
    """Values with the same key together, in the order of their first."""
    found: dict[Key, list[One]] = {}
    for one in values:
        found.setdefault(key(one), []).append(one)
    return found


def _named(server: str, setting: str) -> str:
    return f"{server} ({setting})" if setting else server


def _spread(value: Spread, digits: int = 0) -> str:
    median, least, greatest = (
        f"{number:,.{digits}f}" for number in (value.median, value.minimum, value.maximum)
    )
    return f"{median} ({least} to {greatest})"


def _cell(text: str, characters: int = 200) -> str:
    """One line without the sign that parts cells."""
    return " ".join(text.split()).replace("|", "/")[:characters]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
