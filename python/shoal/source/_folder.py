"""A folder in which files appear whole or not at all, and stay after a power cut.

- `create` is a compare-and-set: of several that create one name, one is told that it did.
- What a `writer` has written is durable when its block ends; nothing is there if it raises.
- `move` may be repeated: once done, it finds the target in place and is content.
- Every change of a name is made durable by syncing the directory that holds it.
- One process holds the folder, until it ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from shoal.errors import ConflictError, SinkError
from shoal.source._sync import refused, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


# Files whose names begin so are not there for `names`: they are not whole yet.
HIDDEN = "."


class LocalFolder:
    """A folder on a local disk; names are paths inside it, with slashes."""

    is_exclusive = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self, below: str) -> list[str]:
        """The files directly in a folder inside this one, sorted; none where it is not there."""
        place = self.path / below
        with refused(SinkError, place):
            if not place.is_dir():
                return []
            files = (entry.name for entry in os.scandir(place) if entry.is_file())
            return sorted(name for name in files if not name.startswith(HIDDEN))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        with refused(SinkError, self.path / name):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        """Makes a file that is not there; False if it is there."""
        target = self.path / name
        # One process holds the folder: what a killed one left of the same name is written over.
        staged = str(Path(name).with_name(f"{HIDDEN}{target.name}"))
        with refused(SinkError, target):
            with self.writer(staged) as file:
                file.write(data)
            try:
                # Unlike a rename, a link never takes the place of a file.
                target.hardlink_to(self.path / staged)
            except FileExistsError:
                return False
            finally:
                self.remove(staged)
            sync_directory(target.parent)
            return True

    @contextmanager
    def writer(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be written."""
        target = self.path / name
        with refused(SinkError, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with target.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                sync_directory(target.parent)
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    def sync(self, file: IO[bytes]) -> None:
        """Makes durable what was written so far."""
        with refused(SinkError, Path(file.name)):
            file.flush()
            os.fdatasync(file.fileno())

    def move(self, name: str, target: str) -> None:
        """Gives a file another name."""
        place = self.path / target
        with refused(SinkError, place):
            try:
                (self.path / name).rename(place)
            except FileNotFoundError:
                if not place.is_file():
                    raise
            sync_directory(place.parent)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with refused(SinkError, self.path / name):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Holds the folder for this process, by a lock on a file that stays.

        Raises:
            ConflictError: another process holds it.
        """
        place = self.path / name
        with refused(SinkError, place):
            place.parent.mkdir(parents=True, exist_ok=True)
            file = place.open("wb")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another process is writing to {self.path}"
                raise ConflictError(message, hint="Wait until it has ended, or end it.") from None
            yield
