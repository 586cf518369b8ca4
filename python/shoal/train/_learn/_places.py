"""The folder that a learning keeps what it needs to go on in.

- One process holds a folder, by a lock that ends with the process.
- A document appears whole or not at all: it is written beside its name, flushed, and renamed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import ConflictError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(place: str | Path | None) -> Iterator[Path | None]:
    """A folder that no other process writes to; None for none.

    Raises:
        ConflictError: another process holds it.
        SinkError: it cannot be made.
    """
    if place is None:
        yield None
        return
    folder = Path(place)
    with refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, folder)
        yield folder
    finally:
        os.close(handle)


@contextmanager
def refused(folder: Path) -> Iterator[None]:
    """What the system refuses becomes an error that names the place.

    Raises:
        SinkError: the system refused.
    """
    try:
        yield
    except OSError as error:
        message = f"what is being learned cannot be kept in {folder}: {error.strerror or error}"
        hint = "Free some space or choose another place; what was kept before goes on from there."
        raise SinkError(message, hint=hint) from error


def write_whole(path: Path, content: bytes) -> None:
    """Writes a document so that it is whole or as before.

    Raises:
        SinkError: it cannot be written.
    """
    staged = path.with_name(f"{path.name}.part")
    with refused(path.parent):
        with staged.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.rename(path)
        sync(path.parent)


def sync(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"another process is learning in {folder}"
        raise ConflictError(message, hint="Wait until it has ended, or end it.") from None
