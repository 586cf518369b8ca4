"""Reports for tests: one of two labels with everything, one of many labels, one of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shoal.evaluate import (
    Classification,
    Importance,
    ModelCard,
    Regression,
    Report,
    Settings,
    compare,
    compare_scores,
    measure,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 600
HOSTILE = '<script>alert("x")</script> & "$\\alpha" \N{SNOWMAN} _a | b'


def of_two_labels() -> Report:
    rng = np.random.default_rng(1)
    leaves = rng.random(ROWS) < 0.25
    truth = np.where(leaves, "leaves", "stays")
    good = 1 / (1 + np.exp(1 - rng.normal(size=ROWS) - 2 * leaves))
    poor = np.clip(0.5 * good + 0.4 * rng.random(ROWS), 0, 1)
    task = Classification(labels=("stays", "leaves"))
    region = ["north" if n < 0.5 else "south" if n < 0.9 else None for n in rng.random(ROWS)]
    settings = Settings(replicates=100, slices=("region",))
    models = {
        "always stays": _answers(np.full(ROWS, 0.2)),
        "forest": _answers(good),
        "logistic regression": _answers(poor),
    }
    records = pa.table({"region": pa.array(region)})
    evaluation = measure(truth, models["forest"], task=task, records=records, settings=settings)
    folds = {name: [n + k / 100 for k in (1, 3, 2)] for n, name in enumerate(models)}
    return Report(
        card=card("churn"),
        evaluation=evaluation,
        comparisons=(
            compare(
                truth,
                models,
                task=task,
                baseline="always stays",
                settings=Settings(replicates=100),
            ),
            compare_scores(folds, metric="roc_auc", test_share=0.5, baseline="always stays"),
        ),
        importances=(
            Importance("calls", "roc_auc", 0.11, 0.01, (0.1, 0.12)),
            Importance("age", "roc_auc", 0.0, None, (0.0,)),
        ),
    )


def of_many_labels() -> Report:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(5), ROWS)
    truth = np.array([rng.choice(5, p=row) for row in probabilities])
    answers = pa.table({"label": probabilities.argmax(1), "probabilities": list(probabilities)})
    task = Classification(labels=tuple(range(5)))
    settings = Settings(replicates=20)
    return Report(
        card=card("kinds"), evaluation=measure(truth, answers, task=task, settings=settings)
    )


def of_very_many_labels() -> Report:
    rng = np.random.default_rng(3)
    truth, answer = rng.integers(0, 40, ROWS), rng.integers(0, 40, ROWS)
    task = Classification(labels=tuple(range(40)))
    settings = Settings(replicates=0)
    evaluation = measure(truth, pa.table({"label": answer}), task=task, settings=settings)
    return Report(card=card("codes"), evaluation=evaluation)


def of_numbers() -> Report:
    rng = np.random.default_rng(4)
    truth = 200 + 40 * rng.normal(size=ROWS)
    answers = pa.table({"prediction": truth + 10 * rng.normal(size=ROWS)})
    evaluation = measure(truth, answers, task=Regression(), settings=Settings(replicates=50))
    return Report(card=card("prices"), evaluation=evaluation)


def of_hostile_names() -> Report:
    """Every name a user chooses is markup, and no browser's font has all of it."""
    other = f"{HOSTILE} 2"
    truth = [HOSTILE, other] * 20
    answers = pa.table({"label": truth, "probabilities": [0.1, 0.9] * 20})
    records = pa.table({HOSTILE: truth})
    settings = Settings(replicates=10, slices=(HOSTILE,))
    task = Classification(labels=(HOSTILE, other))
    evaluation = measure(truth, answers, task=task, records=records, settings=settings)
    spoken = ModelCard(name=HOSTILE, version=HOSTILE, summary=HOSTILE, facts={HOSTILE: HOSTILE})
    comparison = compare(
        truth, {HOSTILE: answers, other: answers}, task=task, settings=Settings(replicates=10)
    )
    importances = (Importance(HOSTILE, "roc_auc", 0.1, 0.1, (0.1,)),)
    return Report(
        card=spoken, evaluation=evaluation, comparisons=(comparison,), importances=importances
    )


def card(name: str) -> ModelCard:
    return ModelCard(
        name=name,
        version="3",
        summary="Which customers leave within three months.",
        intended_use="A list for the retention team, once a week.",
        facts={"Package": "sha256:9f2c"},
    )


def _answers(scores: NDArray[np.float64]) -> pa.Table:
    return pa.table({"label": np.where(scores > 0.5, "leaves", "stays"), "probabilities": scores})
