"""Golden rows: a few records with their answers, kept in the package and answered again to verify.

Only rows that JSON can hold exactly are taken: no NaN, no infinity, no FP16, no bytes that are not
text. Where no row is left, the package says "none".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shoal.errors import DtypeError
from shoal.package._rows import Rows, disagreement, rows_of
from shoal.runtime import Golden
from shoal.values import from_arrow, from_json, to_arrow, to_json

if TYPE_CHECKING:
    from shoal.package._rows import Array
    from shoal.runtime import Description, Model

ROWS = 4
_LIMIT_BYTES = 1024 * 1024
"""Golden rows are read with every opening; large records are not worth that."""


def choose(rows: Rows, answers: Rows) -> Golden | Literal["none"]:
    """The first few rows that JSON can hold, with their answers."""
    places = np.flatnonzero(_is_plain(rows) & _is_plain(answers))[:ROWS]
    size_bytes = sum(values[places].nbytes for values in (*rows.values, *answers.values))
    if not len(places) or size_bytes > _LIMIT_BYTES:
        return "none"
    try:
        return Golden(inputs=_tensors(rows.take(places)), outputs=_tensors(answers.take(places)))
    except DtypeError:
        return "none"


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
