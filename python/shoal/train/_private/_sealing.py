"""Private models as plain scikit-learn estimators, which a package can be built from.

- The plain estimator holds the parameters and nothing else that was computed from records: no loss
  curve, no counts.
- A pipeline is made plain step by step. What is neither private nor without a fit is refused,
  because its fit read the records without noise.
- The example of `package.build` may be made up (`Bounds(...).rows(200)`); of real records nothing
  is kept as long as golden rows are made up, which they are unless `golden_rows="real"` is said.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.errors import UnsupportedModelError
from shoal.train._private._estimators import GradientClassifier, GradientRegressor
from shoal.train._private._scaling import BoundedScaler, PrivateScaler


def as_sklearn(model: Any) -> Any:
    """Gives a fitted model, scaler or pipeline as a plain scikit-learn estimator.

    Args:
        model: A fitted `GradientClassifier`, `GradientRegressor`, `BoundedScaler`,
            `PrivateScaler`, or a pipeline of them.

    Returns:
        LogisticRegression, MLPClassifier, LinearRegression, MLPRegressor, MinMaxScaler or a
        Pipeline, fitted; it answers the same.

    Raises:
        UnsupportedModelError: a step is none of these.
    """
    if hasattr(model, "steps"):
        return _pipeline(model)
    for kind, convert in _CONVERTERS:
        if isinstance(model, kind):
            return convert(model)
    message = f"{type(model).__name__} read the records without noise, or is not known to be plain"
    hint = "Use BoundedScaler, PrivateScaler, GradientClassifier and GradientRegressor."
    raise UnsupportedModelError(message, hint=hint)


def _pipeline(model: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([(name, as_sklearn(step)) for name, step in model.steps])


def _classifier(model: GradientClassifier) -> Any:
    if len(model.network_.widths) > 2:  # noqa: PLR2004 - inputs and outputs
        return _network_classifier(model)
    from sklearn.linear_model import LogisticRegression

    ((weights, biases),) = model.network_.layers(model.parameters_)
    plain = LogisticRegression()
    plain.coef_, plain.intercept_ = weights.T.copy(), biases.copy()
    plain.classes_, plain.n_features_in_ = model.classes_, model.n_features_in_
    plain.n_iter_ = np.asarray([model.n_steps_])
    return _named(plain, model)


def _network_classifier(model: GradientClassifier) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer

    plain = _network(MLPClassifier(), model)
    plain.classes_ = model.classes_
    plain._label_binarizer = LabelBinarizer().fit(model.classes_)  # noqa: SLF001 - what its fit sets
    plain.out_activation_ = model.network_.loss
    return plain


def _regressor(model: GradientRegressor) -> Any:
    if len(model.network_.widths) > 2:  # noqa: PLR2004 - inputs and outputs
        from sklearn.neural_network import MLPRegressor

        plain = _network(MLPRegressor(), model)
        plain.coefs_[-1] = plain.coefs_[-1] * model.target_scale_
        plain.intercepts_[-1] = plain.intercepts_[-1] * model.target_scale_ + model.target_center_
        plain.out_activation_ = "identity"
        return plain
    from sklearn.linear_model import LinearRegression

    ((weights, biases),) = model.network_.layers(model.parameters_)
    linear = LinearRegression()
    linear.coef_ = weights[:, 0] * model.target_scale_
    linear.intercept_ = float(biases[0] * model.target_scale_ + model.target_center_)
    linear.n_features_in_ = model.n_features_in_
    return _named(linear, model)


def _network(plain: Any, model: GradientClassifier | GradientRegressor) -> Any:
    layers = model.network_.layers(model.parameters_)
    plain.set_params(hidden_layer_sizes=model.network_.widths[1:-1], activation="relu")
    plain.coefs_ = [weights.copy() for weights, _ in layers]
    plain.intercepts_ = [biases.copy() for _, biases in layers]
    plain.n_layers_, plain.n_outputs_ = len(model.network_.widths), model.network_.widths[-1]
    plain.n_features_in_, plain.n_iter_ = model.n_features_in_, model.n_steps_
    return _named(plain, model)


def _bounded(model: BoundedScaler) -> Any:
    from sklearn.preprocessing import MinMaxScaler

    low, high = np.asarray(model.bounds_.lower), np.asarray(model.bounds_.upper)
    plain = MinMaxScaler(feature_range=(-1, 1), clip=True)
    plain.data_min_, plain.data_max_, plain.data_range_ = low, high, high - low
    plain.scale_ = 2.0 / (high - low)
    plain.min_ = -1.0 - low * plain.scale_
    plain.n_features_in_, plain.n_samples_seen_ = model.n_features_in_, 0
    return _named(plain, model)


def _private(model: PrivateScaler) -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    plain = StandardScaler()
    plain.mean_, plain.scale_ = model.mean_.copy(), model.scale_.copy()
    plain.var_ = model.scale_**2
    plain.n_features_in_, plain.n_samples_seen_ = model.n_features_in_, 0
    return Pipeline([("bounds", _bounded(model)), ("scale", plain)])


def _named(plain: Any, model: Any) -> Any:
    """With the names of columns, where the model was fitted on a frame."""
    if hasattr(model, "feature_names_in_"):
        plain.feature_names_in_ = model.feature_names_in_
    return plain


_CONVERTERS: tuple[tuple[type, Any], ...] = (
    (GradientClassifier, _classifier),
    (GradientRegressor, _regressor),
    (PrivateScaler, _private),
    (BoundedScaler, _bounded),
)
