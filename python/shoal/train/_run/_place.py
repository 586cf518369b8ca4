"""Where a run lies, so that one that was killed goes on, and one that has ended is never changed.

    OUTPUT/
    ├── run.json            which data and target were asked for: others are refused
    ├── dataset/            what was collected
    ├── look.html, look.json what is in it
    ├── search.journal      what was tried
    ├── leaderboard.json    all candidates, the best first
    ├── report.html, report.json, model-card.md
    └── package/            the sealed model; it comes last, so where it is, the run has ended

- One process holds it, by a lock that ends with the process.
- Every file comes whole or not at all.
- What is not about the data may be corrected: the journal of the search is of one search, and
  refuses another one by itself.
- A private training that was begun and has not ended is not begun again unasked: what it wrote may
  have been seen, and a second one spends again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import ConflictError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN, DATASET, JOURNAL, PACKAGE = "run.json", "dataset", "search.journal", "package"
STAGED, BEGUN = ".package.staged", "private.begun"
FORMAT = 1


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `run.json`.

    Attributes:
        data: The digest of the data and the target that were asked for.
        format: The version of this form.
    """

    data: str
    format: int = FORMAT


@contextmanager
def held(output: Path, data: str) -> Iterator[Path]:
    """A folder for one run, new or one to go on with; gives where the package is staged.

    Raises:
        ConflictError: it holds a run that has ended, one of other data, or something else; or
            another process is at work in it.
        SinkError: it cannot be written (disk full, no right).
    """
    with refused(output):
        output.mkdir(parents=True, exist_ok=True)
        handle = os.open(output, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, output)
        _check(output, data)
        staged = output / STAGED
        with refused(output):
            shutil.rmtree(staged, ignore_errors=True)
            write(output / RUN, msgspec.json.encode(Asked(data)))
        yield staged
    finally:
        os.close(handle)


def finish(output: Path, staged: Path) -> Path:
    """Gives the package its name.

    Raises:
        SinkError: the system refused.
    """
    with refused(output):
        staged.rename(output / PACKAGE)
        (output / BEGUN).unlink(missing_ok=True)
        _flush(output)
    return output / PACKAGE


def write(path: Path, data: bytes) -> None:
    """Writes a file that is there whole or not at all.

    Raises:
        SinkError: the system refused.
    """
    staged = path.with_name(_staged(path.name))
    with refused(path):
        try:
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        _flush(path.parent)


def begin_private(output: Path) -> None:
    """Says that a private training has begun.

    Raises:
        ConflictError: one was begun before, and has not ended.
        SinkError: the system refused.
    """
    path = output / BEGUN
    if path.exists():
        message = f"a private training was begun in {output}, and has not ended"
        hint = f"A second one spends its epsilon again. If that is meant, remove {path}."
        raise ConflictError(message, hint=hint)
    write(path, b"")


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """What the system refuses becomes an error that names the place."""
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        hint = "Free some space or choose another place; a run goes on where it was."
        raise SinkError(message, hint=hint) from error


def end_private(output: Path) -> None:
    """Takes that back, where nothing was spent."""
    (output / BEGUN).unlink(missing_ok=True)


def _staged(name: str) -> str:
    return f".{name}.staged"


def _lock(handle: int, output: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"another process is training into {output}"
        raise ConflictError(message, hint="Wait until it has ended, or end it.") from None


def _check(output: Path, data: str) -> None:
    """Refuses a folder that is none of this run."""
    if (output / PACKAGE).exists():
        message = f"{output} holds a run that has ended"
        raise ConflictError(message, hint="Choose another place, or remove it.")
    if not (output / RUN).exists():
        if any(path.name != _staged(RUN) for path in output.iterdir()):
            message = f"{output} holds something else, expected a place for a new run"
            raise ConflictError(message, hint="Choose another place.")
        return
    try:
        asked = msgspec.json.decode((output / RUN).read_bytes(), type=Asked)
    except msgspec.MsgspecError as error:
        raise ConflictError(f"{output / RUN} cannot be read: {error}") from error
    if asked != Asked(data):
        message = f"{output} holds a run of other data, or of another target"
        raise ConflictError(message, hint="Choose another place, or remove it to begin anew.")


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
