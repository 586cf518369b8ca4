"""Places are paths of this machine, or addresses of a store; who reads and writes need not know."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from shoal.source._folder import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source._folder_sink import Folder


def is_remote(where: str) -> bool:
    """Whether a place is an address of a store."""
    return "://" in where


def folder(where: str) -> Folder:
    """A folder to write to.

    Raises:
        SourceError: the address is none of a store.
    """
    if not is_remote(where):
        return LocalFolder(Path(where))
    from shoal.source._objects import ObjectFolder

    return ObjectFolder(where)


@contextmanager
def opened(where: str) -> Iterator[IO[bytes]]:
    """A file to be read from any place in it.

    Raises:
        OSError: there is none, or it cannot be read.
        SourceError: a store refuses.
    """
    if is_remote(where):
        from shoal.source._objects import reader

        with reader(where) as file:
            yield file
    else:
        with Path(where).open("rb") as file:
            yield file
