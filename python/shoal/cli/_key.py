"""`shoal key`: API keys for `shoal serve --api-keys`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from shoal.cli._failure import reported

app = typer.Typer(help="Make API keys.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make API keys."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; a word, for the file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a key: it is shown this once, and the file gets a line that does not tell it."""
    from shoal import serve

    with reported(as_json=as_json):
        key = serve.new_key(name)
    if as_json:
        typer.echo(json.dumps({"name": key.name, "key": key.secret, "line": key.line}))
        return
    typer.echo("The key, which is not shown again:", err=True)
    typer.echo(key.secret)
    typer.echo("Its line for the file of --api-keys:", err=True)
    typer.echo(key.line)
