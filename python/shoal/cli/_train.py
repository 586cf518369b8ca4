"""`shoal train`: from a configuration to a package with its report, with a live leaderboard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli._failure import Exit, printable, reported

if TYPE_CHECKING:
    from shoal.evaluate import Metric, Report
    from shoal.train import Leaderboard, Trained, Tried, Watch

SHOWN_CANDIDATES = 10
SHOWN_METRICS = 8


def train(
    configuration: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="What is trained, as a TOML file.")
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="A folder; a run that did not end goes on in it."),
    ],
    unless_ended: Annotated[
        bool,
        typer.Option("--unless-ended", help="Do nothing where OUTPUT holds a run that has ended."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Collect, compare models, measure the best one, and seal it, as a TOML file says."""
    with reported(as_json=as_json):
        from shoal import train as room

        asked = room.read_configuration(configuration)
        if unless_ended and (output / "package").exists():
            _tell_ended(output / "package", as_json=as_json)
            return
        with _watch() as watch:
            trained = room.run(asked, output, watch=watch)
        _tell(trained, output, as_json=as_json)


def reproduce(
    package: Annotated[
        Path, typer.Argument(metavar="PACKAGE", help="A package that `shoal train` has made.")
    ],
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="The dataset that it was trained on.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the new package stays: nowhere.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a package again from its evidence, and compare; ends with 1 if it is another one."""
    with reported(as_json=as_json):
        from shoal import train as room

        found = room.reproduce(package, dataset, output=output)
        if as_json:
            import msgspec

            told = msgspec.to_builtins(found) | {"is_same": found.is_same}
            typer.echo(msgspec.json.encode(told).decode())
        else:
            verdict = "the same package" if found.is_same else "another package"
            lines = [verdict, f"expected  {found.expected}", f"trained   {found.digest}"]
            lines += [f"differs: {each}" for each in found.differences]
            typer.echo("\n".join(lines))
    if not found.is_same:
        raise typer.Exit(Exit.FAILED)


def _tell_ended(sealed: Path, *, as_json: bool) -> None:
    """What was trained before, by somebody who need not train again."""
    import json

    from shoal.package import identify

    digest = identify(sealed).digest
    told = json.dumps({"package": {"path": str(sealed), "digest": digest}})
    typer.echo(told if as_json else f"package    {sealed}\n           {digest}")


def _tell(trained: Trained, output: Path, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(_told(trained, output)).decode())
        return
    lines = [*_measured(trained.report), ""]
    if trained.leaderboard is not None:
        lines = [*_standings(trained.leaderboard), "", *lines]
    if trained.spent is not None:
        lines.append(f"privacy    epsilon {trained.spent.epsilon:.4g} spent")
    if trained.threshold is not None:
        lines.append(f"threshold  {trained.threshold:.4f}")
    lines += [f"package    {output / 'package'}", f"           {trained.package.digest}"]
    lines += [f"report     {output / 'report.html'}"]
    lines += [f"note: {note}" for note in trained.notes]
    typer.echo("\n".join(printable(line) for line in lines))


def _told(trained: Trained, output: Path) -> dict[str, Any]:
    """What a machine is told."""
    import msgspec

    told: dict[str, Any] = {
        "package": {"path": str(output / "package"), "digest": trained.package.digest},
        "metrics": msgspec.to_builtins(trained.report.evaluation.metrics),
        "threshold": trained.threshold,
        "notes": list(trained.notes),
        "report": str(output / "report.html"),
    }
    if trained.leaderboard is not None:
        best = trained.leaderboard.best
        told["candidate"] = msgspec.to_builtins(best.candidate)
        told["score"] = {trained.leaderboard.score: trained.leaderboard.sign * _mean(best)}
    if trained.spent is not None:
        told["privacy"] = msgspec.to_builtins(trained.spent)
    return told


def _standings(board: Leaderboard) -> list[str]:
    """The best candidates, one line each."""
    lines = [f"{'estimator':<24} {board.score:>24} {'seconds':>9}"]
    lines += [_line(row, board.sign) for row in board.rows[:SHOWN_CANDIDATES]]
    if (more := len(board.rows) - SHOWN_CANDIDATES) > 0:
        lines.append(f"and {more} more, in leaderboard.json")
    return lines


def _line(row: Tried, sign: int) -> str:
    name = row.candidate.estimator
    if row.candidate.balance != "none":
        name += f", {row.candidate.balance}"
    told = f"{sign * _mean(row):.4f}" if row.status == "done" else row.status.replace("_", " ")
    return f"{name:<24} {told:>24} {row.seconds:>9.1f}"


def _measured(report: Report) -> list[str]:
    count = report.evaluation.records
    lines = [f"measured on {count:,} records that nothing was learned from:"]
    known = [metric for metric in report.evaluation.metrics if metric.value is not None]
    lines += [f"  {metric.name:<28} {_with_bounds(metric)}" for metric in known[:SHOWN_METRICS]]
    for comparison in report.comparisons[:1]:
        for pair in comparison.pairs:
            test = pair.tests[-1]
            chance = "" if test.adjusted_p_value is None else f", p = {test.adjusted_p_value:.3g}"
            told = f"{comparison.winner} is better than {pair.other} by {pair.difference:.4f}"
            lines.append(f"  {told} ({comparison.metric}{chance})")
    return lines


def _with_bounds(metric: Metric) -> str:
    if metric.bounds is None:
        return f"{metric.value:.4f}"
    return f"{metric.value:.4f}  ({metric.bounds.low:.4f} to {metric.bounds.high:.4f})"


def _mean(row: Tried) -> float:
    return sum(row.scores) / len(row.scores)


@contextmanager
def _watch() -> Iterator[Watch]:
    """A live leaderboard on a terminal, and a line for each step elsewhere."""
    from shoal import train as room

    if not sys.stderr.isatty():
        yield room.Watch(lambda step: typer.echo(step, err=True), None, lambda _tried: None)
        return
    from rich.console import Console
    from rich.live import Live

    shown = _Shown()
    with Live(console=Console(stderr=True), get_renderable=shown.table, transient=True):
        yield room.Watch(shown.begin, shown.collect, shown.add)


class _Shown:
    """What a person sees while a run is at work."""

    def __init__(self) -> None:
        self._step = ""
        self._rows = 0
        self._tried: list[Tried] = []

    def begin(self, step: str) -> None:
        self._step = step

    def collect(self, rows: int, done_bytes: int, size_bytes: int | None) -> None:  # noqa: ARG002
        self._rows = rows

    def add(self, tried: Tried) -> None:
        self._tried.append(tried)

    def table(self) -> Any:
        from rich.table import Table

        done = [row for row in self._tried if row.status == "done"]
        told = f"{self._step}, {self._rows:,} rows" if self._step == "collecting" else self._step
        if self._tried:
            told += f", {len(self._tried)} candidates tried"
        table = Table(
            "estimator", "score, more is better", "seconds", title=told, title_justify="left"
        )
        for row in sorted(done, key=_mean, reverse=True)[:SHOWN_CANDIDATES]:
            name = f"{row.candidate.estimator} {row.candidate.balance}".removesuffix(" none")
            table.add_row(name, f"{_mean(row):.4f}", f"{row.seconds:.1f}")
        return table
