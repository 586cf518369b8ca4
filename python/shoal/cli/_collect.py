"""`shoal collect`: data from several places into one dataset, with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli._failure import printable, reported
from shoal.cli._memory import sparing_memory

if TYPE_CHECKING:
    from shoal.train import Dataset, Recipe
    from shoal.train._collect._collect import Progress
    from shoal.train._collect._schema import ColumnSchema

SHOWN_CATEGORIES = 3


def collect(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.toml|INPUT...",
            help="Files, folders or patterns of CSV, TSV, Parquet or JSON lines; "
            "or one TOML file that says more, databases as well.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The folder of the dataset.")],
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="The key that joins inputs; may be repeated."),
    ] = None,
    how: Annotated[
        str | None,
        typer.Option(metavar="left|inner", help="Whether records without a match stay: left."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="COLUMN=KIND", help="The kind of a column, of one input."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A text that stands for a missing value."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A schema that records must keep to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read data from files and databases into one dataset with a schema and a digest."""
    with reported(as_json=as_json):
        with sparing_memory():
            from shoal import train

            _ = train.collect  # loads Arrow
        options = {"on": on, "how": how, "--type": kind, "missing": missing, "schema": schema}
        recipe = _recipe(inputs, {name: each for name, each in options.items() if each})
        with _bar() as progress:
            dataset = train.collect(
                recipe.inputs, output, join=recipe.join, schema=recipe.schema, progress=progress
            )
        _tell(dataset, as_json=as_json)


def keep(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The folder of a dataset.")],
    name: Annotated[str, typer.Option(metavar="N", help="The package's name.")],
    version: Annotated[str, typer.Option(metavar="V", help="The package's version.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="The directory to make.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Keep a dataset as a package of its own, with its lineage."""
    with reported(as_json=as_json):
        from shoal import package, train

        kept = train.open_dataset(dataset).keep(output, name=name, version=version)
        _tell(kept, as_json=as_json, package=package.identify(output).digest)


def _recipe(inputs: list[str], options: dict[str, Any]) -> Recipe:
    """What is collected: by the words of the command, or by the file that they name."""
    from shoal import train
    from shoal.errors import InvalidRequestError

    if len(inputs) == 1 and inputs[0].endswith(".toml"):
        if options:
            message = f"{next(iter(options))} was given beside {inputs[0]}"
            raise InvalidRequestError(message, hint="Say it in the file.")
        return train.read_recipe(inputs[0])
    if len(inputs) > 1 and {"--type", "missing"} & options.keys():
        message = "kinds and missing values were given for several inputs"
        raise InvalidRequestError(message, hint="Say which input has them, in a TOML file.")
    pairs = [word.partition("=") for word in options.get("--type", ())]
    described = [
        train.Input(
            each,
            types={column: kind for column, _, kind in pairs},
            missing=options.get("missing", ()),
        )
        for each in inputs
    ]
    keys = options.get("on")
    if "how" in options and not keys:
        raise InvalidRequestError("--how was given without --on", hint="Name the key by --on.")
    join = train.Join(keys, options.get("how", "left")) if keys else None
    path = options.get("schema")
    return train.Recipe(described, join, train.Schema.read(path) if path else None)


def _tell(dataset: Dataset, *, as_json: bool, package: str | None = None) -> None:
    import msgspec

    if as_json:
        told = {
            "path": str(dataset.path),
            "digest": dataset.digest,
            "rows": dataset.rows,
            "schema": msgspec.to_builtins(dataset.schema),
        }
        if package is not None:
            told["package"] = package
        typer.echo(msgspec.json.encode(told).decode())
        return
    columns = dataset.schema.columns
    width = max(len(column.name) for column in columns)
    lines = [f"{dataset.rows:,} rows of {len(columns)} columns in {dataset.path}", dataset.digest]
    if package is not None:
        lines.append(f"package {package}")
    for column in columns:
        missing = dataset.counts[column.name].missing
        about = [_about(column), f"{missing:,} missing" if missing else ""]
        told_of = ", ".join(filter(None, about))
        lines.append(f"  {column.name:<{width}}  {column.kind:<11}  {told_of}".rstrip())
    typer.echo("\n".join(printable(line) for line in lines))


def _about(column: ColumnSchema) -> str:
    if column.categories is not None:
        shown = ", ".join(column.categories[:SHOWN_CATEGORIES])
        more = len(column.categories) - SHOWN_CATEGORIES
        return f"{shown} and {more} more" if more > 0 else shown
    bounds = "" if column.minimum is None else f"{column.minimum} to {column.maximum}"
    return f"{bounds}, infinite too" if column.infinite else bounds


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
        TextColumn("collecting"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:>12,} rows"),
        TimeRemainingColumn(),
    )
    with Bars(*shown, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None, rows=0)

        def progress(rows: int, done_bytes: int, size_bytes: int | None) -> None:
            bars.update(task, completed=done_bytes, total=size_bytes, rows=rows)

        yield progress
