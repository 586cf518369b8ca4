"""The program `shoal`: its commands and the options all of them share."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from shoal.cli import (
    _collect,
    _deploy,
    _image,
    _key,
    _look,
    _package,
    _pipeline,
    _quickstart,
    _score,
    _serve,
    _train,
)

app = typer.Typer(
    name="shoal",
    help="Seal a model, serve it in micro-batches, and prove that the answers stay the same.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(_serve.serve)
app.command("score")(_score.score)
app.command("collect")(_collect.collect)
app.command("look")(_look.look)
app.command("train")(_train.train)
app.command("reproduce")(_train.reproduce)
app.command("quickstart")(_quickstart.quickstart)
app.add_typer(_package.app, name="package")
app.add_typer(_pipeline.app, name="pipeline")
app.add_typer(_deploy.app, name="deploy")
app.add_typer(_image.app, name="image")
app.add_typer(_key.app, name="key")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"shoal {version('shoal')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options before the command."""
    # The command hears of SIGINT from here on; `serve` arranges that itself, at its first line.
    if context.obj is not None and context.invoked_subcommand != "serve":
        signal.signal(signal.SIGINT, context.obj)
