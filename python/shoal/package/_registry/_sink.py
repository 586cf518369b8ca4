"""A file that is written and hashed while more of it comes.

- What a file holds already is hashed first, and what comes is added to it.
- Larger files have a thread that writes and hashes, so that the network need not wait for it; so
  many pieces wait for the thread and no more.
"""

from __future__ import annotations

import hashlib
import os
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_WAITING_PIECES = 32
_READ_BYTES = 1024 * 1024
_THREAD_FROM_BYTES = 1024 * 1024


class Sink:
    """One file; a block ends with it closed."""

    def __init__(self, path: Path) -> None:
        """Opens it, and hashes what it holds.

        Raises:
            OSError: it cannot be opened or read.
        """
        self._file = path.open("a+b", buffering=0)
        self._hasher = hashlib.sha256()
        self._pieces: Queue[bytes | None] = Queue(_WAITING_PIECES)
        self._thread: Thread | None = None
        self._error: OSError | None = None
        self.size_bytes = 0
        self._file.seek(0)
        while piece := self._file.read(_READ_BYTES):
            self._hasher.update(piece)
            self.size_bytes += len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_thread()
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Adds to it.

        Raises:
            OSError: it cannot be written.
        """
        self.size_bytes += len(piece)
        if self._thread is None and self.size_bytes < _THREAD_FROM_BYTES:
            self._take(piece)
            return
        if self._thread is None:
            self._thread = Thread(target=self._run, name="shoal-sink", daemon=True)
            self._thread.start()
        self._pieces.put(piece)
        if self._error is not None:
            raise self._error

    def empty(self) -> None:
        """Begins anew.

        Raises:
            OSError: it cannot be written.
        """
        self._settle()
        self._file.truncate(0)
        self._hasher = hashlib.sha256()
        self.size_bytes = 0

    def digest(self) -> str:
        """The digest of all that was written, which is on the disk then.

        Raises:
            OSError: it cannot be written.
        """
        self._settle()
        os.fsync(self._file.fileno())
        return f"sha256:{self._hasher.hexdigest()}"

    def _take(self, piece: bytes) -> None:
        self._hasher.update(piece)
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._error is None:
                try:
                    self._take(piece)
                except OSError as error:
                    self._error = error

    def _settle(self) -> None:
        """All that came is written."""
        self._end_thread()
        if self._error is not None:
            raise self._error

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
            self._thread = None
