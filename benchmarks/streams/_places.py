"""The events of a run on disk, as each engine reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow.parquet as pq

from benchmarks.streams import _nexmark, _ysb
from benchmarks.streams._shape import Shape, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

MONTH_US = 30 * 86_400 * 1_000_000


class Events(NamedTuple):
    """The events of one benchmark.

    Attributes:
        folder: All of them.
        ended: The same files, and one with a few events a month later. Spark leaves a window open
            until the watermark has passed it; those events close all others, and stay open.
        ads: The campaigns of advertisements; None where there are none.
        time: The column of their time.
        lateness: How late they may be.
    """

    folder: Path
    ended: Path
    ads: Path | None
    time: str
    lateness: str


def prepare(place: Path, shape: Shape) -> dict[str, Events]:
    """Writes all events, for `ysb` and for `nexmark`."""
    ads = place / "ads.parquet"
    pq.write_table(_ysb.ads(shape.seed), ads)
    return {
        "nexmark": Events(
            *_written(place / "nexmark", shape, _nexmark.events), None, "date_time", "4 seconds"
        ),
        "ysb": Events(
            *_written(place / "ysb", shape, _ysb.events), ads, "event_time", "61 seconds"
        ),
    }


def _written(
    place: Path, shape: Shape, make: Callable[[Shape, int, int], pa.Table]
) -> tuple[Path, Path]:
    folder, ended = place / "events", place / "ended"
    write(folder, shape, make)
    ended.mkdir()
    for path in folder.iterdir():
        os.link(path, ended / path.name)
    later = msgspec.structs.replace(shape, base_us=shape.base_us + MONTH_US)
    pq.write_table(make(later, 0, _nexmark.ROUND), ended / "events-later.parquet")
    return folder, ended
