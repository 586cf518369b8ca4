"""`shoal package push` and `pull`: packages to a registry and back, with a bar on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli._failure import reported

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The package's directory.")]
Name = Annotated[
    str, typer.Argument(metavar="oci://HOST/NAME:TAG", help="What a registry calls it.")
]
PlainHttp = Annotated[
    bool | None,
    typer.Option(
        "--plain-http/--tls",
        help="Speak HTTP without TLS; this machine's own registries only, if not said.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def push(
    directory: Directory, name: Name, plain_http: PlainHttp = None, as_json: Json = False
) -> None:
    """Send a package to a registry; what is there is not sent again."""
    with reported(as_json=as_json):
        import msgspec

        from shoal import package

        with byte_bar("pushing") as progress:
            pushed = package.push(directory, name, progress=progress, plain_http=plain_http)
        if as_json:
            typer.echo(json.dumps(msgspec.to_builtins(pushed)))
            return
        typer.echo(f"{pushed.registry}/{pushed.repository}:{pushed.tag}")
        typer.echo(pushed.digest)
        typer.echo(f"{pushed.sent_bytes:,} bytes sent, in {pushed.sent_blobs} blobs")


def pull(
    name: Name, directory: Directory, plain_http: PlainHttp = None, as_json: Json = False
) -> None:
    """Fetch a package from a registry, verified; cut off, the same command goes on where it was."""
    with reported(as_json=as_json):
        from shoal import package

        with byte_bar("pulling") as progress:
            pulled = package.pull(name, directory, progress=progress, plain_http=plain_http)
        told = {
            "package": str(directory),
            "name": pulled.name,
            "version": pulled.version,
            "digest": pulled.digest,
            "attestations": len(pulled.attestations()),
        }
        if as_json:
            typer.echo(json.dumps(told))
            return
        typer.echo(f"{pulled.name} {pulled.version} in {directory}")
        typer.echo(pulled.digest)


def is_name(text: str) -> bool:
    """Whether a text is meant as a name in a registry; one that is none is refused as such."""
    return "://" in text


@contextmanager
def byte_bar(doing: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar of bytes on stderr, and none where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    shown = (
        TextColumn(doing),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*shown, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None)

        def progress(done_bytes: int, total_bytes: int) -> None:
            bars.update(task, completed=done_bytes, total=total_bytes)

        yield progress
