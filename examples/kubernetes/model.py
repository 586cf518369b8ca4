"""A model of handwritten digits, sealed as the package `digits`; `next` is another one."""

from __future__ import annotations

import sys

from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import package

MODELS = {
    "digits": ("1", make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))),
    "next": ("2", HistGradientBoostingClassifier(max_iter=40, random_state=0)),
}


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    for place in sys.argv[1:]:
        version, model = MODELS[place]
        fitted = model.fit(images[500:], labels[500:])
        sealed = package.build(
            fitted, name="digits", version=version, output=place, example=images[:500]
        )
        print(place, sealed.digest)


if __name__ == "__main__":
    main()
