"""Names that are durable: a file is there after a power cut once its directory was synced."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.errors import PipelineError


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable.

    Raises:
        OSError: the system refuses.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def refused(kind: type[PipelineError], path: Path) -> Iterator[None]:
    """What the system refuses becomes an error of a kind, which names the place."""
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise kind(message) from error
