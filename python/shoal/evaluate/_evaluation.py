"""What an evaluation holds, as plain values: the same in a report and as JSON.

- A number that is not defined is None, and `note` says why; a value is never NaN or infinite.
- A note beside a value says what to know before it is trusted.
- `from_json(to_json(evaluation))` is the evaluation.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from shoal.errors import InvalidRequestError, MalformedJsonError
from shoal.evaluate._task import Better, Label, Settings, Task

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Interval(msgspec.Struct, frozen=True):
    """Between which values a metric lies, in as large a share of replicates as was asked for."""

    low: float
    high: float


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number about a model.

    Attributes:
        name: What is measured.
        value: The number, or None where there is none: see `note`.
        bounds: How far it may be off; None without a value or without replicates.
        better: Which way is better.
        note: Why there is no value or interval, or what to know about it.
    """

    name: str
    value: float | None
    bounds: Interval | None = None
    better: Better = "higher"
    note: str | None = None


class LabelMetrics(msgspec.Struct, frozen=True):
    """How well one label is told from all others.

    Attributes:
        label: The label.
        records: How many records are truly of it; a weight where records are weighed.
        metrics: `precision`, `recall`, `f1`, and of scores `roc_auc` and `average_precision`.
    """

    label: Label
    records: float
    metrics: tuple[Metric, ...]


class Bin(msgspec.Struct, frozen=True):
    """Records whose probability lies in one bin.

    Attributes:
        low: Where the bin begins.
        high: Where the next one begins.
        records: How many; a weight where records are weighed.
        probability: Their mean probability; None of no record.
        share: How many of them came true; None of no record.
    """

    low: float
    high: float
    records: float
    probability: float | None
    share: float | None


class Calibration(msgspec.Struct, frozen=True):
    """Whether probabilities are the shares that come true.

    Attributes:
        of: The positive label; None where there are more than two labels, and the probability of
            the most probable label is compared with how often it is the true one.
        bins: From the lowest probability up.
    """

    of: Label | None
    bins: tuple[Bin, ...]


class Threshold(msgspec.Struct, frozen=True):
    """What is found if records count as positive from this probability up."""

    threshold: float
    precision: float | None
    recall: float | None
    f1: float
    false_positive_rate: float | None
    answered_positive: float


class Curve(msgspec.Struct, frozen=True):
    """The steps of a label's curves, thinned: from the highest score down.

    Attributes:
        label: Told from all others.
        false_positive_rate: For the ROC curve.
        recall: For both curves.
        precision: For the precision-recall curve.
    """

    label: Label
    false_positive_rate: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]


class Histogram(msgspec.Struct, frozen=True):
    """How many records lie between neighbouring edges; a weight where records are weighed."""

    edges: tuple[float, ...]
    records: tuple[float, ...]


class Agreement(msgspec.Struct, frozen=True):
    """True numbers beside answered ones.

    Attributes:
        edges: Where cells meet, of both numbers.
        records: By cell of the truth, then of the answer.
        errors: A histogram of answer - truth.
    """

    edges: tuple[float, ...]
    records: tuple[tuple[float, ...], ...]
    errors: Histogram


class Slice(msgspec.Struct, frozen=True):
    """The records of one value of a column.

    Attributes:
        value: The value as text; None where it is missing.
        records: How many records.
        metrics: As of all records.
    """

    value: str | None
    records: int
    metrics: tuple[Metric, ...]


class Sliced(msgspec.Struct, frozen=True):
    """All records, by the values of one column.

    Attributes:
        column: The column.
        slices: One for each value.
        differences: By metric, the largest difference between two slices; None where fewer than
            two have the metric.
    """

    column: str
    slices: tuple[Slice, ...]
    differences: dict[str, float | None]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How good the answers of a model are.

    Attributes:
        task: What the model answers.
        settings: How this was measured.
        records: How many records were measured.
        metrics: Of all records.
        by_label: Of each label; empty for numbers.
        confusion: Truths by answers, in the order of the labels; empty for numbers.
        calibration: None where there are no probabilities.
        thresholds: Of two labels with probabilities, else empty.
        curves: Of labels with scores, else empty.
        agreement: Of numbers, else None.
        slices: By each column that was named.
        notes: What to know before any number is trusted.
        method: How it was measured, by what is said of it; empty where it is as `settings` say.
    """

    task: Task
    settings: Settings
    records: int
    metrics: tuple[Metric, ...]
    by_label: tuple[LabelMetrics, ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    calibration: Calibration | None = None
    thresholds: tuple[Threshold, ...] = ()
    curves: tuple[Curve, ...] = ()
    agreement: Agreement | None = None
    slices: tuple[Sliced, ...] = ()
    notes: tuple[str, ...] = ()
    method: dict[str, str] = {}

    def metric(self, name: str) -> Metric:
        """Gives a metric of all records by its name.

        Raises:
            InvalidRequestError: It was not measured.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        names = ", ".join(metric.name for metric in self.metrics)
        raise InvalidRequestError(f"there is no metric {name!r}, only {names}")


def to_json(value: msgspec.Struct) -> bytes:
    """Gives an evaluation, a comparison or a report as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def from_json(text: bytes | str, kind: type[_Struct]) -> _Struct:
    """Reads what `to_json` gave.

    Args:
        text: JSON.
        kind: `Evaluation`, `Comparison` or `Report`.

    Raises:
        MalformedJsonError: The text is not JSON.
        InvalidRequestError: The JSON is of another kind.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as cause:
        raise InvalidRequestError(f"this is no {kind.__name__}: {cause}") from cause
    except msgspec.DecodeError as cause:
        raise MalformedJsonError(f"this is no JSON: {cause}") from cause
