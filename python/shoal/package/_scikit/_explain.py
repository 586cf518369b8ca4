"""Why the gate refused: the row, the step, its ONNX operators, the known cause and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import ProofError
from shoal.package._proving._proof import HINT
from shoal.package._rows import rows_of
from shoal.package._scikit._causes import Case, cause_of
from shoal.package._scikit._export import export
from shoal.package._scikit._parting import parting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.package._proving._proof import Difference, DisagreementError
    from shoal.package._scikit._inputs import Inputs
    from shoal.package._scikit._parting import Parting
    from shoal.runtime import Tolerance


def explained(
    error: DisagreementError,
    model: Any,
    inputs: Inputs,
    tolerance: Tolerance,
    row_names: Sequence[str] | None,
) -> ProofError:
    """The refusal with its cause; without it where explaining fails.

    Args:
        error: The refusal.
        model: The original.
        inputs: The rows that both were asked.
        tolerance: How far floats may differ.
        row_names: What the rows are called; None for their numbers.
    """
    difference = error.difference
    told = difference.told(_row_name(difference, row_names))
    try:
        where, hint = _where_and_why(difference, model, inputs, tolerance)
    except Exception as failure:  # noqa: BLE001 - parts of a model are asked as nobody asks them,
        # and may raise whatever they like: that must not take the place of what was proved.
        plain = ProofError(told, hint=HINT)
        plain.add_note(f"No step was found: {type(failure).__name__}: {failure}")
        return plain
    return ProofError(f"{told}. {where}", hint=hint)


def _where_and_why(
    difference: Difference, model: Any, inputs: Inputs, tolerance: Tolerance
) -> tuple[str, str]:
    exported = export(model, inputs)
    found = parting(model, exported, inputs, difference.row, tolerance)
    rows = rows_of(inputs.batch, inputs.columns)
    case = Case(found, difference.column, rows, difference.row, exported.references)
    cause = cause_of(case)
    return _told(found), HINT if cause is None else f"{cause.reason} {cause.remedy}"


def _row_name(difference: Difference, row_names: Sequence[str] | None) -> str:
    """Texts are asked in more variants than there are rows; those have no name."""
    named = row_names is not None and difference.row < len(row_names)
    name = f" ({row_names[difference.row]})" if named and row_names is not None else ""
    return f"row {difference.row}{name}"


def _told(found: Parting) -> str:
    kind = type(found.step).__name__
    step = f"the step {found.path} ({kind})" if found.path else kind
    written = f"exported as {', '.join(found.operators)}" if found.operators else "exported"
    if found.by is None:
        return f"They part in {step}, {written}"
    by = "entirely" if np.isinf(found.by) else f"by {found.by:.2g}"
    if not found.is_rounding:
        return f"They part in {step}, {written}, which differs {by}"
    last = type(found.last).__name__
    return f"They part in {step}, {written}, which differs {by}; {last} decides by that"
