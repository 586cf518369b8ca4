"""The journal of a search: what a killed one has written is read again.

- A line that a kill or a full disk has cut is cut off; a journal that is damaged elsewhere is
  refused by name.
- One process writes it: whoever calls holds the place, so no lock is taken here that a kill would
  leave behind.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from shoal.errors import ConflictError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_BYTES = 1 << 16


class _NoLock(BaseJournalFileLock):
    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _Backend(JournalFileBackend):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_NoLock())
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with written(self._path):
            super().append_logs(logs)


def opened(path: Path) -> JournalStorage:
    """The journal as Optuna's storage.

    Raises:
        ConflictError: it is damaged, or none.
        SinkError: it cannot be written.
    """
    with written(path):
        _cut(path)
    try:
        return JournalStorage(_Backend(path))
    except (ValueError, LookupError, TypeError) as error:
        message = f"{path} is not the journal of a search: {error}"
        raise ConflictError(message, hint="Begin anew with another journal.") from error


@contextmanager
def written(path: Path) -> Iterator[None]:
    """What the system refuses becomes an error that names the journal.

    Raises:
        SinkError: the system refused.
    """
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        hint = "Free some space; the search goes on where it was."
        raise SinkError(message, hint=hint) from error


def _cut(path: Path) -> None:
    """Cuts off a last line that has no end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size_bytes = file.seek(0, 2)
        end = size_bytes
        while end:
            start = max(end - READ_BYTES, 0)
            file.seek(start)
            if (place := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + place + 1
                break
            end = start
        if end < size_bytes:
            file.truncate(end)
