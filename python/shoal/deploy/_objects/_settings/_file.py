"""Files of settings and patches: read up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import ConfigurationError, PathError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 2**20


def read_limited(path: Path) -> bytes:
    """What is in a file.

    Raises:
        PathError: it cannot be read.
        ConfigurationError: it is longer than a mebibyte.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise PathError(message) from error
    if len(text) > LIMIT_BYTES:
        message = f"{path} is longer than {LIMIT_BYTES:,} bytes"
        raise ConfigurationError(message)
    return text
