"""Compares models on the same records: is the winner better, or was it luck?

- The winner is compared with the baseline and with the runner-up, if these are other models.
- Two tests of labels: McNemar's exact one asks which of the two answered right where only one did;
  the paired bootstrap asks how often the metric's difference has another sign when the same records
  are drawn anew for both. Of numbers only the second.
- Scores of cross-validation are not independent, because its folds share records: the corrected
  resampled t-test allows for it.
- Each test that is made more than once is adjusted (Holm): `adjusted_p_value` is the one to read.
- The winner was chosen on these very records, so a small p-value against the runner-up is a little
  too small; records that chose nothing give the honest one.

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
percentages"; B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", chapter 16; C. Nadeau,
Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003), section 3; S. Holm,
"A simple sequentially rejective multiple test procedure".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec.structs import replace

from shoal.errors import InvalidRequestError, RequirementError
from shoal.evaluate._bootstrap import interval_of, replicates
from shoal.evaluate._evaluation import Interval
from shoal.evaluate._measures import better_of, measures_of
from shoal.evaluate._metric_names import title_of
from shoal.evaluate._rows import LabelRows, read_rows
from shoal.evaluate._task import Better, Classification, Settings

try:
    from scipy import stats
except ImportError as error:
    _message = "models are compared by the package scipy, which is not installed"
    raise RequirementError(_message, hint="pip install 'shoal[train]'") from error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.evaluate._measures import Measures
    from shoal.evaluate._task import Task

    Floats = NDArray[np.float64]

MCNEMAR: Final = "McNemar, exact"
BOOTSTRAP: Final = "paired bootstrap"
CORRECTED: Final = "corrected resampled t-test (Nadeau and Bengio 2003)"
FEWEST_FOLDS: Final = 2
FEWEST_MODELS: Final = 2

Role: TypeAlias = Literal["baseline", "runner-up"]


class PairedTest(msgspec.Struct, frozen=True, kw_only=True):
    """One paired test of two models.

    Attributes:
        name: Which test.
        question: What it asks.
        p_value: How probable so large a difference is, either way, between equals; None if the test
            says nothing: see `note`.
        adjusted_p_value: The same, allowing for as many tests of this name as were made.
        note: What was counted, or why there is no p-value.
    """

    name: str
    question: str
    p_value: float | None
    adjusted_p_value: float | None = None
    note: str


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The winner beside another model.

    Attributes:
        role: What the other one is.
        other: Its name.
        difference: By how much the metric of the winner is better: above 0.
        bounds: How far the difference may be off.
        tests: What paired tests say.
    """

    role: Role
    other: str
    difference: float
    bounds: Interval | None
    tests: tuple[PairedTest, ...]


class Standing(msgspec.Struct, frozen=True):
    """A model and its metric: the mean over folds, where scores of folds were compared."""

    name: str
    value: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Which model is best, and how sure that is.

    Attributes:
        by: What was compared: answers to the same records, or scores on the same folds.
        metric: What decides.
        better: Which way is better.
        standings: All models, the best first.
        pairs: The winner beside the baseline and the runner-up.
        notes: What to know before it is trusted.
    """

    by: Literal["records", "folds"]
    metric: str
    better: Better
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()

    @property
    def winner(self) -> str:
        """The best model; of equals the one that was named first."""
        return self.standings[0].name


def compare(
    truth: object,
    answers: Mapping[str, pa.RecordBatch | pa.Table],
    *,
    task: Task,
    baseline: str | None = None,
    settings: Settings | None = None,
) -> Comparison:
    """Compares models by their answers to the same records.

    Args:
        truth: One true label or number per record.
        answers: By the name of each model what it answered, in the order of the truth.
        task: What the models answer.
        baseline: The model that any other has to beat; None where there is none.
        settings: `metric` decides; `replicates`, `seed` and `confidence` as in `measure`.

    Returns:
        The standings, and the winner's tests against the baseline and the runner-up.

    Raises:
        InputError: There are fewer than two models, one does not have the metric, weights or slices
            are asked for, or a column cannot be measured.
    """
    chosen = settings or Settings()
    _check_models(answers, baseline)
    if chosen.weight is not None or chosen.slices:
        raise InvalidRequestError(
            "models are compared by all records alike, and weight or slices were asked for",
            hint="leave out weight= and slices=, or measure each model",
        )
    metric = chosen.metric or default_metric(task)
    made = {
        name: measures_of(
            read_rows(truth, answer, task=task, records=None, settings=chosen), chosen
        )
        for name, answer in answers.items()
    }
    values = {name: value_of(measures, metric, name) for name, measures in made.items()}
    drawn = {name: replicates(measures, chosen)[0].get(metric) for name, measures in made.items()}
    return _compared(metric, values, baseline, _ByAnswers(metric, made, drawn, chosen))


def compare_scores(
    scores: Mapping[str, Sequence[float]],
    *,
    metric: str,
    test_share: float,
    baseline: str | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compares models by their scores on the same folds of a cross-validation.

    Args:
        scores: By the name of each model one score per fold, the folds in one order.
        metric: What was scored: says whether more or less is better.
        test_share: How many records a fold is tested on, for each it is fitted on: 1 / (k - 1) for
            k folds.
        baseline: The model that any other has to beat; None where there is none.
        confidence: The share that the interval of a difference covers.

    Returns:
        The standings, and the winner's tests against the baseline and the runner-up.

    Raises:
        InvalidRequestError: There are fewer than two models or folds, folds are not the same
            number, a score is not finite, or a share is out of its range.
    """
    _check_models(scores, baseline)
    arrays = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    lengths = {values.shape for values in arrays.values()}
    if len(lengths) > 1 or len(next(iter(arrays.values()))) < FEWEST_FOLDS:
        raise InvalidRequestError(
            f"the models have {sorted(map(str, lengths))} scores, expected as many each, from 2 up"
        )
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise InvalidRequestError(f"model {name!r} has a score that is not finite")
    if not test_share > 0:
        raise InvalidRequestError(f"test_share is {test_share}, expected a number above 0")
    if not 0 < confidence < 1:
        raise InvalidRequestError(f"confidence is {confidence}, expected a share between 0 and 1")
    means = {name: float(values.mean()) for name, values in arrays.items()}
    return _compared(metric, means, baseline, _ByFolds(metric, arrays, test_share, confidence))


def default_metric(task: Task) -> str:
    """Gives the metric that decides where none is named."""
    if not isinstance(task, Classification):
        return "mean_absolute_error"
    return "roc_auc" if task.is_binary else "macro_f1"


def value_of(measures: Measures, metric: str, model: str) -> float:
    """Gives one metric of all records.

    Raises:
        InvalidRequestError: There is no such metric, or it is not defined.
    """
    single = measures.values(measures.rows.weights[None])[0]
    if metric not in single:
        missing = measures.notes().get(metric, f"only {', '.join(single)} are measured")
        raise InvalidRequestError(f"{model} has no metric {metric!r}: {missing}")
    value = float(single[metric][0])
    if not np.isfinite(value):
        raise InvalidRequestError(
            f"{model} has no value of {metric!r}: {measures.notes().get(metric, 'not defined')}"
        )
    return value


@dataclass(frozen=True)
class _ByAnswers:
    """Models by their answers to the same records."""

    metric: str
    made: dict[str, Measures]
    drawn: dict[str, Floats | None]
    settings: Settings

    def pair(self, winner: str, other: str, role: Role) -> Pair:
        values = {name: value_of(self.made[name], self.metric, name) for name in (winner, other)}
        gains = {name: gain_of(self.metric, np.array([value])) for name, value in values.items()}
        drawn = self._drawn_difference(winner, other)
        tests = []
        if isinstance(self.made[winner].rows, LabelRows):
            tests.append(self._mcnemar(winner, other))
        if drawn is not None:
            tests.append(_bootstrap_test(self.metric, drawn))
        return Pair(
            role=role,
            other=other,
            difference=float(gains[winner][0] - gains[other][0]),
            bounds=interval_of(drawn, self.settings.confidence),
            tests=tuple(tests),
        )

    def _drawn_difference(self, winner: str, other: str) -> Floats | None:
        first, second = self.drawn[winner], self.drawn[other]
        if first is None or second is None:
            return None
        difference = gain_of(self.metric, first) - gain_of(self.metric, second)
        return difference[np.isfinite(difference)]

    def _mcnemar(self, winner: str, other: str) -> PairedTest:
        first, second = (self._is_right(name) for name in (winner, other))
        only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
        count = only_first + only_second
        p_value = float(stats.binomtest(only_first, count).pvalue) if count else 1.0
        return PairedTest(
            name=MCNEMAR,
            question="which of the two answers the right label where only one does",
            p_value=p_value,
            note=f"only {winner} right: {only_first}, only {other} right: {only_second}",
        )

    def _is_right(self, name: str) -> NDArray[np.bool_]:
        rows = self.made[name].rows
        right: NDArray[np.bool_] = rows.truth == rows.answer
        return right


@dataclass(frozen=True)
class _ByFolds:
    """Models by their scores on the same folds."""

    metric: str
    folds: dict[str, Floats]
    test_share: float
    confidence: float

    def pair(self, winner: str, other: str, role: Role) -> Pair:
        difference = gain_of(self.metric, self.folds[winner]) - gain_of(
            self.metric, self.folds[other]
        )
        count, mean = len(difference), float(difference.mean())
        # The variance of one fold, enlarged by what folds have in common.
        error = math.sqrt((1 / count + self.test_share) * float(difference.var(ddof=1)))
        bounds, p_value = None, None
        note = f"all {count} folds differ by the same, so there is no variance to compare with"
        if error > 0:
            p_value = float(2 * stats.t.sf(abs(mean) / error, count - 1))
            reach = float(stats.t.ppf((1 + self.confidence) / 2, count - 1)) * error
            bounds = Interval(mean - reach, mean + reach)
            note = f"t = {mean / error:.3g} of {count} folds"
        question = f"whether {title_of(self.metric)} differs by more than folds do"
        test = PairedTest(name=CORRECTED, question=question, p_value=p_value, note=note)
        return Pair(role=role, other=other, difference=mean, bounds=bounds, tests=(test,))


def gain_of(metric: str, values: Floats) -> Floats:
    """Gives values of which more is better."""
    better = better_of(metric)
    if better == "zero":
        return -np.abs(values)
    return -values if better == "lower" else values


def _compared(
    metric: str, values: dict[str, float], baseline: str | None, by: _ByAnswers | _ByFolds
) -> Comparison:
    gains = {name: float(gain_of(metric, np.array([value]))[0]) for name, value in values.items()}
    ranked = sorted(values, key=lambda name: -gains[name])  # stable: of equals the first named
    winner, runner_up = ranked[:2]
    pairs, notes = [], []
    if baseline == winner:
        notes.append(f"no model is better than the baseline {winner!r}")
    elif baseline is not None:
        pairs.append(by.pair(winner, baseline, "baseline"))
    if runner_up != baseline or not pairs:
        pairs.append(by.pair(winner, runner_up, "runner-up"))
    return Comparison(
        by="records" if isinstance(by, _ByAnswers) else "folds",
        metric=metric,
        better=better_of(metric),
        standings=tuple(Standing(name, values[name]) for name in ranked),
        pairs=_adjusted(pairs),
        notes=tuple(notes),
    )


def _bootstrap_test(metric: str, drawn: Floats) -> PairedTest:
    """Asks how often the difference has the other sign; never 0, as no number of draws shows it."""
    count = len(drawn)
    rarer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return PairedTest(
        name=BOOTSTRAP,
        question=f"how often {title_of(metric)} differs the other way when records are drawn anew",
        p_value=min(1.0, 2 * (rarer + 1) / (count + 1)),
        note=f"the other way, or equal, in {rarer} of {count} replicates",
    )


def _adjusted(pairs: list[Pair]) -> tuple[Pair, ...]:
    """Adjusts the p-values of each kind of test for how many there are."""
    adjusted: dict[tuple[str, str], float] = {}
    for name in {test.name for pair in pairs for test in pair.tests}:
        found = [
            (test.p_value, pair.role)
            for pair in pairs
            for test in pair.tests
            if test.name == name and test.p_value is not None
        ]
        reached = 0.0
        for place, (p_value, role) in enumerate(sorted(found)):
            reached = max(reached, min(1.0, p_value * (len(found) - place)))
            adjusted[name, role] = reached
    return tuple(
        replace(
            pair,
            tests=tuple(
                replace(test, adjusted_p_value=adjusted.get((test.name, pair.role)))
                for test in pair.tests
            ),
        )
        for pair in pairs
    )


def _check_models(models: Mapping[str, object], baseline: str | None) -> None:
    if len(models) < FEWEST_MODELS:
        raise InvalidRequestError(
            f"there are the models {list(models)}, expected at least {FEWEST_MODELS} to compare"
        )
    if baseline is not None and baseline not in models:
        raise InvalidRequestError(f"the baseline {baseline!r} is none of the models {list(models)}")
