"""What is measured, and how: the task of a model, and the settings of an evaluation.

- A task names the columns of the answers as sealed packages name them: `label` with `probabilities`
  or `scores` of a classifier, `prediction` of a regressor.
- Labels stand in one order, that of the entries of a record's probabilities.
- What cannot be meant is refused when the object is made.
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError

Label: TypeAlias = bool | int | float | str
Better: TypeAlias = Literal["higher", "lower", "zero"]

BINARY: Final = 2
MOST_REPLICATES: Final = 100_000
MOST_BINS: Final = 1000


class Classification(msgspec.Struct, frozen=True, tag="classification", kw_only=True):
    """A model that answers a label.

    Attributes:
        labels: Every label there is, in the order of the probabilities; at least two.
        positive: Of two labels, the one that is looked for; the second unless named.
        answer: The column of answered labels.
        probabilities: The column of probabilities: a list of one per label, or, of two labels, the
            probability of the positive one. It may lack: what needs it is then not measured.
        scores: The column of scores that are no probabilities, used where there are none.

    Raises:
        InvalidRequestError: There are fewer than two labels, one stands twice, or the positive one
            is none of two.
    """

    labels: tuple[Label, ...]
    positive: Label | None = None
    answer: str = "label"
    probabilities: str = "probabilities"
    scores: str = "scores"

    def __post_init__(self) -> None:
        if len(self.labels) < BINARY or len(set(self.labels)) != len(self.labels):
            raise InvalidRequestError(
                f"the labels {list(self.labels)} do not tell two classes apart",
                hint="give every label once, in the order of the probabilities",
            )
        if self.positive is not None and (not self.is_binary or self.positive not in self.labels):
            raise InvalidRequestError(
                f"the positive label {self.positive!r} is none of two: {list(self.labels)}"
            )

    @property
    def is_binary(self) -> bool:
        """Whether there are two labels."""
        return len(self.labels) == BINARY

    @property
    def positive_place(self) -> int:
        """The place of the positive label among two."""
        return 1 if self.positive is None else self.labels.index(self.positive)


class Regression(msgspec.Struct, frozen=True, tag="regression", kw_only=True):
    """A model that answers a number.

    Attributes:
        answer: The column of answered numbers.
    """

    answer: str = "prediction"


Task: TypeAlias = Classification | Regression


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an evaluation is made.

    Attributes:
        replicates: How often records are drawn anew for an interval; 0 for no intervals.
        seed: What the draws, and the shuffles of an importance, depend on.
        confidence: The share of replicates between the ends of an interval.
        bins: Into how many bins calibration cuts the unit interval.
        weight: A column of the records that weighs them; None weighs all alike.
        slices: Columns of the records whose values are measured apart.
        metric: The metric that decides a comparison or an importance; None for the task's own:
            `roc_auc` of two labels, `macro_f1` of more, `mean_absolute_error` of numbers.
        repeats: How often each column is shuffled for its importance.

    Raises:
        InvalidRequestError: A number is out of its range.
    """

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95
    bins: int = 10
    weight: str | None = None
    slices: tuple[str, ...] = ()
    metric: str | None = None
    repeats: int = 5

    def __post_init__(self) -> None:
        _check_range("replicates", self.replicates, 0, MOST_REPLICATES)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("bins", self.bins, 1, MOST_BINS)
        _check_range("repeats", self.repeats, 1, MOST_REPLICATES)
        if not (math.isfinite(self.confidence) and 0 < self.confidence < 1):
            raise InvalidRequestError(
                f"confidence is {self.confidence}, expected a share between 0 and 1"
            )


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequestError(f"{name} is {value}, expected {least} to {most}")
