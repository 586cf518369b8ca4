"""Is a forest better than a line, for everyone? Measures both and writes a report to show.

Run it: `python examples/evaluate_a_model.py`; then open `report.html`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("mean radius", "mean texture", "mean concavity", "mean symmetry")
MODELS = {
    "always benign": DummyClassifier(),
    "line": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(100, random_state=0),
}


CARD = evaluate.ModelCard(
    name="tumours",
    version="1",
    summary="Whether a tumour is malignant, from four measurements of its cells.",
    out_of_scope="Any decision without a physician.",
    evaluation_data="Every second record of the Wisconsin data, not used for fitting.",
)
TASK = evaluate.Classification(labels=("benign", "malignant"))


def main() -> None:
    rows, truth = fit_the_models()
    answers = {name: answer(model, rows) for name, model in MODELS.items()}
    comparison = evaluate.compare(truth, answers, task=TASK, baseline="always benign")
    best = comparison.winner

    sizes = pa.table({"size": np.where(rows[:, 0] > np.median(rows[:, 0]), "large", "small")})
    settings = evaluate.Settings(slices=("size",))
    evaluation = evaluate.measure(truth, answers[best], task=TASK, records=sizes, settings=settings)
    records = pa.table({name: rows[:, place] for place, name in enumerate(COLUMNS)})
    importances = evaluate.permutation_importance(
        lambda batch: answer(MODELS[best], np.stack(batch.columns, axis=1)),
        records,
        truth,
        task=TASK,
    )
    report = evaluate.Report(
        card=CARD, evaluation=evaluation, comparisons=(comparison,), importances=importances
    )
    Path("report.html").write_text(evaluate.to_html(report), "utf-8")
    Path("card.md").write_text(evaluate.to_markdown(report), "utf-8")

    area = evaluation.metric("roc_auc")
    if area.value is not None and area.bounds is not None:
        print(f"{best}: ROC-AUC {area.value:.3f}, {area.bounds.low:.3f} to {area.bounds.high:.3f}")
    for pair in comparison.pairs:
        print(f"against {pair.other}: p = {pair.tests[-1].adjusted_p_value:.3f}")
    print(f"it looks at {importances[0].column} most")


def fit_the_models() -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Fits every model on one half of the records, and gives the other half and its truth."""
    data = load_breast_cancer(as_frame=True)
    rows = data.data[list(COLUMNS)].to_numpy()
    truth = np.where(data.target, "benign", "malignant")
    is_shown = np.arange(len(rows)) % 2 == 1
    for model in MODELS.values():
        model.fit(rows[is_shown], truth[is_shown])
    return rows[~is_shown], truth[~is_shown]


def answer(model: Any, rows: NDArray[np.float64]) -> pa.RecordBatch:
    """What a sealed model answers: labels, and probabilities in the order of the labels."""
    probabilities = model.predict_proba(rows)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), 2)
    return pa.record_batch({"label": model.predict(rows), "probabilities": lists})


if __name__ == "__main__":
    main()
