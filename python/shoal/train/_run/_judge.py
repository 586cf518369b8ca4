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
from shoal.train._run._answers import answers_of, packaged
from shoal.train._search._scores import positive_of, sign_of
from shoal.train._search._search import fit, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.evaluate import Comparison, Importance, Report
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._material import Material
    from shoal.train._search._search import Leaderboard
    from shoal.train._search._study import Tried

    Predict = Callable[[pa.RecordBatch], pa.RecordBatch]

BASELINE = "dummy"
# Importances are measured on so many records at most.
IMPORTANCE_ROWS = 5_000
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
    from shoal.train._search._candidates import Candidate

    candidate = best[name].candidate if name in best else Candidate(estimator=name)
    fitted = fit(
        material.learned,
        configuration.target,
        candidate,
        preparation=material.preparation,
        task=material.task,
        seed=configuration.search.seed,
    )
    return answers_of(fitted, material.held_out)


def _importances(
    predict: Predict,
    asked: pa.RecordBatch,
    truth: Any,
    task: evaluate.Task,
    settings: evaluate.Settings,
) -> tuple[Importance, ...]:
    count = min(asked.num_rows, IMPORTANCE_ROWS)
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(asked.num_rows)[:count])
    unweighted = msgspec.structs.replace(settings, slices=(), weight=None)
    return evaluate.permutation_importance(
        predict, asked.take(pa.array(chosen)), truth[chosen], task=task, settings=unweighted
    )


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
