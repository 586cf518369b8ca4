"""The model of the first minute: handwritten digits, as scikit-learn bundles them.

The 1,797 pictures of 8 x 8 grey values are cut once, with a fixed seed, into three parts: rows to
learn from, rows that prove the export when the package is sealed, and rows that are asked over
HTTP. The last two are never trained on, and share no row, so the accuracy that is printed is one
the model has not been fitted or checked against.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998
(`sklearn.datasets.load_digits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import RequirementError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    from sklearn.pipeline import Pipeline

    Rows = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]

SEED = 7
PROOF_ROWS = 300  # sealing wants at least 200 rows the model was not fitted on
HELD_OUT_ROWS = 400
EPOCHS = 40  # the loss is flat after about 30


@dataclass(frozen=True)
class Digits:
    """Three disjoint parts of the data: features are (rows, 64) float32, labels (rows,) int64."""

    train: tuple[Rows, Labels]
    proof: tuple[Rows, Labels]
    held_out: tuple[Rows, Labels]


def load() -> Digits:
    """Cut the bundled digits into train, proof and held-out rows, the same way every time.

    Raises:
        RequirementError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    features, labels = load_digits(return_X_y=True)
    rows = features.astype("float32")
    rest, asked, rest_labels, asked_labels = train_test_split(
        rows, labels, test_size=HELD_OUT_ROWS, random_state=SEED, stratify=labels
    )
    train, proof, train_labels, proof_labels = train_test_split(
        rest, rest_labels, test_size=PROOF_ROWS, random_state=SEED, stratify=rest_labels
    )
    return Digits((train, train_labels), (proof, proof_labels), (asked, asked_labels))


def train(part: tuple[Rows, Labels], *, each_epoch: Callable[[int, int], None]) -> Pipeline:
    """Fit StandardScaler + MLPClassifier((256, 128)); `each_epoch(done, total)` after each pass."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # ships no types

    features, labels = part
    scaler = StandardScaler()
    network = MLPClassifier((256, 128), random_state=SEED)
    # Matrices this small gain nothing from threads, and on a busy machine threads that wait for
    # each other made training 30 times slower.
    with threadpool_limits(1):
        scaled = scaler.fit_transform(features)
        for epoch in range(EPOCHS):
            network.partial_fit(scaled, labels, classes=np.unique(labels))
            each_epoch(epoch + 1, EPOCHS)
    return Pipeline([("scale", scaler), ("classify", network)])


def _missing(error: ModuleNotFoundError) -> RequirementError:
    library = (error.name or "").partition(".")[0]
    message = f"the quickstart trains a model, and the module {library!r} is not installed"
    return RequirementError(message, hint='pip install "shoal[train]"')
