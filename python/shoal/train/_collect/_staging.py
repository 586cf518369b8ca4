"""A folder that is written out of sight, and gets its name when it is whole.

- It is `.NAME.staged` beside its place; no reader takes that for a dataset. A collecting that was
  killed leaves it there, and the next one to the same place removes it.
- One process holds it, by a lock on the folder that ends with the process.
- Everything is flushed to disk before the rename, so that a whole dataset survives a power cut.
- A place that holds something is refused before anything is read.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import ConflictError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends, and goes if it raises.

    Raises:
        ConflictError: the place holds something, or another process is writing to it.
        SinkError: it cannot be written (disk full, no right).
    """
    with refused(target):
        check_free(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.with_name(f".{target.name}.staged")
        handle = _held(staging, target)
    try:
        with refused(target):
            _empty(staging)
            yield staging
            _flush(staging)
            _rename(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(handle)


@contextmanager
def refused(target: Path) -> Iterator[None]:
    """What the system refuses becomes an error that names the place.

    Raises:
        SinkError: the system refused.
    """
    try:
        yield
    except OSError as error:
        message = f"the dataset cannot be written to {target}: {error.strerror or error}"
        hint = "Nothing half-written stays. Free some space or choose another place."
        raise SinkError(message, hint=hint) from error


def check_free(target: Path) -> None:
    """Refuses a place that holds something.

    Raises:
        ConflictError: it does.
    """
    if target.is_symlink() or (target.exists() and not _is_empty(target)):
        message = f"{target} exists, expected a place for a new dataset"
        raise ConflictError(message, hint="Choose another place, or remove what lies there.")


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _held(staging: Path, target: Path) -> int:
    """Makes the folder and locks it; who renamed it meanwhile has finished the same dataset."""
    while True:
        staging.mkdir(exist_ok=True)
        handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), staging.stat()):
                check_free(target)
                return handle
        except BlockingIOError:
            os.close(handle)
            message = f"another process is collecting into {target}"
            raise ConflictError(message, hint="Wait until it has ended, or end it.") from None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _empty(staging: Path) -> None:
    for entry in staging.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _flush(staging: Path) -> None:
    """Makes all files and folders durable, those inside first."""
    for place, _, files in os.walk(staging, topdown=False):
        for path in (*(Path(place, name) for name in files), Path(place)):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _rename(staging: Path, target: Path) -> None:
    staging.chmod(0o755)
    try:
        staging.rename(target)
    except OSError:
        check_free(target)
        raise
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
