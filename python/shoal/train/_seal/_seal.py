"""Seals a fitted pipeline, if its export answers held-out rows as the pipeline itself does.

- The rows are those that nothing was learned from, and rows that exports get wrong more easily.
- What a package takes are raw columns; all that stands before the estimator is inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from shoal import package
from shoal.train._estimators import _boosting, _decided, _double_onnx
from shoal.train._estimators._plain import plain
from shoal.train._estimators._thresholds import round_thresholds
from shoal.train._prepare import _transformers_onnx
from shoal.train._prepare._frames import frame_of, moments_of, nulls_of
from shoal.train._seal._hard_rows import hard_rows
from shoal.train._search._candidates import without_sampler

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from shoal.package import GoldenRows, Package
    from shoal.train._search._search import Fitted


def seal(  # noqa: PLR0913 - said once for each package
    fitted: Fitted,
    held_out: pa.Table,
    *,
    name: str,
    version: str,
    output: str | Path,
    golden_rows: GoldenRows = "synthetic",
) -> Package:
    """Seals a model.

    Args:
        fitted: A candidate that has learned.
        held_out: At least 200 records that nothing was learned from.
        name: The package's name.
        version: Its version.
        output: A directory that is not there yet.
        golden_rows: Which rows the package keeps to be verified by: `synthetic`, made up and
            nobody's; `real`, a few of the held-out records; or `none`.

    Raises:
        ProofError: the export disagrees; the message names the record, the column of it that was
            changed, the step and its operators, and where they are known the cause and the remedy.
        UnsupportedModelError: the model cannot be exported.
        InputError: the records cannot be used.
    """
    _transformers_onnx.register()
    _boosting.register()
    _decided.register()
    _double_onnx.register()
    preparation = fitted.preparation
    rows = frame_of(held_out, preparation)
    model = plain(without_sampler(fitted.pipeline), rows)
    round_thresholds(_decided.undecided(model.steps[-1][1]))
    hard = hard_rows(rows, preparation)
    example = pd.concat([rows, hard.frame], ignore_index=True)
    settings = package.Settings(
        golden_rows=golden_rows,
        missing=nulls_of(preparation),
        moments=moments_of(preparation),
        row_names=[*(f"record {number}" for number in range(len(rows))), *hard.names],
    )
    return package.build(
        model, name=name, version=version, output=output, example=example, settings=settings
    )
