"""Law 1 at sealing: who shares a micro-batch with a record never changes its answer.

The rows of the example are answered together, one by one, in another order, and beside batch-mates
made to disturb: a record ten thousand times as large, one of NaN, one that is missing. A model that
refuses such a mate even alone is not asked to answer beside it: the refusal is that mate's own.

Where records are padded, a record alone, as it is, and the same record padded beside longer mates
give the same answer: padded to its rounded length, and to the longest of all that it may travel
with. What follows the length is cut back before comparing. The records are those of the example, a
few of each length, or made-up ones of several lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import BatchDependenceError, InputError, ModelError, ProofError
from shoal.package._proving._made_up import plain_rows
from shoal.package._rows import Rows, disagreement, rows_of
from shoal.values import split_by_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from shoal.package._rows import Array
    from shoal.runtime import Description, Model, Tolerance
    from shoal.values import Column, Padding

ROWS_LIMIT = 32
"""Answering one by one costs a call each; a dependence shows on any pair of rows."""
OUTLIER = 10_000.0
_SEED = 20
LENGTHS_LIMIT = 32
"""Lengths of the example that are looked at."""
ROWS_OF_A_LENGTH = 4
_MADE_UP_LENGTHS = (3, 5, 9, 13, 17, 19)

Shapes = tuple[tuple[int, ...], ...]


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


def is_padded(description: Description) -> bool:
    """Whether records of different lengths share a micro-batch of this model."""
    return any(column.padding is not None for column in description.signature.inputs)


def rows_by_length(description: Description, batch: pa.RecordBatch) -> tuple[Rows, ...]:
    """A few records of each length in the example."""
    columns = description.signature.inputs
    groups = split_by_shape(batch, columns)[:LENGTHS_LIMIT]
    return tuple(rows_of(group.batch.slice(0, ROWS_OF_A_LENGTH), columns) for group in groups)


def made_up_rows(model: Model) -> tuple[Rows, ...]:
    """Made-up records of several lengths, some of which every usual rule rounds up."""
    rules = [column.padding for column in model.signature.inputs if column.padding is not None]
    listed = {each - 1 for rule in rules for each in (rule.lengths or ())[:ROWS_OF_A_LENGTH]}
    lengths = sorted({*_MADE_UP_LENGTHS, *listed} - {0})
    few = np.arange(ROWS_OF_A_LENGTH)
    return tuple(plain_rows(model, length=length).take(few) for length in lengths)


def check_padding(model: Model, description: Description, groups: Sequence[Rows]) -> None:
    """Refuses a model whose answers depend on padding.

    Raises:
        ProofError: no record needs padding, a padded one is larger than a micro-batch may be, or
            the model refuses padded records.
        BatchDependenceError: naming the column and the lengths.
    """
    buckets: dict[Shapes, list[Rows]] = {}
    for rows in groups:
        buckets.setdefault(_padded_shapes(rows), []).append(rows)
    if all(_shapes(rows) == shapes for shapes, members in buckets.items() for rows in members):
        message = "no record of the example needs padding, so nothing shows that it does no harm"
        raise ProofError(message, hint="Give records of several lengths as the example.")
    columns = description.signature.inputs
    for shapes, members in buckets.items():
        shorter = [
            rows.take(np.array([0]))
            for others, those in buckets.items()
            if others != shapes and _longest(others, buckets, columns) == shapes
            for rows in those
        ]
        _check_bucket(_Proof(model, description), shapes, [*members, *shorter])


def _longest(shapes: Shapes, known: Iterable[Shapes], columns: Sequence[Column]) -> Shapes:
    """The longest shapes that records of these may be padded to."""
    taking = (each for each in known if _takes(each, shapes, columns))
    return max(taking, key=lambda each: sum(map(math.prod, each)), default=shapes)


def _takes(longer: Shapes, shapes: Shapes, columns: Sequence[Column]) -> bool:
    """Whether records of these shapes may be padded to longer ones; what is empty never is."""
    for column, most, own in zip(columns, longer, shapes, strict=True):
        axis = None if column.padding is None else column.shape.index(-1)
        for place, (large, small) in enumerate(zip(most, own, strict=True)):
            if not (0 < small <= large if place == axis else small == large):
                return False
    return True


@dataclass(frozen=True)
class _Proof:
    model: Model
    description: Description

    def answer(self, rows: Rows) -> Rows:
        return rows_of(self.model.predict(rows.to_batch()), self.description.signature.outputs)


def _check_bucket(proof: _Proof, shapes: Shapes, members: Sequence[Rows]) -> None:
    padded = [_padded(rows, shapes) for rows in members]
    _check_size(padded[0], proof.description.policy.max_bytes)
    together = padded[0]
    for rows in padded[1:]:
        together = together.beside(rows)
    try:
        answers = proof.answer(together)
    except (InputError, ModelError) as error:
        message = f"the model does not take padded records: {error}"
        raise ProofError(message) from error
    start = 0
    for rows in members:
        for row in range(len(rows)):
            alone = rows.take(np.array([row]))
            beside = answers.take(np.array([start + row]))
            _compare_padded(proof, alone, beside, shapes)
        start += len(rows)


def _check_size(padded: Rows, max_bytes: int) -> None:
    size_bytes = sum(values[:1].nbytes for values in padded.values)
    if size_bytes > max_bytes:
        message = f"a padded record has {size_bytes} bytes, a micro-batch at most {max_bytes}"
        raise ProofError(message, hint="Round up to smaller lengths.")


def _compare_padded(proof: _Proof, alone: Rows, beside: Rows, shapes: Shapes) -> None:
    expected = proof.answer(alone)
    own, padded = _lengths(alone.columns, _shapes(alone)), _lengths(alone.columns, shapes)
    for column, one, other in zip(beside.columns, beside.values, expected.values, strict=True):
        found = one
        if column.follows is not None:
            found = _cut(alone, column, one, (own[column.follows], padded[column.follows]))
        if disagreement(found, other, proof.description.tolerance).max(initial=0.0) > 1:
            message = (
                f"answers depend on padding: column {column.name!r} of a record of length "
                f"{own} differs when it is padded to {padded}"
            )
            hint = "Give the model a mask or the length as an input, or leave the padding out."
            raise BatchDependenceError(message, hint=hint)


def _cut(alone: Rows, column: Column, answer: Array, lengths: tuple[int, int]) -> Array:
    own, padded = lengths
    axis = 1 + column.shape.index(-1)
    if answer.shape[axis] != padded:
        message = (
            f"column {column.name!r} does not follow {column.follows!r}: for length {padded} "
            f"it has length {answer.shape[axis]}"
        )
        raise ProofError(message)
    rule = next(each.padding for each in alone.columns if each.name == column.follows)
    start = padded - own if rule is not None and rule.at == "start" else 0
    cut: Array = np.take(answer, range(start, start + own), axis=axis)
    return cut


def _shapes(rows: Rows) -> Shapes:
    return tuple(values.shape[1:] for values in rows.values)


def _padded_shapes(rows: Rows) -> Shapes:
    return tuple(map(_padded_shape, rows.columns, _shapes(rows)))


def _padded_shape(column: Column, shape: tuple[int, ...]) -> tuple[int, ...]:
    if column.padding is None:
        return shape
    axis = column.shape.index(-1)
    return (*shape[:axis], column.padding.rounded(shape[axis]), *shape[axis + 1 :])


def _lengths(columns: Sequence[Column], shapes: Shapes) -> dict[str, int]:
    return {
        column.name: shape[column.shape.index(-1)]
        for column, shape in zip(columns, shapes, strict=True)
        if column.padding is not None
    }


def _padded(rows: Rows, shapes: Shapes) -> Rows:
    triples = zip(rows.columns, rows.values, shapes, strict=True)
    return Rows(rows.columns, tuple(_filled(*each) for each in triples), rows.missing)


def _filled(column: Column, values: Array, shape: tuple[int, ...]) -> Array:
    rule = column.padding
    if rule is None or values.shape[1:] == shape:
        return values
    axis = 1 + column.shape.index(-1)
    filled = np.full((len(values), *shape), _fill_value(rule, values), dtype=values.dtype)
    start = filled.shape[axis] - values.shape[axis] if rule.at == "start" else 0
    place = [slice(None)] * values.ndim
    place[axis] = slice(start, start + values.shape[axis])
    filled[tuple(place)] = values
    return filled


def _fill_value(rule: Padding, values: Array) -> float | bytes:
    if not isinstance(rule.value, str):
        return rule.value
    return rule.value.encode() if values.dtype == object else float(rule.value)
