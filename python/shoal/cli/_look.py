"""`shoal look`: what is in data before anything is trained on it, as lines, JSON and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli._failure import printable, reported
from shoal.cli._memory import sparing_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shoal.train import Look

SHOWN_CLASSES = 5
SHOWN_COLUMNS = 3


def look(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="The folder of a dataset, or CSV, TSV, Parquet or JSON lines; "
            "several are compared with each other.",
        ),
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page to this file: report.html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at data before training: gaps, outliers, drift, and columns that tell too much."""
    with reported(as_json=as_json):
        with sparing_memory():
            from shoal import train

            _ = train.look  # loads Arrow
        seen = train.look(
            data[0] if len(data) == 1 else {each: each for each in data}, target=target
        )
        if output is not None:
            _write(output, train.to_html(seen))
        lines = [printable(line) for line in _lines(seen, output)]
        typer.echo(seen.to_json().decode() if as_json else "\n".join(lines))


def _write(path: Path, page: str) -> None:
    from shoal.errors import PathError

    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise PathError(f"{path} cannot be written: {error.strerror or error}") from error


def _lines(seen: Look, output: Path | None) -> Iterable[str]:
    yield f"{seen.records:,} records of {len(seen.columns)} columns in {seen.name}"
    if not seen.sample.is_all:
        yield f"a sample of {seen.sample.records:,} records, seed {seen.sample.seed}"
    if seen.classes:
        shown = [f"{each.value} {each.records:,}" for each in seen.classes[:SHOWN_CLASSES]]
        yield f"{seen.target}: {_joined(shown, len(seen.classes))}"
    yield from seen.notes
    for suspect in seen.suspects:
        yield f"suspect: {suspect.column}: {suspect.why}"
    for finding in seen.findings:
        where = _joined(finding.columns[:SHOWN_COLUMNS], len(finding.columns)) or "all records"
        yield f"{finding.kind.replace('_', ' ')}: {where}: {finding.why}"
    if not (seen.suspects or seen.findings):
        yield "nothing suspicious was found"
    if output is not None:
        yield str(output)


def _joined(shown: Iterable[str], count: int) -> str:
    words = list(shown)
    more = count - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
