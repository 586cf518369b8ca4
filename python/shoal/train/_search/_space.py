"""What is searched, and the candidates in it.

- Every estimator has its ranges, and may have what is done for rare classes and for scale.
- A candidate as Optuna proposes it, and one that is fixed, have the same names of parameters.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._estimators._table import TABLES, Choice, Range, Whole, entry, made
from shoal.train._prepare._description import Numeric, Scale
from shoal.train._search._candidates import Balance, Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from optuna.trial import Trial

    from shoal.train._estimators._table import Task
    from shoal.train._prepare._description import Preparation

# Columns of numbers up to here may stay as they are, if all are so.
LARGEST_ALIKE = 100.0


class Space(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is searched.

    Attributes:
        estimators: Names of the table, and the ranges that are searched for each.
        balance: What is done for rare classes, if there is a choice.
        scale: How features are scaled, for estimators that need it.
    """

    estimators: dict[str, dict[str, Range]]
    balance: tuple[Balance, ...] = ("none",)
    scale: tuple[Scale, ...] = ("standard",)


def usual_space(
    task: Task, names: Sequence[str], balance: Sequence[Balance], *, is_alike: bool = False
) -> Space:
    """The ranges of the table.

    Args:
        task: What is predicted.
        names: The estimators.
        balance: What is tried for rare classes.
        is_alike: Whether all columns are numbers of one kind, so that they may stay as they are.

    Raises:
        InvalidRequestError: there is no such estimator.
    """
    found = {name: dict(entry(task, name).searched) for name in names}
    scale: tuple[Scale, ...] = ("standard", "min_max")
    return Space(
        estimators=found, balance=tuple(balance), scale=(*scale, "none") if is_alike else scale
    )


def is_alike(frame: pd.DataFrame, preparation: Preparation) -> bool:
    """Whether all columns are small numbers, such as pixels or counts."""
    if not all(isinstance(each, Numeric) for each in preparation.columns.values()):
        return False
    return bool(frame.abs().max(axis=None, skipna=True) <= LARGEST_ALIKE)


def names_for(task: Task, records: int) -> tuple[str, ...]:
    """The estimators that are compared where none are named."""
    return tuple(
        name
        for name, found in TABLES[task].items()
        if found.most_records is None or records <= found.most_records
    )


def usual(space: Space, task: Task) -> Iterator[Candidate]:
    """Every estimator once, with its own defaults where they lie within what is searched."""
    for name, ranges in space.estimators.items():
        own = made(entry(task, name), {}, seed=0).get_params()
        chosen = {each: _within(ranges[each], own.get(each)) for each in ranges}
        for balance in feasible(space, name, task):
            yield Candidate(
                estimator=name, parameters=chosen, balance=balance, scale=space.scale[0]
            )


def scales_of(space: Space, name: str, task: Task) -> tuple[Scale, ...]:
    """The scales to choose from; one that does nothing, if the estimator needs none."""
    return space.scale if entry(task, name).is_scaled else space.scale[:1]


def feasible(space: Space, name: str, task: Task) -> tuple[Balance, ...]:
    """What can be done for rare classes with an estimator; nothing, if it can do none of it."""
    can_weigh = entry(task, name).weighs_classes is not None
    found = tuple(each for each in space.balance if each != "weights" or can_weigh)
    return found or ("none",)


def _within(each: Range, value: Any) -> Any:
    if isinstance(each, Choice):
        return value if value in each.values else each.values[len(each.values) // 2]
    if isinstance(value, int | float) and each.low <= value <= each.high:
        return value
    middle = math.sqrt(each.low * each.high) if each.is_log else (each.low + each.high) / 2
    return round(middle) if isinstance(each, Whole) else middle


def grid(space: Space, task: Task) -> Iterator[Candidate]:
    """Every combination of values.

    Raises:
        InvalidRequestError: a range has no list of values.
    """
    for name, ranges in space.estimators.items():
        lists = [_values(name, parameter, each) for parameter, each in ranges.items()]
        for values in product(*lists):
            chosen = dict(zip(ranges, values, strict=True))
            for balance, scale in product(
                feasible(space, name, task), scales_of(space, name, task)
            ):
                yield Candidate(estimator=name, parameters=chosen, balance=balance, scale=scale)


def suggested(trial: Trial, space: Space, task: Task, name: str) -> Candidate:
    """The candidate of an estimator that Optuna proposes."""
    choices = list(feasible(space, name, task))
    balance = cast("Balance", trial.suggest_categorical("balance", choices))
    parameters = {
        parameter: _suggest(trial, f"parameter.{parameter}", each)
        for parameter, each in space.estimators[name].items()
    }
    scales = list(scales_of(space, name, task))
    scale = cast("Scale", trial.suggest_categorical("scale", scales))
    return Candidate(estimator=name, parameters=parameters, balance=balance, scale=scale)


def fixed(candidate: Candidate) -> dict[str, Any]:
    """What is fixed of a trial that is not Optuna's own proposal."""
    found: dict[str, Any] = {"balance": candidate.balance, "scale": candidate.scale}
    for parameter, value in candidate.parameters.items():
        found[f"parameter.{parameter}"] = value
    return found


def _suggest(trial: Trial, name: str, each: Range) -> Any:
    if isinstance(each, Choice):
        return trial.suggest_categorical(name, list(each.values))
    if isinstance(each, Whole):
        return trial.suggest_int(name, each.low, each.high, log=each.is_log)
    return trial.suggest_float(name, each.low, each.high, log=each.is_log)


def _values(estimator: str, parameter: str, each: Range) -> Sequence[Any]:
    if isinstance(each, Choice):
        return each.values
    message = f"a grid needs a list of values for {estimator}.{parameter}"
    raise InvalidRequestError(message, hint="Give a choice of values, or sample at random.")
