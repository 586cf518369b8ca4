"""The gate before sealing: the exported model must answer as the trained one does.

- Labels and other exact values must be equal, on every row.
- Floats must lie within the tolerance: 1e-5, absolute for values up to 1 (probabilities) and
  relative above (regression values); NaN must be NaN.
- It takes 200 rows that were not used for fitting. That they were held out only the caller knows.
- The exported model answers through the native session, the one that the server uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import InputError, ModelError, ProofError
from shoal.package._rows import Rows, disagreement, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from shoal.package._rows import Array
    from shoal.runtime import Model, Tolerance

ROWS_NEEDED = 200
_HINT = "Change the step that ONNX cannot express, or seal the model as a Python package."

_ROUNDING = (
    "Numbers are FP32 in the package, with about 7 digits: subtract a large offset (as from epoch "
    "seconds) before fitting. Scaling before trees is not needed, and rounds at their thresholds."
)
_FOLDING = (
    "The export of a text vectorizer lowers ASCII only: where lowercase=True, give texts in lower "
    "case yourself, before fitting and before asking. Else change the step that differs."
)
_FEW = 0.25
_OFFSET = 1e4


def check_rows(count: int, *, weak_proof: bool) -> None:
    """Refuses a proof on too few rows, unless the caller accepts a weak one.

    Raises:
        ProofError: telling how many rows are needed.
    """
    if count >= (1 if weak_proof else ROWS_NEEDED):
        return
    message = f"the proof has {count} rows, expected at least {ROWS_NEEDED} held-out ones"
    hint = "Give more rows that the model was not fitted on, or accept weak_proof=True."
    raise ProofError(message, hint=hint)


def check_agreement(
    model: Model, batch: pa.RecordBatch, references: Sequence[Array], tolerance: Tolerance
) -> Rows:
    """Compares the exported model with what the original answered.

    Args:
        model: The exported model.
        batch: The held-out rows, (rows).
        references: One array for each output column, (rows, *shape of the column).
        tolerance: How far floats may differ.

    Returns:
        The answers of the exported model.

    Raises:
        ProofError: naming the column, how many rows differ, and the first of them.
    """
    try:
        answers = rows_of(model.predict(batch), model.signature.outputs)
    except (InputError, ModelError) as error:
        message = f"the exported model cannot answer the held-out rows: {error}"
        raise ProofError(message, hint=_HINT) from error
    for column, found, expected in zip(answers.columns, answers.values, references, strict=True):
        wanted = _like(expected, found)
        apart = disagreement(found, wanted, tolerance)
        if apart.max() > 1:
            hint = _hint(apart, rows_of(batch, model.signature.inputs))
            raise ProofError(_difference(column.name, apart, found, wanted), hint=hint)
    return answers


def _hint(apart: Array, rows: Rows) -> str:
    if any(_is_folded_otherwise(values) for values in rows.values if values.dtype == object):
        return _FOLDING
    return _ROUNDING if _is_rounding(apart, rows) else _HINT


def _is_folded_otherwise(texts: Array) -> bool:
    found = (each.decode(errors="replace") for each in texts.ravel())
    return any(char.isupper() and not char.isascii() for text in found for char in text)


def _is_rounding(apart: Array, rows: Rows) -> bool:
    """Whether FP32 may be the cause: few rows differ, or numbers lie far from zero and close."""
    floats = [each for each in rows.values if each.dtype.kind == "f"]
    return bool(floats) and ((apart > 1).mean() < _FEW or any(map(_has_offset, floats)))


def _has_offset(values: Array) -> bool:
    numbers = values.reshape(len(values), -1).astype(np.float64)
    finite = np.where(np.isfinite(numbers), numbers, 0.0)
    spread, size = finite.std(axis=0), np.abs(finite.mean(axis=0))
    return bool(((spread > 0) & (size > _OFFSET * spread)).any())


def _like(expected: Array, found: Array) -> Array:
    """The reference in the kind of the answer: text as bytes, labels as whole numbers."""
    if found.dtype == object:
        encoded = np.empty(expected.shape, dtype=object)
        encoded.ravel()[:] = [str(each).encode() for each in expected.ravel()]
        return encoded
    return expected.astype(np.float64) if found.dtype.kind == "f" else expected


def _difference(name: str, apart: Array, found: Array, expected: Array) -> str:
    first = int(np.argmax(apart > 1))
    text = f"the exported model disagrees with the original on {int((apart > 1).sum())} of "
    text += f"{len(apart)} rows, in column {name!r}"
    if found.shape != expected.shape:
        return f"{text}: shape {list(found.shape)} instead of {list(expected.shape)}"
    return f"{text}: row {first} gives {found[first]!s:.80} instead of {expected[first]!s:.80}"
