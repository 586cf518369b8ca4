"""The pure parts of the autoscaling benchmark: loads, plays, and what follows from outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.autoscaling._models import MODELS
from benchmarks.autoscaling._profiles import read
from benchmarks.autoscaling._shapes import USED, Shape, shapes
from benchmarks.autoscaling._study import (
    BEHAVIOUR,
    LEAST,
    MOST,
    QUEUE_WAIT_TARGET,
    Outcome,
    Play,
    Scaler,
    best_target,
    scalers,
)

ROOT = Path(__file__).parents[3]
HOUR_MS = 3.6e6
EVEN = Shape("even", [1.0, 2.5], HOUR_MS)


def outcome(shape: str, target: float, late_share: float, behaviour: str = "shoal") -> Outcome:
    scaler = Scaler("queue wait", target, behaviour)
    return Outcome("network", shape, scaler, 100, 1.0, 1.0, 1.0, 1.0, late_share, 2, 0)


def test_load_shapes_are_made_anew_as_they_were() -> None:
    assert shapes() == shapes()
    spans = {shape.name: shape.span_ms / HOUR_MS for shape in shapes()}
    assert spans == {"steps": pytest.approx(11 / 6), "day": 24.0, "bursts": 2.0}
    assert all(level > 0 for shape in shapes() for level in shape.levels)


def test_a_day_is_quiet_at_night_and_busiest_in_the_evening() -> None:
    day = next(shape for shape in shapes() if shape.name == "day").levels
    hours = [max(day[hour * 60 : (hour + 1) * 60]) for hour in range(24)]
    assert hours.index(max(hours)) in {19, 20}
    assert max(hours) > 5 * min(hours)


@pytest.mark.parametrize("model", MODELS)
def test_the_kept_profile_of_a_model_rises_with_its_rows(model: str) -> None:
    profile = read(model)
    rows = [size for size, _ in profile.sizes]
    times = [ms for _, ms in profile.sizes]
    assert (rows, times) == (sorted(set(rows)), sorted(times))
    assert rows[0] == 1
    assert profile.capacity_per_ms >= 1 / profile.one_row_ms


def test_a_play_is_scaled_to_what_a_replica_can_do() -> None:
    profile = read("network")
    fleet = Play(profile, EVEN, Scaler("queue wait", 0.5)).fleet()
    assert fleet["per_ms"] == [USED * profile.capacity_per_ms * level for level in EVEN.levels]
    assert (fleet["span_ms"], fleet["replicas"]) == (2 * HOUR_MS, [LEAST, MOST])
    assert fleet["scaler"] == {"queue_wait": {"of_one_row": 0.5}}
    assert fleet["behaviour"] == BEHAVIOUR


def test_others_are_scaled_at_the_pace_of_kubernetes_or_not_at_all() -> None:
    profile = read("network")
    by_cpu = Play(profile, EVEN, Scaler("cpu", 0.7, "kubernetes")).fleet()
    assert by_cpu["scaler"] == {"cpu": {"utilisation": 0.7}}
    assert "behaviour" not in by_cpu
    fixed = Play(profile, EVEN, Scaler("fixed", 0.0)).fleet()
    assert (fixed["scaler"], fixed["replicas"]) == ("fixed", [3, 3])


def test_every_scaler_has_a_name_of_its_own() -> None:
    names = [scaler.name for scaler in scalers()]
    assert len(set(names)) == len(names)


def test_the_default_is_what_follows_from_the_newest_result() -> None:
    newest = max((ROOT / "benchmarks/autoscaling/results").glob("*.json"))
    result = json.loads(newest.read_bytes())
    assert result["best_target"] == result["default_target"] == QUEUE_WAIT_TARGET


def test_the_best_target_is_the_highest_that_is_in_time_over_a_day_and_steps() -> None:
    days = [outcome("day", 0.4, 0.0), outcome("day", 0.6, 0.009), outcome("day", 0.8, 0.02)]
    others = [outcome("bursts", 0.4, 0.5), outcome("day", 0.9, 0.0, "kubernetes")]
    assert best_target([*days, *others]) == 0.6
    assert best_target([*days, *others, outcome("steps", 0.6, 0.02)]) == 0.4
    assert best_target([outcome("day", 0.4, 0.5)]) is None
