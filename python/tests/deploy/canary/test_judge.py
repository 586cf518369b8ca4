"""When a metric is good, bad or unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.deploy._canary._analysis import Metric
from shoal.deploy._canary._judge import Measured, Verdict, in_all, judge, reasons

RELATIVE = Metric(
    query="q", samples="s", minimum_samples=100, above_old=0.01, times_old=1.5, at_most=0.5
)
OLD = Measured(0.02, 1000)


@pytest.mark.parametrize(
    ("old", "new", "word", "why"),
    [
        (OLD, Measured(0.03, 100), "good", ""),
        (OLD, Measured(0.0301, 100), "bad", "above 0.03"),
        (Measured(0.2, 1000), Measured(0.3, 100), "good", ""),
        (Measured(0.9, 1000), Measured(0.51, 100), "bad", "above 0.5"),
        (OLD, Measured(0.0, 99), "unknown", "99 of 100 samples"),
        (OLD, Measured(math.nan, 100), "unknown", "the value is nan"),
        (OLD, Measured(math.inf, 100), "unknown", "the value is inf"),
        (OLD, Measured(-math.inf, 100), "unknown", "the value is -inf"),
        (OLD, Measured(0.0, math.nan), "unknown", "nobody counted the samples"),
        (OLD, Measured(problem="no series"), "unknown", "no series"),
        (Measured(0.0, 99), Measured(0.0, 100), "unknown", "the old version: 99 of 100 samples"),
        (Measured(math.nan, 200), Measured(0.0, 100), "unknown", "the old version: the value"),
        (Measured(problem="away"), Measured(0.6, 100), "bad", "above 0.5"),
    ],
    ids=str,
)
def test_a_metric_is_judged(old: Measured, new: Measured, word: str, why: str) -> None:
    verdict = judge("m", RELATIVE, old, new)
    assert verdict.verdict == word
    assert verdict.why.startswith(why)
    assert bool(verdict.why) == bool(why)


def test_what_was_last_known_of_the_old_version_counts_when_it_has_no_requests() -> None:
    away = Measured(0.0, 0.0)
    assert judge("m", RELATIVE, away, Measured(0.029, 100), known=0.02).verdict == "good"
    bad = judge("m", RELATIVE, away, Measured(0.031, 100), known=0.02)
    assert (bad.verdict, bad.old, bad.threshold) == ("bad", 0.02, 0.03)


numbers = st.none() | st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
measured = st.builds(Measured, numbers, numbers)
bounds = st.none() | st.floats(0, 10)
metrics = st.builds(
    Metric,
    query=st.just("q"),
    samples=st.sampled_from([None, "s"]),
    minimum_samples=st.integers(1, 100),
    at_most=bounds,
    above_old=bounds,
    times_old=st.none() | st.floats(1, 10),
).filter(lambda metric: metric.is_relative or metric.at_most is not None)


@given(metrics, measured, measured, st.none() | st.floats(0, 10))
def test_what_is_not_known_is_never_good(
    metric: Metric, old: Measured, new: Measured, known: float | None
) -> None:
    verdict = judge("m", metric, old, new, known=known)
    if verdict.verdict == "good":
        assert new.value is not None
        assert math.isfinite(new.value)
        assert verdict.threshold is not None
        assert new.value <= verdict.threshold
        assert metric.samples is None or (new.samples or 0) >= metric.minimum_samples
    else:
        assert verdict.why


def test_a_look_is_good_when_all_is_good_and_bad_when_one_is_bad() -> None:
    good = Verdict(metric="good", verdict="good", new=0.25)
    bad = Verdict(metric="bad", verdict="bad", new=0.25, why="bad")
    unknown = Verdict(metric="unknown", verdict="unknown", why="no series")
    assert in_all([good, good]) == "good"
    assert in_all([good, unknown]) == "unknown"
    assert in_all([unknown, bad, good]) == "bad"
    assert in_all([]) == "unknown"
    assert reasons([good, bad, unknown], "bad") == "bad is 0.25, bad"
