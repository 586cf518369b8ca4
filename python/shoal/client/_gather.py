"""Which calls travel in one envelope? A pure state machine: time is an argument.

Rules:

- Calls made in one tick of the event loop travel together: whoever drives this asks `due_us` when
  a call arrives and sends what waits at the end of the tick, not before.
- With nothing in flight, nothing waits longer than that: a lone caller is not delayed.
- With an envelope in flight, calls gather for `wait_us`, counted from the first that waits, or
  until an envelope comes back: its callers ask again in that tick, and take those along who wait.
- Of 32 calls and more that leave with nothing in flight, half leave in an envelope of their own:
  while the server is at work on one half, the client is at work on the other.
- An envelope has at most `tasks` tasks and `size_bytes` bytes; calls leave in the order in which
  they came. What reaches a limit is due at once, whatever is in flight. A call that is as large as
  the limit by itself leaves alone, and others are not held up by it.

Nothing here knows what a call is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from shoal.errors import ConfigurationError

_Call = TypeVar("_Call")
_HALVED = 32


@dataclass(frozen=True, slots=True)
class Gathering:
    """How far calls are gathered.

    Attributes:
        tasks: At most so many travel in one envelope.
        size_bytes: And at most so many bytes of tasks.
        wait_us: How long a call waits for others while an envelope is in flight, in microseconds.
            Event loops that count in milliseconds may take it to one.

    Raises:
        ConfigurationError: A limit is below 1, or the wait below 0.
    """

    tasks: int = 256
    size_bytes: int = 1 << 20
    wait_us: int = 300

    def __post_init__(self) -> None:
        if min(self.tasks, self.size_bytes) < 1 or self.wait_us < 0:
            raise ConfigurationError(f"{self} has a limit below 1, or a wait below 0")


class Gatherer(Generic[_Call]):
    """The calls that wait, and how many envelopes are in flight.

    Args:
        limits: How far calls are gathered.
    """

    def __init__(self, limits: Gathering) -> None:
        self._limits = limits
        self._waiting: deque[tuple[_Call, int, int]] = deque()
        self._waiting_bytes = 0
        self._other_half = 0
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def arrive(self, call: _Call, size_bytes: int, now_us: int) -> None:
        """Takes a call in."""
        self._waiting.append((call, size_bytes, now_us))
        self._waiting_bytes += size_bytes

    def due_us(self, now_us: int) -> int | None:
        """Gives how long until the next envelope is due: 0 is at the end of this tick, None never.

        Microseconds.
        """
        if not self._waiting:
            return None
        if not self.in_flight or self._other_half or self._is_full():
            return 0
        return max(0, self._waiting[0][2] + self._limits.wait_us - now_us)

    def depart(self) -> list[_Call]:
        """Gives the calls of the next envelope, which is in flight from now on."""
        taken: list[_Call] = []
        taken_bytes, most = 0, self._most()
        while self._waiting and len(taken) < most:
            call, size_bytes, _ = self._waiting[0]
            if taken and taken_bytes + size_bytes > self._limits.size_bytes:
                break
            self._waiting.popleft()
            self._waiting_bytes -= size_bytes
            taken_bytes += size_bytes
            taken.append(call)
        self._other_half = max(0, self._other_half - len(taken))
        self.in_flight += bool(taken)
        return taken

    def land(self) -> None:
        """Notes that an envelope came back, whatever came of it."""
        self.in_flight -= 1

    def _most(self) -> int:
        """Gives how many calls the next envelope takes at most; cuts in half what leaves first."""
        most = self._other_half or len(self._waiting)
        if not self.in_flight and most >= _HALVED:
            self._other_half = most
            most -= most // 2
        return min(most, self._limits.tasks)

    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= self._limits.tasks
            or self._waiting_bytes >= self._limits.size_bytes
        )
