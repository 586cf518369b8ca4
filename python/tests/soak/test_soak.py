"""A real server under every kind of client at once, for long: nobody harmed, nothing leaked.

`SHOAL_PROVE_SCALE` multiplies how long the load lasts, and how often a server is ended under load.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import poll, serving
from tests.soak import material
from tests.soak.load import Held, connections, counted, held_by, load, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.soak.tally import Tally

LOAD_S = 2.0
WARM_UP_SHARE = 0.3  # caches and the allocator find their size
SAMPLE_S = 0.05
GROWTH_LIMIT_BYTES = 24 << 20  # over any length of load: a leak grows with it
DRAIN_S = 0.3
ERRORS = {
    "body_too_large",
    "deadline_out_of_reach",
    "malformed_json",
    "model_failed",
    "no_http",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("soak")
    return material.digits(directory), material.fragile(directory)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where `fragile` writes which rows it answered, once the file is there."""
    return tmp_path / "ledger"


@pytest.fixture
def served(packages: tuple[Path, Path], ledger: Path) -> Iterator[Served]:
    arguments = ("--allow-code",)
    with serving(*packages, arguments=arguments, SHOAL_LEDGER=str(ledger)) as served:
        yield served


def seed_of(prove_scale: int) -> int:
    """The same in every test run; another one for every proof."""
    return 1 if prove_scale == 1 else random.SystemRandom().randrange(2**20)


def warm_up(served: Served, seed: int) -> tuple[Tally, Held]:
    """A short load, so that all is loaded that is loaded once; what the server holds after it."""
    with load("mixed", served, seed=seed, processes=1) as clients:
        seen = clients.end()
    assert not seen.failures, f"seed {seed}: {seen.failures[:3]}"
    poll(lambda: connections(served) == 0, "the server closes what its clients have closed")
    return seen, held_by(served)


def wait_until_at_rest(served: Served, at_rest: Held) -> None:
    """Wait until the server holds no more files and threads than at rest."""

    def is_at_rest() -> bool:
        held = held_by(served)
        return held.files <= at_rest.files and held.threads <= at_rest.threads

    poll(is_at_rest, f"nothing more is held than {at_rest}")


def memory_over(served: Served, seconds: float) -> list[int]:
    """Resident bytes, sampled for that long."""
    ends_at = time.monotonic() + seconds
    samples = []
    while time.monotonic() < ends_at:
        samples.append(resident_bytes(served.process.pid))
        time.sleep(SAMPLE_S)
    return samples


def growth_bytes(samples: list[int]) -> int:
    """From the first to the last quarter of what follows the warm-up, by medians."""
    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    quarter = len(warm) // 4
    return round(statistics.median(warm[-quarter:]) - statistics.median(warm[:quarter]))


def check_counts(seen: Tally, served: Served) -> None:
    """The server answered what its clients saw, and what some clients did not stay for."""
    answered = Counter(counted(served))
    for model in ("digits", "fragile"):
        right, left = seen.counts[f"ok/{model}"], seen.counts[f"abandoned/{model}"]
        assert right <= answered[model, "ok"] <= right + left, (model, answered, seen.counts)
    assert answered["fragile", "model_failed"] == seen.counts["model_failed"]
    assert not [outcome for _, outcome in answered if outcome == "internal"]


def end_under_load(served: Served, ledger: Path, *, seed: int) -> int:
    """SIGTERM while clients ask: what the model answered has reached who asked. Answers counted."""
    ledger.touch()
    with load("drain", served, seed=seed) as clients:
        memory_over(served, DRAIN_S)
        assert served.stop() == 0
        seen = clients.end()
    assert not seen.failures
    answered = [int(number) for number in ledger.read_text("ascii").split()]
    assert not sorted(set(answered) & set(seen.unanswered)), dict(seen.counts)
    assert len(answered) == len(set(answered)) == seen.counts["ok/fragile"]
    return seen.counts["ok/fragile"]


def test_nobody_is_harmed_and_nothing_leaks_under_every_kind_of_client(
    served: Served, ledger: Path, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    seed = seed_of(prove_scale)
    seen, at_rest = warm_up(served, seed)
    with load("mixed", served, seed=seed + 1) as clients:
        samples = memory_over(served, LOAD_S * prove_scale)
        seen.add(clients.end())
    assert not seen.failures, f"seed {seed}: {seen.failures[:3]}"
    assert seen.counts.keys() >= ERRORS
    wait_until_at_rest(served, at_rest)
    check_counts(seen, served)
    assert growth_bytes(samples) < GROWTH_LIMIT_BYTES
    drained = end_under_load(served, ledger, seed=0)
    record_property("cases", seen.counts["visits"] + drained)
    record_property("visits", dict(seen.counts))
    record_property("resident_bytes", {"first": samples[0], "most": max(samples)})
    record_property("growth_bytes", growth_bytes(samples))


def test_all_that_was_accepted_is_answered_when_a_signal_comes_under_load(
    packages: tuple[Path, Path],
    ledger: Path,
    prove_scale: int,
    record_property: Callable[[str, object], None],
) -> None:
    answered = 0
    for turn in range(max(1, prove_scale // 4)):
        with serving(*packages, arguments=("--allow-code",), SHOAL_LEDGER=str(ledger)) as served:
            answered += end_under_load(served, ledger, seed=turn)
        ledger.unlink()
    record_property("cases", answered)
