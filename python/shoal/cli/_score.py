"""`shoal score`: files through a package, with a progress bar where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli._failure import reported
from shoal.cli._memory import sparing_memory

if TYPE_CHECKING:
    from shoal.pipeline import Report
    from shoal.pipeline._dataset._score import Progress


def score(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="The package's directory.")],
    input_: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A file, folder or pattern of Parquet, CSV or JSON lines."
        ),
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The folder of the answers, as Parquet.")
    ],
    errors: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A folder for records that fail; else the first ends it."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=COLUMN[,...]",
            help="Which columns an input takes; p{0..63} stands for 64. Once for each input.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="A,B|none", help="Columns that go along; all that the model does not take."
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="parquet, csv, tsv or json_lines, if the names do not say."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads that answer; as many as there are cores.")
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let a package of Python code run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Answer every record of files, once each; killed, the same command goes on where it was."""
    with reported(as_json=as_json):
        import msgspec

        with sparing_memory():
            from shoal import pipeline
            from shoal.pipeline._dataset import _score  # noqa: F401 - loads the core

        settings = pipeline.Settings(
            columns=pipeline.read_columns(column or ()),
            keep=_names(keep),
            errors=errors,
            workers=workers,
            allow_code=allow_code,
            form=form,
        )
        with _bar() as progress:
            report = pipeline.score(package, input_, output, settings=settings, progress=progress)
        typer.echo(msgspec.json.encode(report).decode() if as_json else _told(report, errors))


def _names(keep: str | None) -> list[str] | None:
    if keep is None:
        return None
    return [] if keep == "none" else keep.split(",")


def _told(report: Report, errors: str | None) -> str:
    rate = report.rows_now / max(report.seconds, 1e-9)
    lines = [
        f"{report.rows:,} rows in {report.output}",
        f"{report.rows_now:,} of them now, in {report.seconds:.1f} s: {rate:,.0f} rows/s",
    ]
    if report.failed:
        lines.append(f"{report.failed:,} rows failed, see {errors}")
    return "\n".join(lines)


@contextmanager
def _bar() -> Iterator[Progress | None]:
    """A progress bar on stderr, and none where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    shown = (
        TextColumn("scoring"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:>12,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    with Bars(*shown, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None, rate=0)

        def progress(done: int, size_bytes: int, rows: int) -> None:
            elapsed = bars.tasks[0].elapsed or 1e-9
            bars.update(task, completed=done, total=size_bytes, rate=rows / elapsed)

        yield progress
