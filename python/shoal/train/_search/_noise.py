"""Rare classes repeated with noise: each copy is a little off, so that none is learned by heart."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from imblearn.base import BaseSampler
from sklearn.utils import check_random_state


class NoisyCopies(BaseSampler):  # type: ignore[misc]  # scikit-learn has no types
    """Fills each class up to the size of the largest one.

    A feature of a copy is off by a normal deviate of `share` of that feature's deviation within its
    class; a feature that has whole values only, such as one of a category, is copied as it is.
    """

    _sampling_type = "over-sampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "sampling_strategy": [str, dict],
        "random_state": ["random_state"],
    }

    def __init__(
        self, *, sampling_strategy: str = "auto", share: float = 0.1, random_state: Any = None
    ) -> None:
        """Takes how far copies are off."""
        super().__init__(sampling_strategy=sampling_strategy)
        self.share = share
        self.random_state = random_state

    def _fit_resample(self, values: Any, target: Any, **_: Any) -> tuple[Any, Any]:
        random = check_random_state(self.random_state)
        found, names = [values], [target]
        is_whole = (values == np.round(values)).all(axis=0)
        for name, missing in self.sampling_strategy_.items():
            own = values[target == name]
            copies = own[random.randint(len(own), size=missing)]
            off = random.standard_normal(copies.shape) * own.std(axis=0) * self.share
            found.append(copies + np.where(is_whole, 0.0, off).astype(values.dtype))
            names.append(np.full(missing, name, dtype=target.dtype))
        return np.concatenate(found), np.concatenate(names)
