"""Windows over event time: which one a record belongs to, and when one is closed.

- A **tumbling** or **sliding** window covers `[start, start + size)` and starts at a whole multiple
  of `every` since 1970-01-01 00:00 (UTC where times have a zone, else as written).
- Records are gathered in **panes**, the longest stretches that no such window cuts; a window is
  merged from its panes when it closes, so a record is lifted once however many windows hold it.
- A **session** of a key covers its records from the first to `gap` after the last; two records
  that are exactly `gap` apart are of one session.
- A window is closed once the **watermark** has reached its end. A record is late if every window
  that it belongs to is closed; a session that it would join does not make it less late.

Times are whole microseconds since 1970. Source of the rules: Akidau et al., The Dataflow Model
(VLDB 2015), 2.2; panes: Li et al., No Pane, No Gain (SIGMOD Record 2005).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal import batch
from shoal.errors import DtypeError, InvalidRequestError, MissingColumnError

if TYPE_CHECKING:
    import datetime

    from numpy.typing import NDArray

Times: TypeAlias = "NDArray[np.int64]"

# Before any time, and after all of them.
BEGINNING = -(1 << 62)
END = 1 << 62


class Panes(msgspec.Struct, frozen=True, tag="panes"):
    """Tumbling and sliding windows."""

    size_us: int
    every_us: int

    @property
    def pane_us(self) -> int:
        """How long a pane is."""
        return math.gcd(self.size_us, self.every_us)

    def panes(self, times: Times) -> Times:
        """Where the pane of each time starts."""
        return times - times % self.pane_us

    def closes(self, panes: Times) -> Times:
        """Where the last window that holds a pane ends."""
        return panes - panes % self.every_us + self.size_us

    def ends(self, panes: Times, before: int, after: int) -> tuple[Times, Times]:
        """Where the windows end that hold a pane and close as the watermark goes up.

        Args:
            panes: Where panes start.
            before: The watermark was there.
            after: And is there now.

        Returns:
            A pane, by its place in `panes`, and an end, for each pair of them.
        """
        first = panes - (panes - self.size_us) % self.every_us + self.every_us
        first = first + np.maximum((before - first) // self.every_us + 1, 0) * self.every_us
        last = np.minimum(
            self.closes(panes), first + (after - first) // self.every_us * self.every_us
        )
        counts = np.maximum((last - first) // self.every_us + 1, 0)
        rows = np.repeat(np.arange(len(panes)), counts)
        nth = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, first[rows] + nth * self.every_us


class Sessions(msgspec.Struct, frozen=True, tag="sessions"):
    """Sessions."""

    gap_us: int


class Whole(msgspec.Struct, frozen=True, tag="whole"):
    """One window, which closes when the source ends."""


Window: TypeAlias = Panes | Sessions | Whole


def tumbling(size: str | datetime.timedelta) -> Panes:
    """Windows of this length, one after the other, e.g. `tumbling("10s")`.

    Raises:
        InvalidRequestError: `size` is no length of time.
    """
    return sliding(size, size)


def sliding(size: str | datetime.timedelta, every: str | datetime.timedelta) -> Panes:
    """Windows of this length, of which one starts at each multiple of `every`.

    Raises:
        InvalidRequestError: one of them is no length of time, or `every` is above `size`.
    """
    found = Panes(_microseconds(size), _microseconds(every))
    if found.every_us > found.size_us:
        message = f"a window of {size} every {every} would leave records out"
        raise InvalidRequestError(message, hint="Let `every` be at most the size.")
    return found


def session(gap: str | datetime.timedelta) -> Sessions:
    """Windows that end once nothing has come for `gap`, for each key, e.g. `session("30m")`.

    Raises:
        InvalidRequestError: `gap` is no length of time.
    """
    return Sessions(_microseconds(gap))


def microseconds_of(records: pa.RecordBatch, column: str) -> tuple[Times, pa.Array]:
    """The times of records, 0 where there is none; and where there is one.

    Raises:
        MissingColumnError: there is no such column.
        DtypeError: it does not hold times.
    """
    if column not in records.schema.names:
        message = f"there is no column {column!r} for the time of a record"
        raise MissingColumnError(f"{message}, only {', '.join(records.schema.names)}")
    array = records.column(column)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        message = f"column {column!r} is {array.type}, expected a timestamp or a date"
        raise DtypeError(message, hint="Give the time of a record as a timestamp.")
    zone = getattr(array.type, "tz", None)
    whole = array.cast(pa.timestamp("us", zone), safe=False)
    filled = pc.fill_null(whole.cast(pa.int64()), 0)
    times: Times = filled.to_numpy(zero_copy_only=False)
    return times, pc.is_valid(array)


def _microseconds(length: str | datetime.timedelta) -> int:
    microseconds, rest = divmod(batch.nanoseconds(length), 1_000)
    if rest or not microseconds:
        raise InvalidRequestError(f"{length!r} is not a whole number of microseconds")
    return microseconds
