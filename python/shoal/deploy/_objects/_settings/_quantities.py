"""Quantities of Kubernetes: `500m`, `2`, `1.5Gi`.

Source: Kubernetes API, "Quantity" (apimachinery, pkg/api/resource).
"""

from __future__ import annotations

import re
from decimal import Decimal

from shoal.errors import ConfigurationError

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(m|[kMGTP]|[KMGTP]i)?")
_SCALE: dict[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
}
_SCALE |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", 1)}
_SCALE |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", 1)}


def quantity(text: str, field: str) -> Decimal:
    """What a quantity stands for: cores, or bytes.

    Raises:
        ConfigurationError: it is none, or not above zero.
    """
    match = _QUANTITY.fullmatch(text)
    value = Decimal(0) if match is None else Decimal(match[1]) * _SCALE[match[2]]
    if value <= 0:
        message = f"{field} is {text!r}, expected a quantity above 0"
        raise ConfigurationError(message, hint="Cores: 2 or 500m. Bytes: 2Gi or 512Mi.")
    return value
