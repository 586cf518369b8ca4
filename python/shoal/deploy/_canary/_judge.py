"""What a look says of a metric: good, bad, or unknown. No input or output, no clock.

- Unknown is never good: no answer, no number, NaN, an infinity, too few samples, or an old version
  that nothing is known of.
- At 100 % the old version has no requests: then what was last known of it counts.
- A new version above an absolute bound is bad, whatever is known of the old one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.deploy._canary._analysis import Metric

Word: TypeAlias = Literal["good", "bad", "unknown"]


class Measured(msgspec.Struct, frozen=True):
    """What is known of one version.

    Attributes:
        value: The number; None where there is none.
        samples: What it was made of; None where nobody counts.
        problem: Why there is no number.
    """

    value: float | None = None
    samples: float | None = None
    problem: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says of one metric.

    Attributes:
        metric: Its name.
        verdict: What it comes to.
        old: The value of the old version.
        new: The value of the new version.
        threshold: What the new version may be at most.
        samples: What the value of the new version was made of.
        why: Why it is bad or unknown.
    """

    metric: str
    verdict: Word
    old: float | None = None
    new: float | None = None
    threshold: float | None = None
    samples: float | None = None
    why: str = ""


def judge(
    name: str, metric: Metric, old: Measured, new: Measured, *, known: float | None = None
) -> Verdict:
    """Judges a new version by one metric.

    Args:
        name: The name of the metric.
        metric: Its bounds.
        old: What is known of the old version now.
        new: What is known of the new one now.
        known: What was last known of the old version.
    """
    problem = lacking(new, metric)
    compared = old.value if not lacking(old, metric) else known
    threshold = _threshold(metric, compared)
    shown = new.value if new.value is not None and math.isfinite(new.value) else None
    if problem:
        word: Word = "unknown"
    elif metric.at_most is not None and _is_above(new.value, metric.at_most):
        word, threshold, problem = "bad", metric.at_most, f"above {metric.at_most:g}"
    elif threshold is None:
        word, problem = "unknown", f"the old version: {lacking(old, metric)}"
    elif _is_above(new.value, threshold):
        word, problem = "bad", f"above {threshold:g}"
    else:
        word = "good"
    return Verdict(
        metric=name,
        verdict=word,
        old=compared,
        new=shown,
        threshold=threshold,
        samples=new.samples,
        why=problem,
    )


def lacking(measured: Measured, metric: Metric) -> str:
    """Why nothing is known of a version; nothing where its value counts."""
    if measured.value is None:
        return measured.problem or "no value"
    if not math.isfinite(measured.value):
        return f"the value is {measured.value}"
    if metric.samples is None:
        return ""
    if measured.samples is None or not math.isfinite(measured.samples):
        return measured.problem or "nobody counted the samples"
    if measured.samples < metric.minimum_samples:
        return f"{measured.samples:.0f} of {metric.minimum_samples} samples"
    return ""


def in_all(verdicts: Sequence[Verdict]) -> Word:
    """What a look comes to: bad if one is bad, good if all are."""
    words = {each.verdict for each in verdicts}
    if "bad" in words:
        return "bad"
    return "good" if words == {"good"} else "unknown"


def reasons(verdicts: Sequence[Verdict], word: Word) -> str:
    """Why metrics are bad, or unknown, in words."""
    found = [
        f"{each.metric} {'' if each.new is None else f'is {each.new:.4g}, '}{each.why}"
        for each in verdicts
        if each.verdict == word
    ]
    return "; ".join(found)


def _threshold(metric: Metric, old: float | None) -> float | None:
    if not metric.is_relative:
        return metric.at_most
    if old is None:
        return None
    bounds = []
    if metric.above_old is not None:
        bounds.append(old + metric.above_old)
    if metric.times_old is not None:
        bounds.append(old * metric.times_old)
    relative = max(bounds)
    return relative if metric.at_most is None else min(relative, metric.at_most)


def _is_above(value: float | None, bound: float) -> bool:
    return value is not None and value > bound
