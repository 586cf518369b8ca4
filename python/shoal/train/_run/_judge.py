"""How good the model is: its package is asked, on the records that nothing was learned from.

- What is measured are the answers of the package, not those of the model it was made from.
- The winner stands beside the baseline and the runner-up, by answers and by folds, in paired tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from shoal import evaluate
from shoal.batch import process, rows, split
from shoal.errors import InvalidRequestError
from shoal.train._run._answers import answers_of, packaged
from shoal.train._run._decide import decided_by, gives_probabilities, of_probabilities
from shoal.train._search._candidates import Candidate
from shoal.train._search._scores import USUAL, positive_of, sign_of
from shoal.train._search._search import fit, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from shoal.evaluate import Comparison, Importance, Report
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._material import Material
    from shoal.train._search._search import Leaderboard
    from shoal.train._search._study import Tried

    Predict = Callable[[pa.RecordBatch], pa.RecordBatch]

BASELINE = "dummy"
# Importances are measured on so many records at most.
IMPORTANCE_ROWS = 5_000
LEAST_OF_A_CLASS = 50
BATCH_ROWS = 4096


def report_of(
    predict: Predict,
    board: Leaderboard,
    material: Material,
    configuration: Configuration,
    facts: dict[str, str],
) -> Report:
    """Measures a sealed model.

    Args:
        predict: The package's model.
        board: What was compared.
        material: What was learned from, and what was held out.
        configuration: What was asked for.
        facts: What the card says besides.

    Raises:
        InputError: an answer cannot be measured.
        ModelError: the model failed.
    """
    truth = target_of(material.held_out, configuration.target, task=material.task)
    settings = _settings(configuration, board)
    task = task_of_report(material, configuration)
    asked = packaged(material.held_out, material.preparation)
    answers = pa.Table.from_batches(process(split(asked, by=rows(BATCH_ROWS)), predict))
    evaluation = evaluate.measure(
        truth, answers, task=task, records=material.held_out, settings=settings
    )
    comparisons = _compared(answers, board, material, configuration)
    return evaluate.Report(
        card=_card(configuration, board, material, facts),
        evaluation=evaluation,
        comparisons=tuple(comparisons),
        importances=_importances(predict, asked, truth, task, settings),
    )


def task_of_report(material: Material, configuration: Configuration) -> evaluate.Task:
    """The classes, in the order of a package's probabilities, or numbers."""
    if material.task == "regression":
        return evaluate.Regression()
    classes = target_of(material.learned, configuration.target, task=material.task)
    positive = positive_of(classes, configuration.search.positive)
    return evaluate.Classification(labels=tuple(sorted(set(classes.tolist()))), positive=positive)


def best_of_each(board: Leaderboard) -> dict[str, Tried]:
    """The best candidate of each estimator, the best first."""
    found: dict[str, Tried] = {}
    for row in board.rows:
        if row.status == "done":
            found.setdefault(row.candidate.estimator, row)
    return found


def _settings(configuration: Configuration, board: Leaderboard) -> evaluate.Settings:
    chosen = configuration.evaluation
    return msgspec.structs.replace(
        chosen, metric=chosen.metric or board.score, seed=chosen.seed or configuration.search.seed
    )


def _compared(
    answers: pa.Table, board: Leaderboard, material: Material, configuration: Configuration
) -> Iterator[Comparison]:
    best = best_of_each(board)
    names = list(best)[:2]
    by_name = {names[0]: answers}
    for name in dict.fromkeys([*names[1:], BASELINE]):
        if name != names[0]:
            by_name[name] = _others(name, best, material, configuration)
    settings = _settings(configuration, board)
    unsliced = msgspec.structs.replace(settings, slices=(), weight=None)
    if len(by_name) > 1:
        yield evaluate.compare(
            target_of(material.held_out, configuration.target, task=material.task),
            by_name,
            task=task_of_report(material, configuration),
            baseline=BASELINE,
            settings=unsliced,
        )
    if len(best) > 1:
        sign = sign_of(material.task, board.score)
        yield evaluate.compare_scores(
            {name: [sign * score for score in row.scores] for name, row in best.items()},
            metric=board.score,
            test_share=board.test_share,
            baseline=BASELINE if BASELINE in best else None,
        )


def _others(
    name: str, best: dict[str, Tried], material: Material, configuration: Configuration
) -> pa.Table:
    """What another model answers, by a threshold of its own where one is asked for."""
    candidate = best[name].candidate if name in best else Candidate(estimator=name)
    fitted = fit(
        material.learned,
        configuration.target,
        candidate,
        preparation=material.preparation,
        task=material.task,
        seed=configuration.search.seed,
    )
    rule = configuration.threshold
    if rule is not None:
        fitted = decided_by(rule, fitted, candidate, material, configuration).fitted
    return answers_of(fitted, material.held_out)


def check_measurable(material: Material, configuration: Configuration) -> None:
    """Measures the baseline, so that what cannot be measured is said before hours of search.

    Raises:
        InputError: a slice, a weight or a metric is none, or an estimator that is named cannot have
            the metric.
    """
    for name in configuration.search.estimators or ():
        if of_probabilities(configuration) and not gives_probabilities(name, material.task):
            metric = configuration.evaluation.metric
            raise InvalidRequestError(f"{name} gives no probabilities, which {metric!r} needs")
    answers = _others(BASELINE, {}, material, configuration)
    chosen = msgspec.structs.replace(configuration.evaluation, replicates=0)
    truth = target_of(material.held_out, configuration.target, task=material.task)
    task = task_of_report(material, configuration)
    found = evaluate.measure(truth, answers, task=task, records=material.held_out, settings=chosen)
    score = configuration.search.score or USUAL[material.task]
    for name in {score, chosen.metric or score}:
        known = [metric.name for metric in found.metrics]
        if name not in known:
            message = f"there is no metric {name!r} to measure"
            raise InvalidRequestError(message, hint=f"There are {', '.join(known)}.")
        if (note := found.metric(name)).value is None:
            raise InvalidRequestError(f"{name!r} cannot be measured: {note.note}")


def _importances(
    predict: Predict,
    asked: pa.RecordBatch,
    truth: NDArray[Any],
    task: evaluate.Task,
    settings: evaluate.Settings,
) -> tuple[Importance, ...]:
    chosen = pa.array(sample_of(truth, task, settings.seed))
    unweighted = msgspec.structs.replace(settings, slices=(), weight=None)
    return evaluate.permutation_importance(
        predict, asked.take(chosen), truth[chosen.to_numpy()], task=task, settings=unweighted
    )


def sample_of(truth: NDArray[Any], task: evaluate.Task, seed: int) -> NDArray[np.int64]:
    """Rows that importances are measured on: of a rare class more than its share.

    Args:
        truth: (rows,) the truth.
        task: Whether it has classes.
        seed: What the choice follows from.
    """
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    if isinstance(task, evaluate.Regression) or len(truth) <= IMPORTANCE_ROWS:
        return np.sort(shuffled[:IMPORTANCE_ROWS])
    share = IMPORTANCE_ROWS / len(truth)
    chosen = []
    for name in np.unique(truth):
        rows = shuffled[truth[shuffled] == name]
        chosen.append(rows[: max(round(share * len(rows)), LEAST_OF_A_CLASS)])
    return np.sort(np.concatenate(chosen))


def _card(
    configuration: Configuration, board: Leaderboard, material: Material, facts: dict[str, str]
) -> evaluate.ModelCard:
    best = board.best.candidate
    parameters = ", ".join(f"{name} = {value}" for name, value in best.parameters.items())
    told = {
        "Estimator": best.estimator,
        "Parameters": parameters or "defaults",
        "Rare classes": best.balance,
        "Candidates compared": f"{len(board.rows)} by {board.score}, on {board.records} records",
    }
    words = {str(part): text for part, text in configuration.card.items()}
    return evaluate.ModelCard(
        name=configuration.name,
        version=configuration.version,
        facts=told | facts,
        **(_records_told(configuration, material) | words),
    )


def _records_told(configuration: Configuration, material: Material) -> dict[str, str]:
    """What the card says of records, where the configuration says nothing."""
    folds = configuration.search.folds
    how = "the shares of the classes kept" if material.task == "classification" else "at random"
    if folds.group is not None:
        how = f"records of equal {folds.group!r} kept together"
    if folds.time is not None:
        how = f"the latest by {folds.time!r}"
    columns = ", ".join(material.preparation.columns)
    learned, held_out = material.learned.num_rows, material.held_out.num_rows
    return {
        "training_data": f"{learned} records; a model is told {columns}.",
        "evaluation_data": f"{held_out} records that nothing was learned from, {how}.",
    }
