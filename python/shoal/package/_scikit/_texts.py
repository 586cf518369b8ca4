"""Example rows of a model whose records are plain texts: one column, each row a text.

The proof is also asked texts that the example may lack: upper-cased and accented ones. Without
them an export that knows only ASCII would pass on English rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError, NullError
from shoal.package._frames import is_frame, to_batch

VARIANTS = 32
_ACCENTED = str.maketrans("aeioucnsz", "äéîöüçñšž")


def texts_of(example: Any) -> list[str]:
    """The texts of an example.

    Raises:
        InvalidRequestError: it is not a list of texts or a table of one column.
        NullError: a text is missing; the message names the row.
        DtypeError: a row is not text; the message names the row.
    """
    values = _values(example)
    for row, value in enumerate(values):
        if value is None or value != value or type(value).__name__ == "NAType":  # noqa: PLR0124 - NaN
            message = f"row {row} of the example is missing, expected a text"
            raise NullError(message, hint="Drop the row, or give it a text before fitting too.")
        if not isinstance(value, str):
            message = f"row {row} of the example is a {type(value).__name__}, expected a text"
            raise DtypeError(message, hint="Bytes have to be decoded.")
    return [str(value) for value in values]


def variants_of(texts: list[str]) -> list[str]:
    """The same texts in upper case where they are ASCII, and with accents: more rows to prove.

    A letter that ASCII lacks behind each word shows an export that cuts the word there.
    """
    few = texts[:VARIANTS]
    upper = [text.upper() for text in few if text.isascii()]
    longer = [" ".join(f"{word}é" for word in text.split()) for text in few]
    return [*upper, *longer, *(text.translate(_ACCENTED) for text in few)]


def _values(example: Any) -> list[Any]:
    if isinstance(example, Mapping):
        example = to_batch(example)
    is_table = isinstance(example, pa.RecordBatch | pa.Table)
    if is_table or is_frame(example):
        if example.shape[1] != 1:
            message = f"the example has {example.shape[1]} columns, expected one column of text"
            raise InvalidRequestError(message)
        column = example.column(0).to_pylist() if is_table else example.iloc[:, 0].tolist()
        return list(column)
    if isinstance(example, str | bytes) or not hasattr(example, "__iter__"):
        message = f"the example is a {type(example).__name__}, expected a list of texts"
        raise InvalidRequestError(message)
    return example.tolist() if isinstance(example, np.ndarray) else list(example)
