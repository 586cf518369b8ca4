"""LightGBM and XGBoost as the other estimators are used, and as skl2onnx exports them.

XGBoost knows classes by number only; `NamedXgboost` gives them their names back.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.preprocessing import LabelEncoder
from xgboost import XGBClassifier, XGBRegressor

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray


class NamedXgboost(XGBClassifier):
    """XGBoost for classes of any name."""

    _names: NDArray[Any] | None = None

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, sorted."""
        if self._names is not None:
            return self._names
        numbers: NDArray[Any] = super().classes_
        return numbers

    def fit(self, values: Any, target: Any, **options: Any) -> Self:
        """Learns; see XGBoost for the options."""
        encoder = LabelEncoder().fit(target)
        self._names = None  # while it learns, they are numbers
        super().fit(values, encoder.transform(target), **options)
        self._names = encoder.classes_
        return self

    def predict(self, values: Any, **options: Any) -> NDArray[Any]:
        """(rows,) names of classes."""
        numbers = np.asarray(super().predict(values, **options))
        return numbers if self._names is None else self._names[numbers]


@cache
def register() -> None:
    """Tells skl2onnx how they are written in ONNX."""
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    of_classes = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    of_trees = {"split": None}
    known: list[tuple[type, Any, dict[str, Any]]] = [
        (NamedXgboost, convert_xgboost, of_classes),
        (XGBRegressor, convert_xgboost, {}),
        (LGBMClassifier, convert_lightgbm, of_classes),
        (LGBMRegressor, convert_lightgbm, of_trees),
    ]
    for kind, converter, options in known:
        is_classifier = "nocl" in options
        shapes = (
            calculate_linear_classifier_output_shapes
            if is_classifier
            else calculate_linear_regressor_output_shapes
        )
        update_registered_converter(
            kind, f"Shoal{kind.__name__}", shapes, converter, options=options
        )
