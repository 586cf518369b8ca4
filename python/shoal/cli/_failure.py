"""How a failure reaches the caller: lines or one JSON object on stderr, and an exit code."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from shoal.errors import InputError, ShoalError


class Exit(IntEnum):
    """What the exit code of the program means."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    DEFECT = 3
    INTERRUPTED = 130


def printable(line: str) -> str:
    """A line without what would move the cursor of a terminal: names may come from data."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


@contextmanager
def reported(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error inside the block into its report and exit code."""
    try:
        yield
    except ShoalError as error:
        typer.echo(json.dumps(error.body()) if as_json else f"error: {error.render()}", err=True)
        raise typer.Exit(
            Exit.WRONG_INPUT if isinstance(error, InputError) else Exit.FAILED
        ) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception:  # noqa: BLE001 - whatever else it is, it is a defect
        traceback.print_exc()
        raise typer.Exit(Exit.DEFECT) from None
