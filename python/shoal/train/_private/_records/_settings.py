"""What is asked of a private training, as data: the `[private]` table of a configuration.

- What is stated here is taken as public and costs nothing: bounds, categories, classes. State what
  you know without the records, not what you saw in them.
- Bounds and categories that are not stated are found with noise, on records that are used for
  nothing else.
- Columns that are not named are left out.

    [private]
    epsilon = 3.0
    classes = ["no", "yes"]
    [private.columns]
    age = {kind = "numeric", bounds = [18, 100]}
    city = {kind = "categorical", categories = ["Bern", "Chur"]}
    is_member = {kind = "boolean"}
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._private._account import Budget

if TYPE_CHECKING:
    from shoal.train._estimators._table import Task

_MOST_DELTA = 1e-5
_BINARY = 2
_MOST_CANDIDATES = 32
_LEARNING_RATE = {"classification": 0.5, "regression": 0.1}


class PrivateNumeric(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="numeric",
):
    """A column of numbers.

    Attributes:
        bounds: The least and the most a value can be; what lies outside is moved to them. None
            finds them with noise.
        missing: What a missing value counts as; the middle of the bounds if None.
        flag: Whether a further feature says that the value is missing.
    """

    bounds: tuple[float, float] | None = None
    missing: float | None = None
    flag: bool = False


class PrivateBoolean(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="boolean",
):
    """A column of true and false.

    Attributes:
        missing: What a missing value counts as, between 0 (false) and 1 (true).
        flag: Whether a further feature says that the value is missing.
    """

    missing: float = 0.5
    flag: bool = False


class PrivateCategorical(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="categorical",
):
    """A column of names; a missing one is a category of its own, an unknown one is none.

    Attributes:
        categories: The names there can be; None finds those that many records have, with noise.
    """

    categories: tuple[str, ...] | None = None


PrivateColumn: TypeAlias = PrivateNumeric | PrivateBoolean | PrivateCategorical


class PrivateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A private training. A class, or else a number within bounds, is predicted.

    Attributes:
        epsilon: The most that may be spent on a record.
        delta: The chance with which that may not hold; if None 1e-5, or a tenth of one over the
            number of records where that is less.
        columns: What is learned from, by name.
        classes: All classes there can be, as text, whole numbers, or true and false.
        positive: Of two classes the one that is looked for; the one stated last if None.
        target_bounds: For numbers: the least and the most a target can be.
        hidden_layers: Widths of the layers between, [] for a linear model; several are compared.
        learning_rates: How far a step goes; several are compared; 0.5 for classes and 0.1 for
            numbers if none is said.
        scale: `bounds` scales numbers by their bounds; `noisy` by a noisy mean and deviation.
        threshold: Whether the probability from which on a record counts as positive is chosen.
        positive_weight: What one positive record counts when it is.
        epochs: How often each record is expected to be used.
        batch_records: How many records are expected in a step.
        evaluation_share: The share of records that the model is measured on.
        choice_share: The share of records that is taken for each further thing that has to be
            found: bounds, categories and scales; the model and its threshold.

    Raises:
        InvalidRequestError: something stated cannot be meant; the message names it.
    """

    epsilon: float
    columns: dict[str, PrivateColumn]
    delta: float | None = None
    classes: tuple[bool | int | str, ...] = ()
    positive: bool | int | str | None = None
    target_bounds: tuple[float, float] | None = None
    hidden_layers: tuple[tuple[int, ...], ...] = ((),)
    learning_rates: tuple[float, ...] = ()
    scale: Literal["bounds", "noisy"] = "bounds"
    threshold: bool = False
    positive_weight: float = 1.0
    epochs: float = 20.0
    batch_records: int = 256
    evaluation_share: float = 0.2
    choice_share: float = 0.1

    def __post_init__(self) -> None:
        Budget(self.epsilon, 0.5 if self.delta is None else self.delta)
        if not self.columns:
            raise InvalidRequestError("the private settings name no column to learn from")
        for name, column in self.columns.items():
            _check_column(name, column)
        _check_target(self)
        _check_candidates(self)
        shares = (self.evaluation_share, self.choice_share)
        if not (min(shares) > 0 and self.evaluation_share + 2 * self.choice_share < 1):
            message = f"evaluation_share is {shares[0]} and choice_share {shares[1]}, expected "
            raise InvalidRequestError(f"{message}shares above 0 that leave records to learn from")

    @property
    def task(self) -> Task:
        """Whether classes or numbers are predicted."""
        return "classification" if self.classes else "regression"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as a model answers them: as text, sorted."""
        return tuple(sorted(str(each) for each in self.classes))

    @property
    def positive_label(self) -> str | None:
        """Of two classes the one that is looked for."""
        if len(self.classes) != _BINARY:
            return None
        return str(self.classes[-1] if self.positive is None else self.positive)

    @property
    def candidates(self) -> tuple[tuple[tuple[int, ...], float], ...]:
        """Hidden layers and learning rates that are compared."""
        rates = self.learning_rates or (_LEARNING_RATE[self.task],)
        return tuple(product(self.hidden_layers, rates))

    def budget(self, records: int) -> Budget:
        """What may be spent on so many records."""
        derived = min(_MOST_DELTA, 0.1 / max(1, records))
        return Budget(self.epsilon, derived if self.delta is None else self.delta)


def is_unknown(column: PrivateColumn) -> bool:
    """Whether something has to be found about a column."""
    if isinstance(column, PrivateCategorical):
        return column.categories is None
    return isinstance(column, PrivateNumeric) and column.bounds is None


def _check_column(name: str, column: PrivateColumn) -> None:
    if isinstance(column, PrivateCategorical):
        _check_categories(name, column)
        return
    bounds = (0.0, 1.0) if isinstance(column, PrivateBoolean) else column.bounds
    if bounds is not None:
        _check_bounds(f"the bounds of column {name!r}", bounds)
    low, high = bounds or (-math.inf, math.inf)
    if column.missing is not None and not (
        math.isfinite(column.missing) and low <= column.missing <= high
    ):
        message = f"column {name!r}: missing is {column.missing}, expected a number within bounds"
        raise InvalidRequestError(f"{message} {low:g} to {high:g}")


def _check_categories(name: str, column: PrivateCategorical) -> None:
    stated = column.categories
    if stated is not None and (not stated or "" in stated or len(set(stated)) != len(stated)):
        message = f"the categories of column {name!r} are {list(stated)}, expected at least one"
        hint = "Say each once. A missing value is a category of its own."
        raise InvalidRequestError(f"{message}, none empty and none twice", hint=hint)


def _check_bounds(what: str, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        message = f"{what} are {low:g} and {high:g}, expected two finite numbers, the lower first"
        raise InvalidRequestError(message)


def _check_target(settings: PrivateSettings) -> None:
    if bool(settings.classes) == (settings.target_bounds is not None):
        said = "both classes and" if settings.classes else "neither classes nor"
        message = f"the private settings state {said} target_bounds, expected one of them"
        hint = "classes = ['no', 'yes'], or target_bounds = [0, 100] to predict a number."
        raise InvalidRequestError(message, hint=hint)
    if settings.target_bounds is not None:
        _check_bounds("target_bounds", settings.target_bounds)
    elif len(set(settings.labels)) != len(settings.classes) or len(settings.classes) < _BINARY:
        message = f"the classes are {list(settings.classes)}, expected at least two, each once"
        raise InvalidRequestError(message)
    if settings.positive is not None and (
        len(settings.classes) != _BINARY or str(settings.positive) not in settings.labels
    ):
        message = f"positive is {settings.positive!r}, expected one of two classes"
        raise InvalidRequestError(message)
    if settings.threshold and len(settings.classes) != _BINARY:
        message = f"a threshold is asked for, and there are {len(settings.classes)} classes"
        raise InvalidRequestError(f"{message}, expected two")


def _check_candidates(settings: PrivateSettings) -> None:
    rates = settings.learning_rates or (1.0,)
    if any(width < 1 for widths in settings.hidden_layers for width in widths):
        raise InvalidRequestError("a hidden layer has a width below 1, expected at least 1")
    if not all(0 < rate < math.inf for rate in rates):
        raise InvalidRequestError(f"learning_rates are {list(rates)}, expected numbers above 0")
    if not 0 < settings.positive_weight < math.inf:
        message = f"positive_weight is {settings.positive_weight}, expected a number above 0"
        raise InvalidRequestError(message)
    count = len(settings.hidden_layers) * len(rates)
    if not 1 <= count <= _MOST_CANDIDATES:
        message = f"{count} models are to be compared, expected 1 to {_MOST_CANDIDATES}"
        raise InvalidRequestError(message, hint="Each costs a part of the budget.")
