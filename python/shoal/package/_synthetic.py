"""Rows made up for a model of which no example is given, so that law 1 is checked all the same.

Random numbers of one seed, small whole numbers, short texts; variable dimensions get one length.
A model that refuses them needs a real example: the law is never passed by not asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.errors import InputError, ModelError, UnsupportedModelError
from shoal.package._rows import Rows
from shoal.values import Dtype, schema_of

if TYPE_CHECKING:
    from shoal.package._rows import Array
    from shoal.runtime import Model
    from shoal.values import Column

ROWS = 16
LENGTH = 8
_SEED = 21


def synthetic_rows(model: Model) -> Rows:
    """Rows that fit the model's inputs and that the model answers.

    Raises:
        UnsupportedModelError: the model refuses them.
    """
    random = np.random.default_rng(_SEED)
    columns = model.signature.inputs
    values = tuple(_values(column, random) for column in columns)
    missing = tuple(np.zeros(ROWS, dtype=bool) for _ in columns)
    rows = Rows(columns, values, missing)
    try:
        model.predict(rows.to_batch())
    except (InputError, ModelError) as error:
        message = f"the model refuses made-up rows: {error}"
        hint = "Give example=...: a few real rows prove that answers do not depend on the batch."
        raise UnsupportedModelError(message, hint=hint) from error
    return rows


def _values(column: Column, random: np.random.Generator) -> Array:
    shape = (ROWS, *(LENGTH if size == -1 else size for size in column.shape))
    if column.dtype is Dtype.BYTES:
        texts = np.empty(shape, dtype=object)
        texts.ravel()[:] = [f"text {i}".encode() for i in range(texts.size)]
        return texts
    kind = schema_of([column]).field(0).type
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    dtype = np.dtype(kind.to_pandas_dtype())
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)
