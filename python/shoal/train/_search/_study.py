"""Which candidate is tried next, until the time is up.

- Every estimator is tried with its defaults first. Then the turn goes to the estimator of which an
  improvement costs least (`_turns`), and Optuna proposes its parameters.
- What was tried is written to a journal before the next one is chosen: a search that was killed
  goes on behind its last trial.
- A candidate that fails is in the list with its reason, and the search goes on. One that was tried
  before is not tried again.

Source: Akiba et al., "Optuna", KDD 2019; Bergstra et al., "Algorithms for Hyper-Parameter
Optimization", NIPS 2011 (TPE).
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from shoal.errors import ConflictError
from shoal.train._search._candidates import Candidate
from shoal.train._search._journal import opened
from shoal.train._search._space import fixed, grid, suggested, usual
from shoal.train._search._turns import Attempt, is_behind, whose_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from optuna.trial import Trial

    from shoal.train._estimators._table import Task
    from shoal.train._search._space import Space
    from shoal.train._search._trials import Trials

Sampler: TypeAlias = Literal["tpe", "random", "grid"]
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
# Candidates of an estimator that are drawn at random before TPE learns from them.
STARTUP_TRIALS = 5
# So many proposals in a row that were tried before, and an estimator has nothing more to offer.
MOST_REPEATED = 20


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


class Asked(NamedTuple):
    """What is searched.

    Attributes:
        space: The candidates.
        task: What is predicted.
        sampler: How they are chosen.
        seed: What random choices follow from.
        sign: -1 where a score is the negative of an error, 1 otherwise.
        digest: Of all that a score depends on: records, folds, metric, preparation and these.
    """

    space: Space
    task: Task
    sampler: Sampler
    seed: int
    sign: int
    digest: str


class Study:
    """Chooses candidates and remembers how they did."""

    def __init__(self, asked: Asked, *, journal: Path | None) -> None:
        """Begins, or goes on where a journal ends.

        Raises:
            InvalidRequestError: a grid is asked for over ranges that have no ends.
            ConflictError: the journal is of another search, or damaged.
            SinkError: the journal cannot be written (disk full, no right).
        """
        self._space, self._task = asked.space, asked.task
        self._sampler, self._seed, self._sign = asked.sampler, asked.seed, asked.sign
        space, task = asked.space, asked.task
        first = list(grid(space, task) if asked.sampler == "grid" else usual(space, task))
        storage = InMemoryStorage() if journal is None else opened(journal)
        with _silence():
            _check_names(storage, space, journal)
            self._studies = {name: self._of_estimator(name, storage) for name in space.estimators}
            for name, study in self._studies.items():
                _check(study, asked.digest, journal)
                _try_again(study)
                for candidate in first:
                    if candidate.estimator == name:
                        study.enqueue_trial(fixed(candidate), skip_if_exists=True)
        self._tried = [each for study in self._studies.values() for each in _tried(study)]
        self._repeated = dict.fromkeys(self._studies, 0)

    def run(
        self, trials: Trials, goes_on: Callable[[int], bool], tell: Callable[[Tried], object]
    ) -> None:
        """Tries candidates while `goes_on`, which is told how many were tried, says so."""
        while goes_on(len(self._tried)):
            name = self._next()
            if name is None:
                return
            trial = self._studies[name].ask()
            candidate = suggested(trial, self._space, self._task, name)
            before = next((each for each in self._tried if each.candidate == candidate), None)
            if before is not None:
                self._repeat(name, trial, before)
                continue
            self._repeated[name] = 0
            found = self._try(trials, candidate)
            trial.set_user_attr("tried", msgspec.json.encode(found).decode())
            self._end(name, trial, found)
            self._tried.append(found)
            tell(found)

    def tried(self) -> list[Tried]:
        """All that was tried."""
        return list(self._tried)

    def _of_estimator(self, name: str, storage: BaseStorage) -> optuna.Study:
        known = {study.study_name: study.n_trials for study in _summaries(storage)}
        seed = self._seed + known.get(name, 0)  # one that goes on draws other numbers than before
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=_sampler(self._sampler, seed),
        )

    def _next(self) -> str | None:
        """Whose turn it is: who was not tried yet, then whose improvement costs least."""
        for name, study in self._studies.items():
            if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                return name
        if self._sampler == "grid":
            return None
        history = {
            name: [
                attempt_of(each, self._sign)
                for each in self._tried
                if each.candidate.estimator == name
            ]
            for name, repeated in self._repeated.items()
            if repeated < MOST_REPEATED
        }
        return whose_turn(history, np.random.default_rng([self._seed, *self._draws()]))

    def _draws(self) -> list[int]:
        """What the next choice is drawn from: it differs after whatever was proposed."""
        return [len(self._tried), *self._repeated.values()]

    def _repeat(self, name: str, trial: Trial, before: Tried) -> None:
        self._repeated[name] += 1
        self._end(name, trial, before)

    def _try(self, trials: Trials, candidate: Candidate) -> Tried:
        def give_up(scores: Sequence[float]) -> bool:
            others = [each.scores for each in self._tried if each.scores]
            return self._sampler != "grid" and is_behind(scores, others)

        try:
            scored = trials.try_one(candidate, give_up)
        except Exception as error:  # noqa: BLE001 - it is told, and the others are tried
            reason = f"{type(error).__name__}: {error}"
            return Tried(candidate=candidate, status="failed", reason=reason)
        return Tried(
            candidate=candidate,
            scores=scored.scores,
            seconds=scored.seconds,
            status="done" if scored.is_whole else "given_up",
        )

    def _end(self, name: str, trial: Trial, found: Tried) -> None:
        """What was given up counts by the folds that it was tested on."""
        if found.status == "failed":
            self._studies[name].tell(trial, state=TrialState.FAIL)
        else:
            self._studies[name].tell(trial, float(np.mean(found.scores)))


def attempt_of(tried: Tried, sign: int) -> Attempt:
    """What a candidate came to; the loss of a score is what it lacks to 1, that of an error itself.

    Args:
        tried: The candidate.
        sign: -1 where its scores are negative errors, 1 otherwise.
    """
    if tried.status != "done":
        return Attempt(tried.seconds, None)
    mean = float(np.mean(tried.scores))
    return Attempt(tried.seconds, -mean if sign < 0 else 1 - mean)


def _check(study: optuna.Study, digest: str, journal: Path | None) -> None:
    """Refuses to go on with the scores of another search."""
    known = study.user_attrs.get("of")
    if known is None:
        study.set_user_attr("of", digest)
    elif known != digest:
        raise _of_another(journal)


def _check_names(storage: BaseStorage, space: Space, journal: Path | None) -> None:
    known = {study.study_name for study in _summaries(storage)}
    if not known <= set(space.estimators):  # fewer where one was killed while it began
        raise _of_another(journal)


def _of_another(journal: Path | None) -> ConflictError:
    message = f"{journal} is of another search: of other records, folds, scores or candidates"
    return ConflictError(message, hint="Remove it to search anew, or choose another place.")


def _summaries(storage: BaseStorage) -> list[optuna.study.StudySummary]:
    return optuna.get_all_study_summaries(storage, include_best_trial=False)


def _try_again(study: optuna.Study) -> None:
    """Puts what was being tried when a search was killed in front of the others."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if asked := trial.system_attrs.get("fixed_params"):
            study.enqueue_trial(asked)


def _tried(study: optuna.Study) -> list[Tried]:
    kept = (each.user_attrs.get("tried") for each in study.get_trials(deepcopy=False, states=ENDED))
    return [msgspec.json.decode(each, type=Tried) for each in kept if each]


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on the terminal of what is told by this room's own words."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _sampler(kind: Sampler, seed: int) -> BaseSampler:
    if kind == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # parameters depend on each other
        return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)
