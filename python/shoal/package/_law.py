"""Law 1 at sealing: who shares a micro-batch with a record never changes its answer.

The rows of the example are answered together, one by one, in another order, and beside batch-mates
made to disturb: a record ten thousand times as large, one of NaN, one that is missing. A model that
refuses such a mate even alone is not asked to answer beside it: the refusal is that mate's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import BatchDependenceError, InputError, ModelError
from shoal.package._rows import Rows, disagreement, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.package._rows import Array
    from shoal.runtime import Model, Tolerance

ROWS_LIMIT = 32
"""Answering one by one costs a call each; a dependence shows on any pair of rows."""
OUTLIER = 10_000.0
_SEED = 20


def check_batch_independence(model: Model, rows: Rows, tolerance: Tolerance) -> tuple[str, ...]:
    """Refuses a model whose answers depend on the batch.

    Returns:
        The batch-mates that the model refused even alone, by name; they were left out.

    Raises:
        BatchDependenceError: naming the arrangement, the column and the worst row.
    """
    rows = rows.take(np.arange(min(len(rows), ROWS_LIMIT)))
    together = _answer(model, rows)
    alone = [_answer(model, rows.take(np.array([i]))) for i in range(len(rows))]
    for i, answer in enumerate(alone):
        _compare(together.take(np.array([i])), answer, f"row {i} alone", tolerance)
    order = np.random.default_rng(_SEED).permutation(len(rows))
    shuffled = _answer(model, rows.take(order))
    _compare(shuffled, together.take(order), "in another order", tolerance)
    refused = []
    for name, mate in _mates(rows):
        if not _is_answered(model, mate):
            refused.append(name)
            continue
        beside = _answer(model, mate.beside(rows)).take(np.arange(1, len(rows) + 1))
        _compare(beside, together, f"beside {name}", tolerance)
    return tuple(refused)


def _mates(rows: Rows) -> Iterator[tuple[str, Rows]]:
    first = rows.take(np.array([0]))
    outlier = tuple(_outlier(values) for values in first.values)
    yield "an outlier", Rows(rows.columns, outlier, first.missing)
    if any(values.dtype.kind == "f" for values in first.values):
        yield "a NaN", Rows(rows.columns, tuple(map(_nan, first.values)), first.missing)
    if any(column.nullable for column in rows.columns):
        pairs = zip(rows.columns, first.missing, strict=True)
        masks = tuple(mask | column.nullable for column, mask in pairs)
        yield "a missing record", Rows(rows.columns, first.values, masks)


def _outlier(values: Array) -> Array:
    if values.dtype.kind == "f":
        limit = float(np.finfo(values.dtype).max)
        large = np.where(values == 0, 1.0, values.astype(np.float64)) * OUTLIER
        return np.clip(large, -limit, limit).astype(values.dtype)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        large = np.where(values == 0, 1.0, values.astype(np.float64)) * OUTLIER
        # One tenth of the limit stays exact on the way through float64.
        return np.clip(large, limits.min // 10, limits.max // 10).astype(values.dtype)
    return values


def _nan(values: Array) -> Array:
    return np.full_like(values, np.nan) if values.dtype.kind == "f" else values


def _answer(model: Model, rows: Rows) -> Rows:
    return rows_of(model.predict(rows.to_batch()), model.signature.outputs)


def _is_answered(model: Model, mate: Rows) -> bool:
    try:
        _answer(model, mate)
    except (InputError, ModelError):
        return False
    return True


def _compare(found: Rows, expected: Rows, arrangement: str, tolerance: Tolerance) -> None:
    for column, one, other in zip(found.columns, found.values, expected.values, strict=True):
        apart = disagreement(one, other, tolerance)
        if apart.size and apart.max() > 1:
            message = (
                f"answers depend on the batch: {arrangement}, column {column.name!r} differs "
                f"in {int((apart > 1).sum())} of {len(apart)} rows"
            )
            hint = (
                "A step computes over the whole batch (a scale, a mean, dynamic quantization). "
                "Compute it per record, or fix it when the model is made."
            )
            raise BatchDependenceError(message, hint=hint)
