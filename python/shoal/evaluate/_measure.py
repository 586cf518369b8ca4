"""Measures the answers of a model: every metric with its interval, for all records and by slice.

- The truth and the answers are columns of one order; nothing is dropped, see `_rows`.
- What is measured of all records is measured of each slice in the same way.
- Equal input gives equal output, to the last bit: the draws are seeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from shoal.evaluate._bootstrap import interval_of, replicates
from shoal.evaluate._evaluation import Evaluation, LabelMetrics, Metric
from shoal.evaluate._measures import (
    BY_LABEL,
    ORDER,
    PROBABLE,
    RANKED,
    NumberMeasures,
    better_of,
    measures_of,
)
from shoal.evaluate._rows import LabelRows, read_rows
from shoal.evaluate._tables import agreement_of, calibration_of, curves_of, thresholds_of
from shoal.evaluate._task import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.evaluate._evaluation import Sliced
    from shoal.evaluate._measures import Measures
    from shoal.evaluate._rows import Rows
    from shoal.evaluate._task import Task

    Floats = NDArray[np.float64]

FEW_RECORDS: Final = 10
NO_INTERVAL: Final = "too few replicates have a value for an interval"
BIASED: Final = "drawing records anew shifts this metric: its interval does not hold the value"


def measure(
    truth: object,
    answers: pa.RecordBatch | pa.Table,
    *,
    task: Task,
    records: pa.RecordBatch | pa.Table | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Measures the answers of a model.

    Args:
        truth: One true label or number per record: an Arrow column, an array or a list.
        answers: What the model answered, as `Model.predict` gives it, in the same order.
        task: What the model answers: `Classification(labels=...)` or `Regression()`.
        records: A table of the same order that holds the columns of weights and slices.
        settings: How it is measured.

    Returns:
        The evaluation. `to_json` gives it as JSON, `to_html` as a page.

    Raises:
        InputError: A column is missing, of another length or type, or holds what cannot be
            measured; the message names column and row.
        RequirementError: Slices were asked for and fairlearn is not installed.
    """
    chosen = settings or Settings()
    rows = read_rows(truth, answers, task=task, records=records, settings=chosen)
    measures = measures_of(rows, chosen)
    metrics, by_label = measured(measures, chosen)
    evaluation = Evaluation(
        task=task,
        settings=chosen,
        records=len(rows.truth),
        metrics=metrics,
        by_label=by_label,
        slices=_sliced(rows, records, chosen),
        notes=_notes(rows),
    )
    if isinstance(measures, NumberMeasures):
        return replace(evaluation, agreement=agreement_of(measures))
    matrix = measures.matrices(measures.rows.weights[None])[0]
    return replace(
        evaluation,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        calibration=calibration_of(measures),
        thresholds=thresholds_of(measures),
        curves=curves_of(measures),
    )


def measured(
    measures: Measures, settings: Settings
) -> tuple[tuple[Metric, ...], tuple[LabelMetrics, ...]]:
    """Gives every metric with its interval, of all records and by label."""
    single, by_label = measures.values(measures.rows.weights[None])
    drawn, drawn_by_label = replicates(measures, settings)
    notes = measures.notes()
    is_numbers = isinstance(measures, NumberMeasures)
    due = {*single} if is_numbers else {*single, *RANKED, *PROBABLE}
    names = sorted(due, key=(list(single) if is_numbers else ORDER).index)
    metrics = tuple(
        _metric(name, single.get(name), drawn.get(name), settings, note=notes.get(name))
        for name in names
    )
    if isinstance(measures, NumberMeasures):
        return metrics, ()
    labels = measures.rows.task.labels
    found = tuple(
        LabelMetrics(
            label,
            float(by_label["support"][0, place]),
            tuple(
                _metric(
                    name,
                    by_label[name][:, place],
                    drawn_by_label[name][:, place] if drawn_by_label else None,
                    settings,
                    note=measures.label_note(name, place),
                )
                for name in BY_LABEL
                if name in by_label
            ),
        )
        for place, label in enumerate(labels)
    )
    return metrics, found


def _metric(
    name: str, value: Floats | None, drawn: Floats | None, settings: Settings, *, note: str | None
) -> Metric:
    is_defined = value is not None and bool(np.isfinite(value[0]))
    interval = interval_of(drawn, settings.confidence) if is_defined else None
    said = [] if note is None else [note]
    if value is None or not is_defined:
        number = None
    else:
        number = float(value[0])
        if interval is None and settings.replicates:
            said.append(NO_INTERVAL)
        if interval is not None and not interval.low <= number <= interval.high:
            said.append(BIASED)
    return Metric(
        name=name,
        value=number,
        bounds=interval,
        better=better_of(name),
        note="; ".join(said) or None,
    )


def _sliced(
    rows: Rows, records: pa.RecordBatch | pa.Table | None, settings: Settings
) -> tuple[Sliced, ...]:
    if not settings.slices:
        return ()
    from shoal.evaluate._slices import sliced

    return sliced(rows, records, settings)


def _notes(rows: Rows) -> tuple[str, ...]:
    """Says what makes numbers uncertain beyond their intervals."""
    notes = []
    if isinstance(rows, LabelRows):
        counts = np.bincount(rows.truth, minlength=len(rows.task.labels)).tolist()
        few = [
            f"{label!r} ({count})"
            for label, count in zip(rows.task.labels, counts, strict=True)
            if count < FEW_RECORDS
        ]
        if few:
            notes.append(f"labels of fewer than {FEW_RECORDS} records: {', '.join(few)}")
    elif len(rows.truth) < FEW_RECORDS:
        notes.append(f"there are fewer than {FEW_RECORDS} records")
    return tuple(notes)
