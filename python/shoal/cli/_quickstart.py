"""`shoal quickstart`: the first minute, with progress bars where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli._failure import Exit, reported

if TYPE_CHECKING:
    from shoal.quickstart import Progress

SENTENCES = {"train": "training", "seal": "sealing, with proof", "ask": "asking over HTTP"}


def quickstart(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    requests: Annotated[int, typer.Option(help="How many single-row requests to send.")] = 8_000,
    output: Annotated[Path, typer.Option(help="Where the package goes, and stays.")] = Path(
        "shoal-quickstart/digits"
    ),
) -> None:
    """Train, seal, serve and ask a real model, and compare every answer with the original's."""
    with reported(as_json=as_json):
        from shoal import quickstart as room

        with _bars() as progress:
            report = room.run(output, requests=requests, progress=progress)
        typer.echo(report.json() if as_json else report.text())
        if report.mismatches:
            raise typer.Exit(Exit.FAILED)


@contextmanager
def _bars() -> Iterator[Progress | None]:
    """Progress bars on stderr, and none where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True)) as bars:
        tasks = {step: bars.add_task(text, total=None) for step, text in SENTENCES.items()}
        yield lambda step, done, total: bars.update(tasks[step], completed=done, total=total)
