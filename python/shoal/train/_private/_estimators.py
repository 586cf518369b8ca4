"""Linear models and ReLU networks as scikit-learn estimators, private or not.

- With a `budget` every fit is differentially private: gradients are clipped record by record, and
  the noise is the least with which the budget holds. Without one it is the same training without
  noise, with the gradient of each record or of each step clipped, or none.
- A `Budget` is for one fit. Where several fits see the same records (a search, folds, a scaler
  before), give all of them one `Account`: it adds up and refuses to go above.
- What is taken as public is said in `privacy_`: the number of records, of columns, the classes.
- `random_state` is for tests: with it, whoever knows the seed can take the noise away, and
  `privacy_` says that the model is not private.
- One record is one row. Where a person has several rows, the promise is for each row only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from shoal.errors import InvalidRequestError
from shoal.train._private._account import Account, Budget
from shoal.train._private._descent import MOST_ROWS, Descent, Records, descend
from shoal.train._private._network import Network
from shoal.train._private._plan import spend_on_training, steps_of
from shoal.train._private._randomness import SeededRandomness, SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.train._private._network import Loss
    from shoal.train._private._randomness import Floats, Randomness
    from shoal.train._private._spent import PrivacySpent


class _Gradient(BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """What classifier and regressor share.

    Attributes after `fit`:
        parameters_: All weights and biases, one dimension.
        network_: The form of the model.
        n_steps_: How many steps were made.
        noise_multiplier_: The noise over the clip; None without a budget.
        privacy_: What was spent, or None without a budget.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn sets each by its name
        self,
        budget: Budget | Account | None = None,
        *,
        epsilon: float | None = None,
        hidden_layers: Sequence[int] = (),
        epochs: float = 20,
        batch_records: int = 256,
        learning_rate: float = 0.5,
        momentum: float = 0.5,
        decay: float = 0.0,
        clip_norm: float | None = 1.0,
        clipping: Literal["record", "sum"] = "record",
        microbatch_records: int = 256,
        workers: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.budget = budget
        self.epsilon = epsilon
        self.hidden_layers = hidden_layers
        self.epochs = epochs
        self.batch_records = batch_records
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.decay = decay
        self.clip_norm = clip_norm
        self.clipping = clipping
        self.microbatch_records = microbatch_records
        self.workers = workers
        self.random_state = random_state

    def _learn(self, records: Records, loss: Loss, public: Sequence[str]) -> None:
        """Spends the budget, and learns the parameters."""
        self._check_settings()
        network = Network(
            (records.rows.shape[1], *self.hidden_layers, records.targets.shape[1]), loss
        )
        steps = steps_of(
            records=len(records),
            batch_records=self.batch_records,
            epochs=self.epochs,
            parameters=network.size,
        )
        randomness = self._randomness()
        account = self._account(len(records))
        noise = None
        if account is not None and self.clip_norm is not None:
            self._declare(account, randomness, public)
            noise = spend_on_training(account, steps, self.epsilon, self.clip_norm)
        descent = Descent(
            steps=steps.count,
            rate=steps.rate,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            decay=self.decay,
            clip_norm=self.clip_norm,
            clipping=self.clipping,
            noise_multiplier=noise,
            microbatch_records=self.microbatch_records,
            workers=self.workers,
        )
        self.parameters_ = descend(network, records, descent, randomness)
        self.network_, self.n_steps_, self.noise_multiplier_ = network, steps.count, noise
        self.privacy_: PrivacySpent | None = None if account is None else account.spent

    def _check_settings(self) -> None:
        if not 1 <= self.microbatch_records <= MOST_ROWS:
            message = f"microbatch_records is {self.microbatch_records}, expected 1 to {MOST_ROWS}"
            raise InvalidRequestError(message)
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InvalidRequestError(f"clip_norm is {self.clip_norm}, expected more than 0")
        if self.clipping not in ("record", "sum"):
            message = f"clipping is {self.clipping!r}, expected 'record' or 'sum'"
            raise InvalidRequestError(message)
        if self.budget is None and self.epsilon is not None:
            message = f"epsilon is {self.epsilon} without a budget, expected an account beside it"
            raise InvalidRequestError(message, hint="Give budget=Budget(epsilon).")
        if self.budget is not None and (self.clip_norm is None or self.clipping == "sum"):
            message = (
                f"clip_norm is {self.clip_norm} and clipping {self.clipping!r} with a budget, "
                "expected a norm for each record"
            )
            raise InvalidRequestError(message, hint="Leave both as they are.")

    def _account(self, records: int) -> Account | None:
        if isinstance(self.budget, Budget):
            return Account(self.budget, records=records)
        if self.budget is not None and self.budget.records < records:
            message = (
                f"an account for {self.budget.records} records was given {records}, "
                "expected no more than it was opened for"
            )
            raise InvalidRequestError(message)
        return self.budget

    def _randomness(self) -> Randomness:
        if self.random_state is None:
            return SystemRandomness()
        if isinstance(self.random_state, np.random.RandomState):
            return SeededRandomness(int(self.random_state.randint(2**31)))
        return SeededRandomness(self.random_state)

    def _declare(self, account: Account, randomness: Randomness, public: Sequence[str]) -> None:
        if randomness.name == "seeded":
            account.take_seeded()
        for statement in public:
            account.take_as_public(statement)

    def _outputs(self, rows: Any) -> Floats:
        check_is_fitted(self)
        checked = validate_data(self, rows, reset=False, dtype=np.float64)
        return self.network_.outputs(self.parameters_, checked)


class GradientClassifier(ClassifierMixin, _Gradient):  # type: ignore[misc] # see above
    """Logistic regression, or a network of ReLU layers, for two classes or more.

    Args:
        budget: The privacy that may be spent; None trains without privacy.
        epsilon: At most so much of an account for this fit; None for all that is left.
        classes: All classes there can be, taken as public; None takes those of the targets, and
            says so.
        hidden_layers: The widths of the layers between; none is logistic regression.
        epochs: How often each record is expected to be used.
        batch_records: How many records are expected in a step.
        learning_rate: How far a step goes along the mean gradient.
        momentum: How much of the last step is in the next.
        decay: The share of the parameters that is added to each gradient.
        clip_norm: The most that a gradient may have in the Euclidean norm; None for no clipping.
        clipping: `record` clips the gradient of each record, `sum` the mean of each step.
        microbatch_records: How many records are worked at once; changes nothing but memory.
        workers: How many micro-batches are worked at a time; changes nothing.
        random_state: A seed, for tests.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn sets each by its name
        self,
        budget: Budget | Account | None = None,
        *,
        epsilon: float | None = None,
        classes: Sequence[Any] | None = None,
        hidden_layers: Sequence[int] = (),
        epochs: float = 20,
        batch_records: int = 256,
        learning_rate: float = 0.5,
        momentum: float = 0.5,
        decay: float = 0.0,
        clip_norm: float | None = 1.0,
        clipping: Literal["record", "sum"] = "record",
        microbatch_records: int = 256,
        workers: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            budget,
            epsilon=epsilon,
            hidden_layers=hidden_layers,
            epochs=epochs,
            batch_records=batch_records,
            learning_rate=learning_rate,
            momentum=momentum,
            decay=decay,
            clip_norm=clip_norm,
            clipping=clipping,
            microbatch_records=microbatch_records,
            workers=workers,
            random_state=random_state,
        )
        self.classes = classes

    def fit(self, rows: Any, y: Any) -> Self:
        """Learns from rows (records, columns) and the class of each.

        Raises:
            BudgetError: the budget does not allow this training, or is too small for it.
            InvalidRequestError: a setting is wrong, there is one class only, or a class is none
                of those stated.
        """
        rows, targets = validate_data(self, rows, y, dtype=np.float64)
        check_classification_targets(targets)
        self.classes_ = np.unique(targets if self.classes is None else np.asarray(self.classes))
        if len(self.classes_) == 1:
            message = f"all targets are of one class, {self.classes_[0]}, expected at least two"
            raise InvalidRequestError(message)
        places = np.searchsorted(self.classes_, targets).clip(max=len(self.classes_) - 1)
        if np.any(self.classes_[places] != targets):
            unknown = targets[self.classes_[places] != targets][0]
            message = f"a target is {unknown}, expected one of the classes that were stated"
            raise InvalidRequestError(message)
        origin = "as stated" if self.classes is not None else "as found in the targets"
        public = [_size(rows), f"the {len(self.classes_)} classes, {origin}"]
        if len(self.classes_) == 2:  # noqa: PLR2004 - two classes need one output
            self._learn(Records(rows, places[:, None].astype(np.float64)), "logistic", public)
        else:
            self._learn(Records(rows, np.eye(len(self.classes_))[places]), "softmax", public)
        return self

    def decision_function(self, rows: Any) -> Floats:
        """The outputs before they become probabilities; (rows,) for two classes."""
        outputs = self._outputs(rows)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict_proba(self, rows: Any) -> Floats:
        """The probability of each class, (rows, classes)."""
        check_is_fitted(self)
        rows = validate_data(self, rows, reset=False, dtype=np.float64)
        shares = self.network_.answers(self.parameters_, rows)
        return np.hstack([1.0 - shares, shares]) if shares.shape[1] == 1 else shares

    def predict(self, rows: Any) -> Any:
        """The most probable class of each row."""
        scores = self.decision_function(rows)
        places = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[places]


class GradientRegressor(RegressorMixin, _Gradient):  # type: ignore[misc] # see above
    """Linear regression, or a network of ReLU layers, for numbers within bounds.

    Args:
        budget: The privacy that may be spent; None trains without privacy.
        epsilon: At most so much of an account for this fit; None for all that is left.
        target_bounds: The least and the most a target can be, taken as public; targets outside
            are moved to them. Needed with a budget; without one, None takes those of the targets.
        hidden_layers: The widths of the layers between; none is linear regression.
        epochs: How often each record is expected to be used.
        batch_records: How many records are expected in a step.
        learning_rate: How far a step goes along the mean gradient.
        momentum: How much of the last step is in the next.
        decay: The share of the parameters that is added to each gradient.
        clip_norm: The most that a gradient may have in the Euclidean norm; None for no clipping.
        clipping: `record` clips the gradient of each record, `sum` the mean of each step.
        microbatch_records: How many records are worked at once; changes nothing but memory.
        workers: How many micro-batches are worked at a time; changes nothing.
        random_state: A seed, for tests.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn sets each by its name
        self,
        budget: Budget | Account | None = None,
        *,
        epsilon: float | None = None,
        target_bounds: tuple[float, float] | None = None,
        hidden_layers: Sequence[int] = (),
        epochs: float = 20,
        batch_records: int = 256,
        learning_rate: float = 0.1,
        momentum: float = 0.5,
        decay: float = 0.0,
        clip_norm: float | None = 1.0,
        clipping: Literal["record", "sum"] = "record",
        microbatch_records: int = 256,
        workers: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            budget,
            epsilon=epsilon,
            hidden_layers=hidden_layers,
            epochs=epochs,
            batch_records=batch_records,
            learning_rate=learning_rate,
            momentum=momentum,
            decay=decay,
            clip_norm=clip_norm,
            clipping=clipping,
            microbatch_records=microbatch_records,
            workers=workers,
            random_state=random_state,
        )
        self.target_bounds = target_bounds

    def fit(self, rows: Any, y: Any) -> Self:
        """Learns from rows (records, columns) and the number of each.

        Raises:
            BudgetError: the budget does not allow this training, or is too small for it.
            InvalidRequestError: a setting is wrong, or a budget came without bounds.
        """
        rows, targets = validate_data(self, rows, y, dtype=np.float64, y_numeric=True)
        low, high = self._bounds(targets)
        self.target_center_ = (low + high) / 2
        self.target_scale_ = (high - low) / 2 or 1.0
        scaled = (np.clip(targets, low, high) - self.target_center_) / self.target_scale_
        public = [_size(rows), f"the bounds of targets: {low} to {high}, as stated"]
        self._learn(Records(rows, scaled[:, None].astype(np.float64)), "squared", public)
        return self

    def predict(self, rows: Any) -> Floats:
        """The number of each row; it may lie outside the bounds."""
        outputs = self._outputs(rows)[:, 0]
        return outputs * self.target_scale_ + self.target_center_

    def _bounds(self, targets: Floats) -> tuple[float, float]:
        if self.target_bounds is not None:
            low, high = self.target_bounds
            if not low < high:
                message = f"target_bounds is {self.target_bounds}, expected the lower one first"
                raise InvalidRequestError(message)
            return float(low), float(high)
        if self.budget is not None:
            message = "a budget came without target_bounds, which the data must not choose"
            raise InvalidRequestError(message, hint="Say what a target can be: (0.0, 100.0).")
        return float(targets.min()), float(targets.max())


def _size(rows: Floats) -> str:
    return f"the size of what is trained on: {rows.shape[0]} records, {rows.shape[1]} columns"
