"""Which candidate is tried next, until the time is up: Optuna chooses, this room tries.

- Every estimator is tried with its defaults first; then the estimator and its parameters are one
  space, so that the time goes to those that do well.
- What was tried is written to a journal before the next one is chosen: a search that was killed
  goes on behind its last trial.
- A candidate that fails is in the list with its reason, and the search goes on.

Source: Akiba et al., "Optuna", KDD 2019; Bergstra et al., "Algorithms for Hyper-Parameter
Optimization", NIPS 2011 (TPE).
"""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import msgspec
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from shoal.errors import InvalidRequestError
from shoal.train._estimators._table import Choice, Range, Whole, entry, made
from shoal.train._search._candidates import Balance, Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from optuna.trial import FrozenTrial, Trial

    from shoal.train._estimators._table import Task
    from shoal.train._search._trials import Trials

Sampler: TypeAlias = Literal["tpe", "random", "grid"]
STUDY = "search"
# Trials before one may be given up for being behind.
WARM_UP_TRIALS = 5


class Space(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is searched.

    Attributes:
        estimators: Names of the table, and the ranges that are searched for each.
        balance: What is done for rare classes, if there is a choice.
    """

    estimators: dict[str, dict[str, Range]]
    balance: tuple[Balance, ...] = ("none",)


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was tried.

    Attributes:
        candidate: Which.
        scores: Of the folds that were tested.
        seconds: How long it took.
        status: `done`; `given_up` for being behind; `failed`.
        reason: Why it failed.
    """

    candidate: Candidate
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    status: Literal["done", "given_up", "failed"] = "done"
    reason: str | None = None


def usual_space(task: Task, names: Sequence[str], balance: Sequence[Balance]) -> Space:
    """The ranges of the table.

    Raises:
        InvalidRequestError: there is no such estimator.
    """
    found = {name: dict(entry(task, name).searched) for name in names}
    return Space(estimators=found, balance=tuple(balance))


class Study:
    """Chooses candidates and remembers how they did."""

    def __init__(
        self, space: Space, task: Task, sampler: Sampler, *, seed: int, journal: Path | None
    ) -> None:
        """Begins, or goes on where a journal ends.

        Raises:
            InvalidRequestError: a grid is asked for over ranges that have no ends.
        """
        self._space, self._task = space, task
        storage = (
            InMemoryStorage()
            if journal is None
            else JournalStorage(JournalFileBackend(str(journal)))
        )
        with _silence():
            self._study = optuna.create_study(
                storage=storage,
                study_name=STUDY,
                direction="maximize",
                load_if_exists=True,
                sampler=_sampler(sampler, seed, len(self.tried_before(storage))),
                pruner=MedianPruner(n_startup_trials=WARM_UP_TRIALS),
            )
            self._try_again()
            for candidate in grid(space, task) if sampler == "grid" else usual(space, task):
                self._study.enqueue_trial(_fixed(candidate), skip_if_exists=True)
        self._is_grid = sampler == "grid"

    def _try_again(self) -> None:
        """Puts what was being tried when a search was killed in front of the others."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            if fixed := trial.system_attrs.get("fixed_params"):
                self._study.enqueue_trial(fixed)

    @staticmethod
    def tried_before(storage: Any) -> list[FrozenTrial]:
        """What a journal holds already."""
        names = [each.study_name for each in storage.get_all_studies()]
        return (
            []
            if STUDY not in names
            else storage.get_all_trials(storage.get_study_id_from_name(STUDY), deepcopy=False)
        )

    def run(
        self, trials: Trials, goes_on: Callable[[int], bool], tell: Callable[[Tried], object]
    ) -> None:
        """Tries candidates while `goes_on`, which is told how many were tried, says so."""
        while goes_on(len(self.tried())) and (not self._is_grid or self._has_waiting()):
            trial = self._study.ask()
            tell(self._try(trials, trial))

    def tried(self) -> list[Tried]:
        """All that was tried, in order."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        found = self._study.get_trials(deepcopy=False, states=ended)
        kept = (each.user_attrs.get("tried") for each in found)
        return [msgspec.json.decode(each, type=Tried) for each in kept if each]

    def _has_waiting(self) -> bool:
        return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _try(self, trials: Trials, trial: Trial) -> Tried:
        candidate = suggested(trial, self._space, self._task)

        def give_up(folds: int, score: float) -> bool:
            trial.report(score, folds)
            return not self._is_grid and trial.should_prune()

        try:
            scored = trials.try_one(candidate, give_up)
        except Exception as error:  # noqa: BLE001 - it is told, and the others are tried
            reason = f"{type(error).__name__}: {error}"
            found = Tried(candidate=candidate, status="failed", reason=reason)
            self._end(trial, found, None, TrialState.FAIL)
            return found
        status: Literal["done", "given_up"] = "done" if scored.is_whole else "given_up"
        found = Tried(
            candidate=candidate, scores=scored.scores, seconds=scored.seconds, status=status
        )
        is_done = status == "done"
        state = TrialState.COMPLETE if is_done else TrialState.PRUNED
        self._end(trial, found, scored.mean if is_done else None, state)
        return found

    def _end(self, trial: Trial, found: Tried, value: float | None, state: TrialState) -> None:
        trial.set_user_attr("tried", msgspec.json.encode(found).decode())
        self._study.tell(trial, value, state)


def usual(space: Space, task: Task) -> Iterator[Candidate]:
    """Every estimator once, with its own defaults where they lie within what is searched."""
    for name, ranges in space.estimators.items():
        own = made(entry(task, name), {}, seed=0).get_params()
        chosen = {each: _within(ranges[each], own.get(each)) for each in ranges}
        for balance in feasible(space, name, task):
            yield Candidate(estimator=name, parameters=chosen, balance=balance)


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
            for balance in feasible(space, name, task):
                chosen = dict(zip(ranges, values, strict=True))
                yield Candidate(estimator=name, parameters=chosen, balance=balance)


def suggested(trial: Trial, space: Space, task: Task) -> Candidate:
    """The candidate that Optuna proposes."""
    name = trial.suggest_categorical("estimator", list(space.estimators))
    choices = list(feasible(space, name, task))
    balance = cast("Balance", trial.suggest_categorical(f"{name}.balance", choices))
    parameters = {
        parameter: _suggest(trial, f"{name}.{parameter}", each)
        for parameter, each in space.estimators[name].items()
    }
    return Candidate(estimator=name, parameters=parameters, balance=balance)


def _fixed(candidate: Candidate) -> dict[str, Any]:
    """What is fixed of a trial that is not Optuna's own proposal."""
    found: dict[str, Any] = {"estimator": candidate.estimator}
    found[f"{candidate.estimator}.balance"] = candidate.balance
    for parameter, value in candidate.parameters.items():
        found[f"{candidate.estimator}.{parameter}"] = value
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


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on the terminal of what is told by this room's own words."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _sampler(kind: Sampler, seed: int, tried: int) -> BaseSampler:
    # One that goes on draws other numbers than those it has drawn.
    if kind == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # a space for each estimator is
            return TPESampler(seed=seed + tried, multivariate=True, group=True)
    return RandomSampler(seed=seed + tried)
