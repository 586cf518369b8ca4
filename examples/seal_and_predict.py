"""Seal a model of numbers and text, verify the package, and ask it from Python.

Run it: `python examples/seal_and_predict.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shoal import package

PROOF_ROWS = 250  # never fitted: sealing compares the exported model with the original on these

DEAR_FROM = 90


def main() -> None:
    rows, prices = flats(1000)
    prepare = make_column_transformer(
        (StandardScaler(), ["size_m2", "rooms"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
    )
    model = make_pipeline(prepare, LogisticRegression())
    model.fit(rows[PROOF_ROWS:], prices[PROOF_ROWS:])
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "flats"
        sealed = package.build(
            model, name="flats", version="1", output=output, example=rows[:PROOF_ROWS]
        )
        sealed = sealed.attest("metrics", {"accuracy": model.score(rows[:250], prices[:250])})
        print(f"{sealed.name} {sealed.version} is {sealed.digest}")
        print(f"golden rows: {package.verify(output).golden}")
        asked = pa.record_batch(
            {"size_m2": [80.0, 20.0], "rooms": [3, 1], "city": ["Oslo", "Rome"]}
        )
        print(sealed.model().predict(asked).column("label").to_pylist())


def flats(count: int) -> tuple[pd.DataFrame, np.ndarray[tuple[int], np.dtype[np.str_]]]:
    """Made-up flats, and whether each is cheap or dear."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "size_m2": random.uniform(15, 150, count),
            "rooms": random.integers(1, 6, count),
            "city": random.choice(["Oslo", "Rome"], count),
        }
    )
    is_dear = rows["size_m2"] + 40 * (rows["city"] == "Oslo") > DEAR_FROM
    return rows, np.where(is_dear, "dear", "cheap")


if __name__ == "__main__":
    main()
