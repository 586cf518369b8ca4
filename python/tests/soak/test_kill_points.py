"""A writer of packages that is killed leaves nothing half-written, and is no harm to the next one.

`python/tests/package` fails every call that reaches the disk; here the process itself is killed, so
that no handler cleans up. `just test` kills at some points, `just prove` at all.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = Path(__file__).parents[2]
POINTS, MOMENTS = 12, 6


def killed(deed: str, prove_scale: int) -> dict[str, Any]:
    """Kill a deed at `POINTS` points and `MOMENTS` moments, times the scale."""
    seed = 1 if prove_scale == 1 else random.SystemRandom().randrange(2**32)
    counts = {"points": POINTS * prove_scale, "moments": MOMENTS * prove_scale, "seed": seed}
    options = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.soak.kill_points", deed, *options],
        cwd=PYTHON,
        stdout=subprocess.PIPE,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("deed", ["sealing", "attesting"])
def test_a_killed_writer_leaves_all_or_nothing_and_the_next_one_succeeds(
    deed: str, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    report = killed(deed, prove_scale)
    points, moments = report["points"], report["moments"]
    assert not points["failures"] + moments["failures"]
    assert points["killed"] >= min(POINTS * prove_scale, points["points"])
    assert 0 < points["whole"] < points["killed"]  # the moment of the change lies between
    assert moments["killed"] > 0
    record_property("cases", points["killed"] + moments["killed"])
    record_property("points", points["points"])
