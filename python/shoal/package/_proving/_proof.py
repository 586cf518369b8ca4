"""The gate before sealing: the exported model must answer as the trained one does.

- Labels and other exact values must be equal, on every row.
- Floats must lie within the tolerance: 1e-5, absolute for values up to 1 (probabilities) and
  relative above (regression values); NaN must be NaN.
- It takes 200 rows that were not used for fitting. That they were held out only the caller knows.
- The exported model answers through the native session, the one that the server uses.
"""

from __future__ import annotations

from dataclasses import dataclass
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
HINT = "Change the step that ONNX cannot express, or seal the model as a Python package."


@dataclass(frozen=True)
class Difference:
    """An output column in which the exported model answers otherwise than the original.

    Attributes:
        column: Its name.
        rows: How many rows differ.
        of: How many there are.
        row: The first that differs.
        found: What the export answers to it; the shape, where that is what differs.
        expected: What the original does.
    """

    column: str
    rows: int
    of: int
    row: int
    found: str
    expected: str

    def told(self, row_name: str) -> str:
        """In words.

        Args:
            row_name: What the row is called.
        """
        return (
            f"the exported model disagrees with the original on {self.rows} of {self.of} rows, in "
            f"column {self.column!r}: {row_name} gives {self.found} instead of {self.expected}"
        )


class DisagreementError(ProofError):
    """The gate refuses; `difference` says where. What users see says why as well."""

    def __init__(self, difference: Difference) -> None:
        """Takes what differs."""
        super().__init__(difference.told(f"row {difference.row}"), hint=HINT)
        self.difference = difference


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
        DisagreementError: it answers otherwise.
        ProofError: it cannot answer.
    """
    try:
        answers = rows_of(model.predict(batch), model.signature.outputs)
    except (InputError, ModelError) as error:
        message = f"the exported model cannot answer the held-out rows: {error}"
        raise ProofError(message, hint=HINT) from error
    for column, found, expected in zip(answers.columns, answers.values, references, strict=True):
        wanted = like(expected, found)
        apart = disagreement(found, wanted, tolerance)
        if apart.max() > 1:
            raise DisagreementError(_difference(column.name, apart > 1, found, wanted))
    return answers


def like(expected: Array, found: Array) -> Array:
    """The reference in the kind of the answer: text as bytes, labels as whole numbers."""
    if found.dtype == object:
        encoded = np.empty(expected.shape, dtype=object)
        encoded.ravel()[:] = [str(each).encode() for each in expected.ravel()]
        return encoded
    return expected.astype(np.float64) if found.dtype.kind == "f" else expected


def _difference(name: str, is_apart: Array, found: Array, expected: Array) -> Difference:
    first = int(np.argmax(is_apart))
    if found.shape != expected.shape:
        one, other = f"the shape {list(found.shape)}", f"{list(expected.shape)}"
    else:
        one, other = f"{found[first]!s:.80}", f"{expected[first]!s:.80}"
    return Difference(name, int(is_apart.sum()), len(is_apart), first, one, other)
