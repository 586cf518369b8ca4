"""Models that are learned, the one that is taken, and from where on it says yes.

- All candidates are learned on the same records, and all of them are paid for.
- Which one is taken, and the threshold, is chosen on records that nothing was learned from, by how
  many answers are right; numbers are compared by their errors, each within the stated bounds.
- A threshold is put into the model, by moving its last bias: answers and probabilities agree.
- Parameters are rounded to single precision, as a package has them, before anything is chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from shoal.train._private._choice import choose_privately, choose_threshold_privately
from shoal.train._private._estimators import GradientClassifier, GradientRegressor
from shoal.train._private._network import Network
from shoal.train._private._plan import epsilon_of_each, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.train._private._network import Loss
    from shoal.train._private._plan import Steps
    from shoal.train._private._records._parts import Parts
    from shoal.train._private._records._settings import PrivateSettings

_SAFE = 0.99
"""Of epsilon, since sums of what choices cost are rounded up."""


Model: TypeAlias = GradientClassifier | GradientRegressor


@dataclass(frozen=True)
class Candidates:
    """What is learned, and from what.

    Attributes:
        settings: Which models are compared.
        rows: (records, features) of all records.
        answers: The target of each.
        parts: Which records are for what.
        seed: For tests: with it nothing is private.
    """

    settings: PrivateSettings
    rows: NDArray[np.float32]
    answers: NDArray[Any]
    parts: Parts
    seed: int | None

    def best(self) -> Model:
        """Learns all of them, and takes one.

        Raises:
            BudgetError: epsilon is too small to train.
            InvalidRequestError: a target is none of the classes that were stated.
        """
        part = self.parts["learning"]
        epsilon = epsilon_of_each(part.account, self._steps(len(part.places)))
        models = [self._model(*each, epsilon) for each in self.settings.candidates]
        for model in models:
            model.fit(self.rows[part.places], self.answers[part.places])
            model.parameters_ = model.parameters_.astype(np.float32).astype(np.float64)
        chosen = models[self._place(models)] if len(models) > 1 else models[0]
        if self.settings.threshold and isinstance(chosen, GradientClassifier):
            self._move_threshold(chosen)
        return chosen

    def _steps(self, records: int) -> list[Steps]:
        """How each candidate is learned."""
        classes = len(self.settings.classes)
        outputs = classes if classes > 2 else 1  # noqa: PLR2004 - two classes need one output
        loss: Loss = "logistic" if self.settings.classes else "squared"
        networks = [
            Network((self.rows.shape[1], *widths, outputs), loss)
            for widths, _ in self.settings.candidates
        ]
        return [
            steps_of(
                records=records,
                batch_records=self.settings.batch_records,
                epochs=self.settings.epochs,
                parameters=network.size,
            )
            for network in networks
        ]

    def _model(self, widths: Sequence[int], rate: float, epsilon: float | None) -> Model:
        settings = self.settings
        shared: dict[str, Any] = {
            "epsilon": epsilon,
            "hidden_layers": tuple(widths),
            "learning_rate": rate,
            "epochs": settings.epochs,
            "batch_records": settings.batch_records,
            "random_state": self.seed,
        }
        account = self.parts["learning"].account
        if settings.classes:
            return GradientClassifier(account, classes=settings.labels, **shared)
        return GradientRegressor(account, target_bounds=settings.target_bounds, **shared)

    def _place(self, models: Sequence[Model]) -> int:
        """Chooses a model by its right answers, or by its errors."""
        part = self.parts["choice"]
        rows, answers = self.rows[part.places], self.answers[part.places]
        scores = [self._score(model.predict(rows), answers) for model in models]
        return choose_privately(
            part.account,
            scores,
            epsilon=self._share,
            sensitivity=1.0,
            purpose="choice of a model",
            is_monotone=True,
            seed=self.seed,
        )

    def _score(self, found: NDArray[Any], truth: NDArray[Any]) -> float:
        """What one record more changes by at most 1, and in one direction only."""
        if self.settings.target_bounds is None:
            return float(np.count_nonzero(found == truth))
        low, high = self.settings.target_bounds
        return -float(np.abs(found.clip(low, high) - truth.clip(low, high)).sum() / (high - low))

    def _move_threshold(self, model: GradientClassifier) -> None:
        part = self.parts["choice"]
        is_first = self.settings.positive_label == self.settings.labels[0]
        shares = model.predict_proba(self.rows[part.places])[:, 0 if is_first else 1]
        threshold = choose_threshold_privately(
            part.account,
            shares,
            self.answers[part.places] == self.settings.positive_label,
            epsilon=self._share,
            positive_weight=self.settings.positive_weight,
            seed=self.seed,
        )
        bias = model.network_.layers(model.parameters_)[-1][1]
        moved = math.log(threshold / (1 - threshold))
        bias[:] = np.float32(bias + (moved if is_first else -moved))

    @property
    def _share(self) -> float:
        """What each choice may cost."""
        choices = (len(self.settings.candidates) > 1) + self.settings.threshold
        return _SAFE * self.settings.epsilon / choices
