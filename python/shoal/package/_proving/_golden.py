"""Golden rows: a few rows with their answers, kept in the package and answered again to verify.

- Unless asked otherwise they are made up (`_made_up`), so that a package gives no record away;
  what they answer is the model's own. `real` takes the first records of the example.
- Only rows that JSON can hold exactly are taken: no NaN, no infinity, no FP16, no bytes that are
  not text. Where no row is left, the package says "none".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from shoal.errors import (
    DtypeError,
    InputError,
    InvalidRequestError,
    ModelError,
    UnsupportedModelError,
)
from shoal.package._proving._made_up import row_bytes, varied_rows
from shoal.package._rows import Rows, disagreement, rows_of
from shoal.runtime import Golden
from shoal.values import from_arrow, from_json, to_arrow, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.package._proving._made_up import Words
    from shoal.package._rows import Array
    from shoal.runtime import Description, Model

GoldenRows: TypeAlias = Literal["synthetic", "real", "none"]
"""Where golden rows come from: from nobody's records, from the example, or there are none."""

ROWS = 4
_LIMIT_BYTES = 1024 * 1024
"""Golden rows are read with every opening; large records are not worth that."""


def check_kind(kind: object) -> None:
    """Refuses what does not say where golden rows come from; nothing is guessed of records.

    Raises:
        InvalidRequestError: naming the value and the choices.
    """
    choices = get_args(GoldenRows)
    if not isinstance(kind, str) or kind not in choices:
        message = f"golden_rows is {kind!r:.80}, expected one of {', '.join(map(repr, choices))}"
        raise InvalidRequestError(message)


def of_records(rows: Rows, answers: Rows) -> Golden | Literal["none"]:
    """The first few records that JSON can hold, with their answers."""
    return _first(rows, answers, "real")


def made_up(model: Model, words: Mapping[str, Words]) -> Golden | Literal["none"]:
    """Rows that are nobody's, of those that the model answers.

    Args:
        model: The model.
        words: What its file holds, by the name of a column of text.

    Raises:
        UnsupportedModelError: the model refuses each of them.
    """
    columns = model.signature.inputs
    if sum(map(row_bytes, columns)) * ROWS > _LIMIT_BYTES:
        return "none"
    rows = varied_rows(columns, words)
    rows = rows.take(_answered(model, rows))
    answers = rows_of(model.predict(rows.to_batch()), model.signature.outputs)
    return _first(rows, answers, "synthetic")


def _answered(model: Model, rows: Rows) -> Array:
    """The places of rows that the model answers, until there are enough that JSON can hold.

    Each is asked alone, and spoils no other.
    """
    places, plain, refusal = [], 0, ""
    for place in range(len(rows)):
        one = rows.take(np.array([place]))
        try:
            answer = rows_of(model.predict(one.to_batch()), model.signature.outputs)
        except (InputError, ModelError) as error:
            refusal = str(error)
            continue
        places.append(place)
        plain += int((_is_plain(one) & _is_plain(answer)).sum())
        if plain == ROWS:
            break
    if not places:
        message = f"the model refuses made-up rows, so there are no golden rows: {refusal}"
        hint = (
            "Say golden_rows='real' if records of the example may be kept in the package and read "
            "by everybody who has it, or golden_rows='none'."
        )
        raise UnsupportedModelError(message, hint=hint)
    return np.array(places)


def _first(
    rows: Rows, answers: Rows, origin: Literal["real", "synthetic"]
) -> Golden | Literal["none"]:
    places = np.flatnonzero(_is_plain(rows) & _is_plain(answers))[:ROWS]
    size_bytes = sum(values[places].nbytes for values in (*rows.values, *answers.values))
    if not len(places) or size_bytes > _LIMIT_BYTES:
        return "none"
    try:
        inputs, outputs = _tensors(rows.take(places)), _tensors(answers.take(places))
    except DtypeError:
        return "none"
    return Golden(inputs=inputs, outputs=outputs, origin=origin)


def check(description: Description, model: Model) -> str | None:
    """Answers the golden rows again.

    Returns:
        None when all answers are as they were within the package's tolerance; else what differs.
    """
    if description.golden == "none":
        return None
    signature = description.signature
    inputs = to_arrow(from_json(description.golden.inputs, signature.inputs), signature.inputs)
    answers = to_arrow(from_json(description.golden.outputs, signature.outputs), signature.outputs)
    expected = rows_of(answers, signature.outputs)
    found = rows_of(model.predict(inputs), signature.outputs)
    for column, one, other in zip(expected.columns, found.values, expected.values, strict=True):
        apart = disagreement(one, other, description.tolerance)
        if apart.max(initial=0.0) > 1:
            return f"golden row {int(np.argmax(apart))} has another answer in {column.name!r}"
    return None


def _tensors(rows: Rows) -> list[Any]:
    return to_json(from_arrow(rows.to_batch(), rows.columns))


def _is_plain(rows: Rows) -> Array:
    plain = np.ones(len(rows), dtype=bool)
    for values in rows.values:
        if values.dtype.kind == "f":
            plain &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return plain
