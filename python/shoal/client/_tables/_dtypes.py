"""The dtypes of the columns of a task.

| dtype | held as | a missing record holds |
|---|---|---|
| `BOOL`, `INT8` to `UINT64`, `FP16` to `FP64` | numbers | zero, False |
| `TIMESTAMP` | whole numbers of its unit since 1970-01-01 UTC | 0 |
| `DATE` | whole days since 1970-01-01 | 0 |
| `UTF8`, `BYTES` | `str`, `bytes` | empty |
| `MIXED` | `int`, `float`, `str` or `bool`, each record of its own type | None |

Source: protocol/protocol.md, "Tables".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from shoal.errors import DtypeError

if TYPE_CHECKING:
    import numpy as np

NUMPY_CODES = {
    "BOOL": "|b1",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "TIMESTAMP": "<i8",
    "DATE": "<i4",
}
INTEGER_RANGES = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "TIMESTAMP": (-(2**63), 2**63 - 1),
    "DATE": (-(2**31), 2**31 - 1),
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
DTYPES = frozenset({*NUMPY_CODES, "UTF8", "BYTES", "MIXED"})
MAX_DIMENSIONS = 8
MAX_ZONE_BYTES = 64
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_NAMES = {(code[1], int(code[2])): name for name, code in list(NUMPY_CODES.items())[:12]}
_EMPTY: dict[str, Any] = {"UTF8": "", "BYTES": b"", "MIXED": None, "BOOL": False}


@cache
def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """Gives the little-endian numpy type that holds the values of a dtype of fixed width."""
    import numpy as np

    return np.dtype(NUMPY_CODES[dtype])


def dtype_of_numpy(kind: np.dtype[Any]) -> str | None:
    """Gives the dtype for numbers and booleans of a numpy type; None where there is none."""
    return _NAMES.get((kind.kind, kind.itemsize))


def empty_value(dtype: str) -> Any:
    """Gives what stands in the place of a missing record."""
    return _EMPTY.get(dtype, 0.0 if dtype in FLOATS else 0)


def check_dtype(name: str, dtype: str) -> None:
    """Refuses a dtype that does not exist.

    Raises:
        DtypeError: Names the column, and the dtypes there are.
    """
    if dtype not in DTYPES:
        raise DtypeError(
            f"column {name!r} has dtype {dtype!r}, expected one of {', '.join(sorted(DTYPES))}"
        )
