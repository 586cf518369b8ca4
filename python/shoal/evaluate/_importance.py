"""What a model relies on: by how much its answers get worse when a column is shuffled.

- Works on any function from a table to a table, so on a sealed model: `model.predict`.
- Each column is shuffled `repeats` times, each time by a seed of its own: the importance of one
  column does not change when others are added behind it.
- Records go through the model in micro-batches of `ROWS`.
- Of two columns that say the same, each seems to matter little: shuffling one leaves the other.

Source: L. Breiman, "Random forests", section 10; A. Fisher, C. Rudin, F. Dominici, "All models are
wrong, but many are useful".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import pyarrow as pa

from shoal.batch import process, rows, split
from shoal.errors import InvalidRequestError
from shoal.evaluate._compare import default_metric, gain_of, value_of
from shoal.evaluate._measures import measures_of
from shoal.evaluate._rows import check_rows, read_rows
from shoal.evaluate._task import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.evaluate._task import Task

ROWS: Final = 4096


class Importance(msgspec.Struct, frozen=True):
    """How much a model relies on one column.

    Attributes:
        column: The column that was shuffled.
        metric: What got worse.
        mean: By how much, on average; about 0 or below where the column does not matter.
        spread: The standard deviation of the repeats; None of a single one.
        losses: By how much in each repeat.
    """

    column: str
    metric: str
    mean: float
    spread: float | None
    losses: tuple[float, ...]


def permutation_importance(
    predict: Callable[[pa.RecordBatch], pa.RecordBatch],
    records: pa.RecordBatch | pa.Table,
    truth: object,
    *,
    task: Task,
    settings: Settings | None = None,
) -> tuple[Importance, ...]:
    """Shuffles each column of the records and measures what the model loses.

    Args:
        predict: A model: answers a table row by row, e.g. `model.predict`.
        records: What the model is asked; every column is shuffled.
        truth: One true label or number per record.
        task: What the model answers.
        settings: `metric`, `repeats`, `seed`, and `weight`, a column the model is not shown.

    Returns:
        One per column, the most important first.

    Raises:
        InvalidRequestError: There is no record, or the metric is not defined.
        InputError: A column of the answers cannot be measured.
        ModelError: The model raised an error.
    """
    chosen = settings or Settings()
    table = pa.table(records)
    if not table.num_rows:
        raise InvalidRequestError("there are no records, so no column can be shuffled")
    metric = chosen.metric or default_metric(task)

    def gain(shuffled: pa.Table) -> float:
        asked = shuffled.drop_columns([chosen.weight] if chosen.weight else [])
        answers = pa.Table.from_batches(process(split(asked, by=rows(ROWS)), predict))
        check_rows("the model gave", len(answers), len(table))
        read = read_rows(truth, answers, task=task, records=table, settings=chosen)
        value = value_of(measures_of(read, chosen), metric, "the model")
        return float(gain_of(metric, np.array([value]))[0])

    whole = gain(table)
    found = []
    for place, column in enumerate(table.schema.names):
        if column != chosen.weight:
            seeds = [[chosen.seed, place, repeat] for repeat in range(chosen.repeats)]
            losses = [whole - gain(_shuffled(table, place, seed)) for seed in seeds]
            found.append(_importance(column, metric, losses))
    return tuple(sorted(found, key=lambda importance: -importance.mean))


def _shuffled(table: pa.Table, place: int, seed: list[int]) -> pa.Table:
    order = np.random.default_rng(seed).permutation(len(table))
    field = table.schema.field(place)
    return table.set_column(place, field, table.column(place).take(pa.array(order)))


def _importance(column: str, metric: str, losses: list[float]) -> Importance:
    spread = float(np.std(losses, ddof=1)) if len(losses) > 1 else None
    return Importance(column, metric, float(np.mean(losses)), spread, tuple(losses))
