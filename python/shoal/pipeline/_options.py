"""How a pipeline runs: none of it changes what comes out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from shoal.errors import InvalidRequestError
from shoal.pipeline._retry import Clock, SystemClock


@dataclass(frozen=True)
class Options:
    """How a pipeline runs.

    Attributes:
        workers: Threads that work micro-batches; None for as many as there are cores.
        commit_every_seconds: How long an epoch gathers; None: learned, as short as can be kept up.
        epoch_bytes: Most bytes of an epoch; None: learned, as much as flows in.
        error_rate: The share of records that may fail before the pipeline stops.
        retry_seconds: How long to try again what may pass, such as a sink that is gone.
        idle_after_seconds: How long a partition may be silent until the others do not wait for it.
        exactly_once: Refuse a source or sink that cannot keep records from being lost or repeated.
        metrics: An address `host:port` at which Prometheus may ask; None for none.
        clock: What tells the time.
    """

    workers: int | None = None
    commit_every_seconds: float | None = None
    epoch_bytes: int | None = None
    error_rate: float = 0.01
    retry_seconds: float = 60.0
    idle_after_seconds: float | None = 60.0
    exactly_once: bool = False
    metrics: str | None = None
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        """Compares what was given with what can be.

        Raises:
            InvalidRequestError: a number is out of range.
        """
        least = {
            "workers": (self.workers, 1),
            "commit_every_seconds": (self.commit_every_seconds, 0),
            "epoch_bytes": (self.epoch_bytes, 1),
            "retry_seconds": (self.retry_seconds, 0),
            "idle_after_seconds": (self.idle_after_seconds, 0),
        }
        for name, (value, bound) in least.items():
            if value is not None and value < bound:
                raise InvalidRequestError(f"{name} is {value}, expected at least {bound}")
        if not 0 <= self.error_rate <= 1:
            raise InvalidRequestError(f"error_rate is {self.error_rate}, expected 0 to 1")

    @property
    def threads(self) -> int:
        """How many threads work."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def epochs_in_flight(self) -> int:
        """How many epochs may wait for their commit."""
        return self.threads
