"""`shoal pipeline`: run a pipeline, look at its ledger, take dead letters again."""

from __future__ import annotations

import datetime
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli._failure import reported

if TYPE_CHECKING:
    from types import FrameType

    from shoal.pipeline import Pipeline, Result, Running

app = typer.Typer(help="Run pipelines, and look at what they remember.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Directory = Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger's directory.")]
Named = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:PIPELINE", help="A pipeline at the top of a module, or what makes one."
    ),
]


@app.command()
def run(
    pipeline: Named,
    ledger: Directory,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more records; SIGINT or SIGTERM ends it.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Threads that work; as many as there are cores.")
    ] = None,
    error_rate: Annotated[
        float, typer.Option(help="The share of records that may fail until it stops.")
    ] = 0.01,
    metrics: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where Prometheus may ask.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline over what is there; killed, the same command goes on where it was."""
    with reported(as_json=as_json):
        import msgspec

        from shoal.pipeline import Options

        options = Options(workers=workers, error_rate=error_rate, metrics=metrics)
        chosen = _found(pipeline)
        with _counter() as progress:
            if follow:
                rows_in, rows_out, rows_dead = _follow(chosen, ledger, options, progress)
                told = {"rows_in": rows_in, "rows_out": rows_out, "rows_dead": rows_dead}
            else:
                outcome = chosen.run(ledger, options=options, progress=progress)
                told = msgspec.to_builtins(outcome)
        typer.echo(msgspec.json.encode(told).decode() if as_json else _told(told, ledger))


@app.command()
def status(ledger: Directory, as_json: Json = False) -> None:
    """Say how far a pipeline is; it may be running."""
    with reported(as_json=as_json):
        import msgspec

        from shoal.pipeline import read_status

        found = read_status(ledger)
        if as_json:
            typer.echo(msgspec.json.encode(found).decode())
            return
        for name, value in msgspec.to_builtins(found).items():
            typer.echo(f"{name.replace('_', ' '):<18} {_shown(value)}")


@app.command(name="ledger")
def ledger_(
    ledger: Directory,
    limit: Annotated[int, typer.Option(help="How many epochs, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last epochs: how many records, how long, how far event time had come."""
    with reported(as_json=as_json):
        import msgspec

        from shoal.pipeline import Ledger

        with Ledger.read(ledger) as opened:
            epochs = [
                {"epoch": number, **msgspec.to_builtins(result)}
                for number, result in opened.results(limit)
            ]
        if as_json:
            typer.echo(msgspec.json.encode(epochs).decode())
            return
        _print_table(
            ("epoch", "taken", "given", "dead", "seconds", "watermark", "end"),
            [_epoch_row(each) for each in epochs],
        )


@app.command()
def dead(
    ledger: Directory,
    limit: Annotated[int, typer.Option(help="How many, the oldest first.")] = 20,
    after: Annotated[int, typer.Option(help="Only those of a higher number.")] = 0,
    as_json: Json = False,
) -> None:
    """List dead letters: records that failed or came too late, with their reason."""
    with reported(as_json=as_json):
        import msgspec

        from shoal.pipeline import Ledger

        with Ledger.read(ledger) as opened:
            letters = opened.dead(limit=limit, after=after)
        if as_json:
            told = [
                {**msgspec.to_builtins(each), "data": each.data is not None} for each in letters
            ]
            typer.echo(msgspec.json.encode(told).decode())
            return
        rows = [
            (str(each.number), each.reason, f"{each.rows:,}", each.place, each.message)
            for each in letters
        ]
        _print_table(("number", "reason", "records", "place", "what is wrong"), rows)


@app.command(name="replay-dead")
def replay_dead(
    ledger: Directory,
    number: Annotated[
        list[int] | None, typer.Option(help="Which one; once for each. All that can be, else.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let the next run take dead letters again, once what made them fail is mended."""
    with reported(as_json=as_json):
        import msgspec

        from shoal.pipeline import Ledger

        with Ledger.open(ledger, must_exist=True) as opened:
            count = opened.ask_again(number)
        told = {"taken_again": count}
        line = f"{count} records will be taken again by the next run"
        typer.echo(msgspec.json.encode(told).decode() if as_json else line)


@app.command()
def migrate(
    ledger: Directory,
    pipeline: Named,
    drop_state: Annotated[
        bool, typer.Option("--drop-state", help="Forget what open windows hold.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a pipeline that was changed go on with the ledger of the one it was."""
    with reported(as_json=as_json):
        _found(pipeline).migrate(ledger, drop_state=drop_state)
        typer.echo("{}" if as_json else f"{ledger} belongs to {pipeline} now")


def _found(name: str) -> Pipeline:
    from shoal.errors import InvalidRequestError
    from shoal.pipeline import Pipeline, find_pipeline

    sys.path.insert(0, str(Path.cwd()))  # a module beside the caller, as `python -m` finds it
    found = find_pipeline(name)
    if not isinstance(found, Pipeline):
        message = f"{name} is a {type(found).__name__}, expected a pipeline"
        raise InvalidRequestError(message)
    return found


def _follow(pipeline: Pipeline, ledger: Path, options: Any, progress: Any) -> tuple[int, int, int]:
    """Runs until a signal comes; what was taken by then is committed."""
    with pipeline.start(ledger, options=options, progress=progress) as running:
        with _stopped_by_signals(running):
            while not running.wait(0.2):
                pass
        return running.totals


@contextmanager
def _stopped_by_signals(running: Running) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        running.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(told: dict[str, Any], ledger: Path) -> str:
    lines = [f"{told['rows_in']:,} records taken, {told['rows_out']:,} given"]
    if told["rows_dead"]:
        lines.append(f"dead letters: {told['rows_dead']:,}, see: shoal pipeline dead {ledger}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _epoch_row(epoch: dict[str, Any]) -> tuple[str, ...]:
    counts = (f"{epoch[name]:,}" for name in ("epoch", "rows_in", "rows_out", "rows_dead"))
    at_us = epoch["watermark"]["at_us"]
    return (*counts, f"{epoch['seconds']:.3f}", _time(at_us), str(epoch["end"]))


def _time(microseconds: int) -> str:
    try:
        start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return (start + datetime.timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:  # before the first record, and after the last one
        return "start" if microseconds < 0 else "end"


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@contextmanager
def _counter() -> Iterator[Any]:
    """A line on stderr that counts, and none where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    shown = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*shown, console=Console(stderr=True)) as bars:
        task = bars.add_task("0 records")

        def progress(result: Result) -> None:
            taken, given, dead_rows = result.totals
            bars.update(
                task, description=f"{taken:,} records taken, {given:,} given, {dead_rows:,} dead"
            )

        yield progress
