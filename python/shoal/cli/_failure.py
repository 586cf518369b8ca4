"""How a failure reaches the caller: lines or one JSON object on stderr, and an exit code."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from shoal.errors import InputError, RequirementError, ShoalError


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
        _report(error, as_json=as_json)
        raise typer.Exit(
            Exit.WRONG_INPUT if isinstance(error, InputError) else Exit.FAILED
        ) from None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "shoal":
            traceback.print_exc()
            raise typer.Exit(Exit.DEFECT) from None
        _report(_lacking(error.name), as_json=as_json)
        raise typer.Exit(Exit.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception:  # noqa: BLE001 - whatever else it is, it is a defect
        traceback.print_exc()
        raise typer.Exit(Exit.DEFECT) from None


def _lacking(module: str) -> RequirementError:
    """An image for serving, for one, has the libraries of serving only."""
    message = f"this command needs {module.partition('.')[0]}, which is not installed here"
    return RequirementError(
        message, hint="Run it where Shoal is installed whole: pip install shoal"
    )


def _report(error: ShoalError, *, as_json: bool) -> None:
    typer.echo(json.dumps(error.body()) if as_json else f"error: {error.render()}", err=True)
