"""How far a pipeline is, read from its ledger."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.pipeline._ledger import FILE, LOCK, Ledger

if TYPE_CHECKING:
    import os


class Status(msgspec.Struct, frozen=True):
    """How far a pipeline is.

    Attributes:
        fingerprint: What decides its answers, as a digest.
        is_running: Whether a process has it.
        epochs: Epochs committed.
        rows_in: Records taken.
        rows_out: Records given to the sink.
        dead_letters: Records set aside and not taken again, by reason.
        watermark_us: How far event time has come, in microseconds since 1970.
        committed_at: When the last epoch was committed, in seconds since 1970; None before it.
        planned: The epoch that is under way; None if there is none.
        size_bytes: The size of the ledger.
    """

    fingerprint: str
    is_running: bool
    epochs: int
    rows_in: int
    rows_out: int
    dead_letters: dict[str, int]
    watermark_us: int | None
    committed_at: float | None
    planned: int | None
    size_bytes: int


def read_status(ledger: str | os.PathLike[str]) -> Status:
    """How far a pipeline is; it may be running.

    Raises:
        PathError: there is no ledger.
    """
    directory = Path(ledger)
    with Ledger.read(directory) as opened:
        last, planned = opened.last(), opened.planned()
        result = None if last is None else last[1]
        return Status(
            fingerprint=opened.about().get("fingerprint", ""),
            is_running=_is_held(directory),
            epochs=0 if last is None else last[0],
            rows_in=0 if result is None else result.totals[0],
            rows_out=0 if result is None else result.totals[1],
            dead_letters=opened.dead_counts(),
            watermark_us=None if result is None else result.watermark.at_us,
            committed_at=None if result is None else result.committed_at,
            planned=None if planned is None else planned.epoch,
            size_bytes=sum(
                file.stat().st_size for file in directory.glob(f"{FILE}*") if file.is_file()
            ),
        )


def _is_held(directory: Path) -> bool:
    with (directory / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
