"""The one way in which a model of these stories waits for a test: for a file, with a deadline."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

POLL_S = 0.005
PATIENCE_S = 60.0


def wait_for(mark: Path) -> None:
    """Return once somebody has made the file.

    Raises:
        TimeoutError: nobody did.
    """
    pause = Event()
    for _ in range(int(PATIENCE_S / POLL_S)):
        if mark.exists():
            return
        pause.wait(POLL_S)
    message = f"{mark} was never made"
    raise TimeoutError(message)
