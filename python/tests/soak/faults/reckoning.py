"""Two counts of one load, the clients' and the server's, held against each other.

A client that left cannot know what became of its request. So the server's count of an outcome lies
between the clients' count of it, and that plus the requests whose clients left.
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.soak.faults.ledger import Seen

COUNTED_MODELS = ("digits", "pure", "careful")  # always loaded: nothing of them is forgotten
ACCEPTED = ("ok", "model_failed", "worker_lost", "worker_timeout", "deadline_exceeded")
WARM_UP_SHARE = 0.2  # caches and the allocator find their size
TORN = ("gone_mid_upload", "slow_head", "slow_body", "opened_and_dropped")


@dataclass(frozen=True)
class Server:
    """What a server counts: `MODEL OUTCOME`, refusals by code, requests whose client left."""

    outcomes: Mapping[str, int]
    rejected: Mapping[str, int]
    abandoned: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    def accepted(self, model: str) -> int:
        """Requests of a model that came to it."""
        return sum(self.outcomes.get(f"{model} {outcome}", 0) for outcome in ACCEPTED)


def disagreements(seen: Seen, server: Server) -> list[str]:
    """Where the two counts cannot both be right, in words."""
    found = [each for model in COUNTED_MODELS for each in _of_model(model, seen, server)]
    found += _of_refusals(seen, server)
    most = seen.left.total() + sum(seen.faults[kind] for kind in TORN)
    found += _outside("abandoned", server.abandoned, (0, most))
    for late, kind in (("header_timeout", "slow_head"), ("body_timeout", "slow_body")):
        count = seen.faults[kind]
        found += _outside(late, server.dropped.get(late, 0), (count, count))
    return found


def _of_model(model: str, seen: Seen, server: Server) -> list[str]:
    left = seen.left[model]
    told = {code: seen.refused[f"{model} {code}"] for code in ACCEPTED} | {"ok": seen.right[model]}
    found = []
    for outcome, least in told.items():
        count = server.outcomes.get(f"{model} {outcome}", 0)
        found += _outside(f"{model} {outcome}", count, (least, least + left))
    answered = sum(told.values())
    return found + _outside(
        f"{model} accepted", server.accepted(model), (answered, answered + left)
    )


def _of_refusals(seen: Seen, server: Server) -> list[str]:
    told = Counter(seen.other_codes)
    for key, count in seen.refused.items():
        told[key.partition(" ")[2]] += count
    loose = seen.left.total() + seen.faults["gone_mid_upload"] + seen.faults["slow_body"]
    codes = (set(told) | set(server.rejected)) - set(ACCEPTED)
    found = []
    for code in sorted(codes):
        count = server.rejected.get(code, 0)
        found += _outside(f"rejected {code}", count, (told[code], told[code] + loose))
    return found


def _outside(what: str, count: int, bounds: tuple[int, int]) -> list[str]:
    least, most = bounds
    return [] if least <= count <= most else [f"{what}: {count}, expected {least} to {most}"]


def tenths(samples: Sequence[int]) -> list[int]:
    """The median of each tenth, in order: whether something grew for ever, in steps or once."""
    edges = [len(samples) * tenth // 10 for tenth in range(11)]
    parts = (samples[start:end] for start, end in itertools.pairwise(edges))
    return [round(statistics.median(part)) for part in parts if part]


def drift_percent(samples: Sequence[int]) -> float:
    """From the first to the last quarter of what follows the warm-up, by medians."""
    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    quarter = max(1, len(warm) // 4)
    first, last = statistics.median(warm[:quarter]), statistics.median(warm[-quarter:])
    return 100 * (last - first) / first
