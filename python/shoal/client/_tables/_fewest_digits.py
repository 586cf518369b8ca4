"""FP16 and FP32 as the FP64 of the fewest digits that are read back as the same value.

A number of few digits is found by rounding to so many: of FP32, decimals of six digits are farther
apart than the values that round to one, so six find all that need six or fewer; nine are always
enough. For FP16 it is three and five. A decimal is its digits over a power of ten, both exact in
FP64 up to 10**22, so that the quotient is the FP64 nearest to it. Beyond that, text is tried.

Source: IEEE 754-2019, 5.12.2: 1 + ceil(p log10 2) digits are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_DIGITS = {2: (3, 5), 4: (6, 9)}
_EXACT_POWER = 22


def fewest_digits(elements: npt.NDArray[Any]) -> list[float]:
    """Gives all elements in one list, each as the FP64 of the fewest digits; NaN stays NaN.

    Args:
        elements: FP16 or FP32, of any shape.
    """
    values = elements.reshape(-1)
    exact = values.astype(np.float64)
    with np.errstate(all="ignore"):
        found = _found(values, exact)
    return found.tolist()  # type: ignore[no-any-return]  # a list of floats


def _found(values: npt.NDArray[Any], exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    first, last = _DIGITS[values.dtype.itemsize]
    whole = np.isfinite(exact) & (exact != 0)
    power = first - 1 - np.floor(np.log10(np.abs(np.where(whole, exact, 1.0))))
    found, left = exact.copy(), whole & (np.abs(power) <= _EXACT_POWER - (last - first))
    beyond = whole & ~left
    for more in range(last - first + 1):
        if not left.any():
            break
        tried = _rounded(exact, power + more)
        good = left & (tried.astype(values.dtype) == values)
        found[good] = tried[good]
        left &= ~good
    for at in np.flatnonzero(beyond | left).tolist():
        found[at] = _by_text(values[at], float(exact[at]))
    return found


def _rounded(
    exact: npt.NDArray[np.float64], power: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    up, down = 10.0 ** np.maximum(power, 0), 10.0 ** np.maximum(-power, 0)
    rounded: npt.NDArray[np.float64] = np.rint(exact * up / down) / up * down
    return rounded


def _by_text(value: Any, exact: float) -> float:
    last = _DIGITS[value.dtype.itemsize][1]
    for digits in range(1, last + 1):
        tried = float(f"{exact:.{digits}g}")
        if value.dtype.type(tried) == value:
            return tried
    return exact
