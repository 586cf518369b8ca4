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
            raise ProofError(_difference(column.name, apart, found, wanted), hint=_HINT)
    return answers


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
