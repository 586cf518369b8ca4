"""A model that doubles, and does what it should not when a row tells it to; see `MISDEEDS`.

`SHOAL_NOTES` is a directory: a file `calls` has a line for each call (process and rows), the row
`WAITS` leaves a file `reached` and waits for a file `open`, and
the files `broken`, `ends` and `slow` keep the import from succeeding.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from threading import Event

import pyarrow as pa

from .patience import wait_for

RAISES, IS_KILLED, HANGS, EXITS, ASKS_TO_EXIT, ALLOCATES, WAITS, PRINTS = map(float, range(-8, 0))

notes = Path(os.environ.get("SHOAL_NOTES", "/nonexistent"))
if (notes / "broken").exists():
    raise ImportError("the library of this model is not here")
if (notes / "ends").exists():
    os._exit(7)
if (notes / "slow").exists():
    (notes / "opening").write_text(str(os.getpid()))
    Event().wait()


def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = batch["value"].to_pylist()
    if notes.is_dir():
        with (notes / "calls").open("a") as calls:
            calls.write(f"{os.getpid()} {len(rows)}\n")
    for row in rows:
        if row in MISDEEDS:
            MISDEEDS[row]()
    return pa.record_batch({"double": [2.0 * row for row in rows]})


def raises() -> None:
    raise ValueError("this row has no double")


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hangs() -> None:
    Event().wait()


def allocates() -> None:
    bytearray(64 * 2**30)


def waits() -> None:
    (notes / "reached").touch()
    wait_for(notes / "open")


def prints() -> None:
    print("printed by the model" * 1000)  # noqa: T201 - the misdeed
    os.write(1, b"written to standard output\n")
    ctypes.CDLL(None).puts(b"put by a library")
    sys.stdout.write(f"read: {sys.stdin.read()!r}")


MISDEEDS = {
    RAISES: raises,
    IS_KILLED: is_killed,
    HANGS: hangs,
    EXITS: lambda: os._exit(3),
    ASKS_TO_EXIT: lambda: sys.exit(4),
    ALLOCATES: allocates,
    WAITS: waits,
    PRINTS: prints,
}
