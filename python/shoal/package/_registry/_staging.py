"""Where a pull gathers what comes: beside its target, kept until it is whole.

- The staging directory of a target has one name, so that the next pull takes up what is there.
- One pull at a time works on a target; another one waits, and touches nothing if it ends there.
- A pull that is killed, or that the registry leaves, keeps what it has. A pull that has been done,
  that was refused for good, or that has nothing yet, leaves nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from shoal.errors import CorruptPackageError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """The staging directory of a target, for this pull alone.

    Raises:
        StorageError: it cannot be written; then nothing of it stays.
    """
    place = target.absolute().parent / f".{target.absolute().name}.pull"
    try:
        with _locked(place), _cleaned(place):
            yield place
    except OSError as error:
        message = f"what is pulled to {target} cannot be written: {error.strerror or error}"
        hint = "Nothing half-written stays. Free some space or choose another place."
        raise StorageError(message, hint=hint) from error


@contextmanager
def _cleaned(place: Path) -> Iterator[None]:
    """Leaves of a directory what the next pull can take up, and nothing else."""
    is_kept = False
    try:
        yield
    except (OSError, CorruptPackageError, StorageError):
        raise
    except BaseException:
        is_kept = any(path.stat().st_size for path in place.rglob("*") if path.is_file())
        raise
    finally:
        if not is_kept:
            shutil.rmtree(place, ignore_errors=True)


def check_space(place: Path, needed_bytes: int) -> None:
    """Refuses what does not fit on the disk.

    Raises:
        StorageError: it does not.
    """
    free_bytes = shutil.disk_usage(place).free
    if needed_bytes > free_bytes:
        message = f"{needed_bytes:,} bytes are to be pulled, {free_bytes:,} are free"
        raise StorageError(message, hint="Free some space or choose another place.")


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Holds the lock of a directory that is there; whoever held it before may have removed it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    while True:
        place.mkdir(exist_ok=True)
        with ExitStack() as held:
            try:
                handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            held.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(place, handle):
                yield
                return


def _is_still(place: Path, handle: int) -> bool:
    try:
        return os.path.samestat(place.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
