"""Doubles, but not while there is a file `hold`: it leaves a file `reached` then, and waits."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.compute as pc

POLL_S = 0.005
PATIENCE_S = 50.0


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    notes = Path(os.environ.get("SHOAL_NOTES", "/nonexistent"))
    if (notes / "hold").exists():
        (notes / "reached").touch()
        wait_until_gone(notes / "hold")
        (notes / "reached").unlink(missing_ok=True)
    return pa.record_batch({"double": pc.multiply(batch["value"], 2.0)})


def wait_until_gone(mark: Path) -> None:
    pause = Event()
    for _ in range(int(PATIENCE_S / POLL_S)):
        if not mark.exists():
            return
        pause.wait(POLL_S)
    message = f"{mark} never went away"
    raise TimeoutError(message)
