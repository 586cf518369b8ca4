"""What is measured, as values: no clock, no process, no file.

Units are in the names. A "share" is of one core's time between 0 and 1, unless said otherwise.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


MANY_CONNECTIONS = 64
"""The load that servers are compared at."""

OVERLOAD_SHARE = 1.5
"""What is offered in an overload, of what a server answers at `MANY_CONNECTIONS`."""


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a load generator saw in one window; load.lua prints it as JSON."""

    requests: int
    duration_us: int
    p50_us: int
    p90_us: int
    p99_us: int
    mean_us: float
    max_us: int
    bad_status: int
    connect: int
    read: int
    write: int
    timed_out: int

    @property
    def requests_per_s(self) -> float:
        """Answers per second of the window."""
        return self.requests * 1e6 / self.duration_us

    @property
    def failures(self) -> int:
        """Requests that did not end in an answer below status 400."""
        return self.bad_status + self.connect + self.read + self.write + self.timed_out


class Window(msgspec.Struct, frozen=True):
    """One load on one server, and who used the processor meanwhile."""

    load: Load
    requests_per_s: float
    server_cpu_share: float
    generator_cpu_share: float
    foreign_cpu_share: float
    """Processor time of all cores that neither the server nor the load generator used."""
    steal_share: float
    """Processor time that the machine's host gave to others."""

    @property
    def cpu_us_per_request(self) -> float:
        """Processor time of the server for one answer."""
        return self.server_cpu_share * 1e6 / self.requests_per_s


class Costs(msgspec.Struct, frozen=True):
    """What one request costs at the least, measured beside the server in the same round."""

    parse_us: float
    kernel_us_per_call: dict[int, float]
    """ONNX Runtime's time for one call, by rows in the call."""


class Turn(msgspec.Struct, frozen=True):
    """One server's turn in one round."""

    server: str
    setting: str
    round: int
    many: Window
    """64 connections."""
    one: Window
    """1 connection."""
    batch_rows_mean: float | None = None
    """Mean rows of a micro-batch at 64 connections, as the server's own metrics tell."""
    costs: Costs | None = None
    is_default: bool = False
    """A peer with the setting its makers ship."""


class Trial(msgspec.Struct, frozen=True):
    """One short run with a setting that was tried before the rounds."""

    server: str
    setting: str
    requests_per_s: float


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of the rounds."""

    median: float
    minimum: float
    maximum: float


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value.

    Raises:
        statistics.StatisticsError: There is no value.
    """
    seen = sorted(values)
    return Spread(statistics.median(seen), seen[0], seen[-1])
